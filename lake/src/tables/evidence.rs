//! The table `evidence`.

use super::{PartitionBy, TableDefinition, date, instant, integer, nullable, schema, text};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "evidence",
        description: "one row per worker found to have answered a query wrongly",
        schema: schema([
            date(),
            instant("found_at"),
            text("worker"),
            // `wrong-answer`: its signature proves it. `dishonest`: a router saw it.
            text("offence"),
            text("query_id"),
            text("snapshot"),
            text("sql"),
            // What the worker signed, if anything: a digest and a number of rows, or a refusal.
            nullable(text("answer")),
            // How many others signed the answer that most did.
            integer("contradicted_by"),
            // All of it, as JSON: the query as it was sent, and every signed answer.
            text("evidence"),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["worker", "found_at"],
        key: &[],
        filtered_by: &[],
    }
}
