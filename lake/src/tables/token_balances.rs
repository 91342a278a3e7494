//! The table `token_balances`.

use super::{
    PartitionBy, TableDefinition, block_time, date, integer, long, nullable, schema, text,
    token_amount,
};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "token_balances",
        description: "one row per token account that a transaction touched",
        schema: schema([
            date(),
            long("slot"),
            block_time(),
            integer("transaction_index"),
            text("account"),
            text("mint"),
            nullable(text("owner")),
            nullable(text("program_id")),
            integer("decimals"),
            // NULL where the account did not exist before, or not after.
            nullable(token_amount("pre_amount")),
            nullable(token_amount("post_amount")),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["mint", "account", "slot", "transaction_index"],
        key: &["slot", "transaction_index", "account"],
        filtered_by: &["account"],
    }
}
