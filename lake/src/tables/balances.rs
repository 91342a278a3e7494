//! The table `balances`.

use super::{PartitionBy, TableDefinition, block_time, date, integer, long, schema, text};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "balances",
        description: "one row per account whose lamports a transaction changed",
        schema: schema([
            date(),
            long("slot"),
            block_time(),
            integer("transaction_index"),
            text("account"),
            long("pre"),
            long("post"),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["account", "slot", "transaction_index"],
        key: &["slot", "transaction_index", "account"],
        filtered_by: &[],
    }
}
