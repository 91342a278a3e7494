//! The tables of the lake: columns, partitioning and sort order, one file a table.
//!
//! Amounts are exact. Delta has no unsigned integers, so lamports and slots are signed 64-bit (the
//! supply of SOL is under 2^60 lamports) and token amounts, which use all of `u64`, are
//! `decimal(20, 0)`. Addresses, hashes and signatures are base58 text.

mod account_states;
mod account_transactions;
mod accounts;
mod admin_log;
mod balances;
mod blocks;
mod evidence;
mod instructions;
mod log_messages;
mod receipts;
mod rewards;
mod settlements;
mod signatures;
mod swaps;
mod token_balances;
mod transactions;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::{Arc, LazyLock};

/// How a table is cut into partitions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PartitionBy {
    /// By the UTC day of the block's time, in the column `date`; NULL where the block has no time.
    Date,
    /// By [`bucket`] of the text in the named column, in the column `bucket`.
    Bucket(&'static str),
}

impl PartitionBy {
    /// The name of the partition column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Bucket(_) => "bucket",
        }
    }
}

/// What a table is: its columns and how its rows are laid out.
#[derive(Debug)]
pub struct TableDefinition {
    /// The table's name.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// All columns, the partition column first.
    pub schema: SchemaRef,
    /// How the table is partitioned.
    pub partition_by: PartitionBy,
    /// The columns by which rows are sorted inside a file.
    pub sort_by: &'static [&'static str],
    /// The columns that tell one row from every other: rows that agree in them are one row that was
    /// written twice. Empty where nothing does.
    pub key: &'static [&'static str],
    /// The columns that get Bloom filters when files are merged, for readers that look rows up by
    /// them.
    pub filtered_by: &'static [&'static str],
}

impl TableDefinition {
    /// The columns that rows are merged by: those of [`sort_by`](Self::sort_by), then the rest of
    /// the key, so that rows written twice come one after the other.
    pub fn order(&self) -> impl Iterator<Item = &'static str> + use<> {
        let (sort_by, key) = (self.sort_by, self.key);
        let rest = key.iter().filter(|column| !sort_by.contains(column));
        sort_by.iter().chain(rest).copied()
    }
}

/// The number of buckets of tables partitioned by [`PartitionBy::Bucket`].
pub const BUCKETS: i32 = 16;

/// The bucket of a key: the first hexadecimal digit of the MD5 of its base58 text. Any SQL engine
/// can compute it, for instance `md5('…')[1]` in DuckDB.
pub fn bucket(key: &str) -> i32 {
    use md5::Digest;
    i32::from(md5::Md5::digest(key.as_bytes())[0] >> 4)
}

/// The tables that ingest fills with blocks of the chain. `blocks` is the last, and is committed
/// last, so that a slot in `blocks` is complete in all other tables.
pub fn chain() -> &'static [TableDefinition] {
    let all = definitions();
    let last = all
        .iter()
        .position(|definition| definition.name == "blocks");
    &all[..last.map_or(0, |last| last + 1)]
}

/// Every table: first those of [`chain`], then what is decoded elsewhere, and what the network keeps
/// about itself.
pub fn definitions() -> &'static [TableDefinition] {
    static DEFINITIONS: LazyLock<Vec<TableDefinition>> = LazyLock::new(|| {
        vec![
            transactions::definition(),
            instructions::definition(),
            token_balances::definition(),
            balances::definition(),
            log_messages::definition(),
            rewards::definition(),
            signatures::definition(),
            account_transactions::definition(),
            blocks::definition(),
            swaps::definition(),
            account_states::definition(),
            accounts::definition(),
            evidence::definition(),
            admin_log::definition(),
            receipts::definition(),
            settlements::definition(),
        ]
    });
    &DEFINITIONS
}

/// Whether clients may ask for a table. What administrators did, and what other clients asked, is
/// for those who read the bucket itself.
pub fn is_public(name: &str) -> bool {
    !matches!(name, "admin_log" | "receipts")
}

/// The definition of one table.
pub fn definition(name: &str) -> Option<&'static TableDefinition> {
    definitions()
        .iter()
        .find(|definition| definition.name == name)
}

fn schema(columns: impl IntoIterator<Item = Field>) -> SchemaRef {
    Arc::new(Schema::new(columns.into_iter().collect::<Vec<_>>()))
}

fn date() -> Field {
    Field::new("date", DataType::Date32, true)
}

fn bucket_column() -> Field {
    Field::new("bucket", DataType::Int32, false)
}

fn long(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn integer(name: &str) -> Field {
    Field::new(name, DataType::Int32, false)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn boolean(name: &str) -> Field {
    Field::new(name, DataType::Boolean, false)
}

fn text_list(name: &str) -> Field {
    let element = Field::new("element", DataType::Utf8, false);
    Field::new(name, DataType::List(Arc::new(element)), false)
}

fn token_amount(name: &str) -> Field {
    Field::new(name, DataType::Decimal128(20, 0), false)
}

fn block_time() -> Field {
    nullable(instant("block_time"))
}

fn instant(name: &str) -> Field {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Field::new(name, utc, false)
}

fn nullable(field: Field) -> Field {
    field.with_nullable(true)
}
