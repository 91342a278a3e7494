//! The table `rewards`.

use super::{
    PartitionBy, TableDefinition, block_time, date, integer, long, nullable, schema, text,
};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "rewards",
        description: "one row per reward of a block",
        schema: schema([
            date(),
            long("slot"),
            block_time(),
            integer("reward_index"),
            text("pubkey"),
            // Negative for rent that was collected.
            long("lamports"),
            long("post_balance"),
            // `fee`, `rent`, `staking` or `voting`; NULL in blocks from before it was recorded.
            nullable(text("reward_type")),
            nullable(integer("commission")),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["pubkey", "slot"],
        key: &["slot", "reward_index"],
        filtered_by: &[],
    }
}
