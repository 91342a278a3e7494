//! The table `transactions`.

use super::{
    PartitionBy, TableDefinition, block_time, boolean, date, integer, long, nullable, schema, text,
    text_list,
};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "transactions",
        description: "one row per transaction",
        schema: schema([
            date(),
            long("slot"),
            block_time(),
            integer("transaction_index"),
            text("signature"),
            boolean("is_vote"),
            boolean("success"),
            // The TransactionError as Solana's JSON, NULL where the transaction succeeded.
            nullable(text("error")),
            long("fee"),
            text("fee_payer"),
            // `legacy` or `0`.
            text("version"),
            text("recent_blockhash"),
            nullable(long("compute_units_consumed")),
            integer("signature_count"),
            // Static keys, then the writable and the readonly ones from lookup tables.
            text_list("account_keys"),
            integer("loaded_writable_count"),
            integer("loaded_readonly_count"),
            integer("instruction_count"),
            integer("inner_instruction_count"),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["slot", "transaction_index"],
        key: &["slot", "transaction_index"],
        filtered_by: &["signature"],
    }
}
