//! The table `settlements`.

use super::{PartitionBy, TableDefinition, date, instant, long, schema, text, token_amount};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "settlements",
        description: "one row per settled batch of receipts",
        schema: schema([
            date(),
            instant("settled_at"),
            long("batch"),
            text("network"),
            // In hexadecimal, as on the chain.
            text("root"),
            text("file_hash"),
            long("leaves"),
            long("first_receipt"),
            long("last_receipt"),
            // Receipts that pay nobody, because they are false.
            long("refused"),
            // What the receipts charge, and what was left over from the batch before; what is paid,
            // and what is left for the next.
            token_amount("charged"),
            token_amount("carried_in"),
            token_amount("total"),
            token_amount("carried_out"),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["batch"],
        key: &["batch"],
        filtered_by: &[],
    }
}
