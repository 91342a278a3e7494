//! The table `log_messages`.

use super::{PartitionBy, TableDefinition, block_time, date, integer, long, schema, text};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "log_messages",
        description: "one row per line that programs logged",
        schema: schema([
            date(),
            long("slot"),
            block_time(),
            integer("transaction_index"),
            integer("log_index"),
            text("message"),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["slot", "transaction_index", "log_index"],
        key: &["slot", "transaction_index", "log_index"],
        filtered_by: &[],
    }
}
