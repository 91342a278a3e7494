//! The table `receipts`.

use super::{
    PartitionBy, TableDefinition, boolean, date, instant, long, schema, text, text_list,
    token_amount,
};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "receipts",
        description: "one row per settled receipt",
        schema: schema([
            date(),
            instant("at"),
            // The batch that it was settled in, and its place among all receipts.
            long("batch"),
            long("place"),
            text("router"),
            long("number"),
            text("query_id"),
            text("client"),
            text("key_id"),
            text("class"),
            text("snapshot"),
            text("digest"),
            long("rows"),
            token_amount("price"),
            token_amount("charged"),
            text("promise"),
            long("latency_us"),
            text("winner"),
            text_list("verifiers"),
            text_list("dissenters"),
            // Whether it pays nobody, because it does not add up.
            boolean("refused"),
            // All of it with its signature, as JSON.
            text("receipt"),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["query_id"],
        key: &["query_id", "place"],
        filtered_by: &["query_id"],
    }
}
