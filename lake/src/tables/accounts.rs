//! The table `accounts`.

use super::{
    PartitionBy, TableDefinition, bucket_column, long, nullable, schema, text, token_amount,
};
use arrow::datatypes::{DataType, Field};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "accounts",
        description: "one row per account: the latest that is known of it",
        schema: schema([
            bucket_column(),
            text("pubkey"),
            // Each part has the slot that it is from, and its place in the slot: the index of the
            // transaction after which it was so, or the write version of a recorded state.
            nullable(long("lamports")),
            nullable(long("lamports_slot")),
            nullable(long("lamports_version")),
            nullable(text("mint")),
            nullable(text("token_owner")),
            // NULL where the token account is closed.
            nullable(token_amount("token_amount")),
            nullable(long("token_slot")),
            nullable(long("token_version")),
            // The program that owns the account.
            nullable(text("owner")),
            nullable(Field::new("data", DataType::Binary, true)),
            nullable(long("data_slot")),
            nullable(long("data_version")),
        ]),
        partition_by: PartitionBy::Bucket("pubkey"),
        sort_by: &["pubkey"],
        key: &["pubkey"],
        filtered_by: &["pubkey"],
    }
}
