//! The table `account_transactions`.

use super::{PartitionBy, TableDefinition, boolean, bucket_column, integer, long, schema, text};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "account_transactions",
        description: "one row per account and transaction that names it",
        schema: schema([
            bucket_column(),
            text("account"),
            long("slot"),
            integer("transaction_index"),
            boolean("is_signer"),
            boolean("is_writable"),
        ]),
        partition_by: PartitionBy::Bucket("account"),
        sort_by: &["account", "slot", "transaction_index"],
        key: &["account", "slot", "transaction_index"],
        filtered_by: &["account"],
    }
}
