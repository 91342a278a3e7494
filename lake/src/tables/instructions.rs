//! The table `instructions`.

use super::{
    PartitionBy, TableDefinition, block_time, boolean, date, integer, long, nullable, schema, text,
    text_list,
};
use arrow::datatypes::{DataType, Field};

pub(super) fn definition() -> TableDefinition {
    TableDefinition {
        name: "instructions",
        description: "one row per instruction, outer and inner",
        schema: schema([
            date(),
            long("slot"),
            block_time(),
            integer("transaction_index"),
            // `2` is the third outer instruction, `2.0` the first that it called.
            text("instruction_address"),
            // 1 for an outer instruction; NULL where the node did not record it.
            nullable(integer("stack_height")),
            text("program_id"),
            // The first eight bytes of the data, or all of it if shorter, in hexadecimal.
            text("discriminator"),
            text_list("accounts"),
            Field::new("data", DataType::Binary, false),
            boolean("is_vote"),
            boolean("success"),
        ]),
        partition_by: PartitionBy::Date,
        sort_by: &["program_id", "discriminator", "slot", "transaction_index"],
        key: &["slot", "transaction_index", "instruction_address"],
        filtered_by: &[],
    }
}
