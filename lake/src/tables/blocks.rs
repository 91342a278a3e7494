//! The table `blocks`.

use super::{
    PartitionBy, TableDefinition, block_time, date, integer, long, nullable, schema, text,
};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "blocks",
        description: "one row per block",
        schema: schema([
            date(),
            long("slot"),
            nullable(long("block_height")),
            block_time(),
            text("blockhash"),
            long("parent_slot"),
            text("previous_blockhash"),
            // The validator that made the block: who the block's fee reward went to, where there is one.
            nullable(text("leader")),
            integer("transaction_count"),
            integer("vote_count"),
            integer("failed_count"),
            integer("reward_count"),
            long("total_fee"),
            nullable(long("compute_units_consumed")),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["slot"],
        key: &["slot"],
        filtered_by: &[],
    }
}
