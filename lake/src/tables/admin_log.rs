//! The table `admin_log`.

use super::{PartitionBy, TableDefinition, date, instant, schema, text};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "admin_log",
        description: "one row per administrative act; not for clients",
        schema: schema([
            date(),
            instant("done_at"),
            // The name of an API key, or `user@host` for the command.
            text("actor"),
            // An address, or `command`.
            text("done_from"),
            // `create-key`, `rotate-key`, `revoke-key`, `limit-key`, `add-credit`.
            text("action"),
            // The key or the client.
            text("subject"),
            // Particulars as JSON; never a secret.
            text("detail"),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["done_at"],
        key: &[],
        filtered_by: &[],
    }
}
