//! The table `signatures`.

use super::{PartitionBy, TableDefinition, bucket_column, integer, long, schema, text};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "signatures",
        description: "where to find a transaction by its signature",
        schema: schema([
            bucket_column(),
            text("signature"),
            long("slot"),
            integer("transaction_index"),
        ]),
        partition_by: PartitionBy::Bucket("signature"),
        sort_by: &["signature"],
        key: &["signature", "slot", "transaction_index"],
        filtered_by: &["signature"],
    }
}
