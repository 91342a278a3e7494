//! The table `swaps`.

use super::{
    PartitionBy, TableDefinition, block_time, boolean, date, integer, long, schema, text,
    token_amount,
};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "swaps",
        description: "one row per swap of two tokens in a pool",
        schema: schema([
            date(),
            long("slot"),
            block_time(),
            integer("transaction_index"),
            // The first swap of a transaction is 0.
            integer("swap_index"),
            text("signature"),
            text("pool"),
            // Whoever the tokens belong to that go in.
            text("trader"),
            // The pool's token accounts; `token_balances` knows their mints.
            text("vault_a"),
            text("vault_b"),
            // Whether token A goes in and token B comes out.
            boolean("a_to_b"),
            token_amount("amount_a"),
            token_amount("amount_b"),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["pool", "slot", "transaction_index", "swap_index"],
        key: &["slot", "transaction_index", "swap_index"],
        filtered_by: &["signature"],
    }
}
