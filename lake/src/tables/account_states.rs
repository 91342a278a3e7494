//! The table `account_states`.

use super::{PartitionBy, TableDefinition, block_time, date, long, nullable, schema, text};
use arrow::datatypes::{DataType, Field};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "account_states",
        description: "one row per state of an account that was recorded",
        schema: schema([
            date(),
            long("slot"),
            block_time(),
            // Counts the writes within a slot; the greatest there is for the state at its end.
            long("write_version"),
            text("pubkey"),
            nullable(long("lamports")),
            nullable(text("owner")),
            nullable(Field::new("data", DataType::Binary, true)),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["pubkey", "slot", "write_version"],
        key: &["pubkey", "slot", "write_version"],
        filtered_by: &["pubkey"],
    }
}
