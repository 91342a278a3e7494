//! What clients ask, and what the right answer is, worked out without DuckDB.

use crate::{history::History, ingest::BASE};
use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int32Type, Int64Type},
};
use rand::{Rng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
};
use streamsync_core::Snapshot;
use streamsync_ingest::source::synthetic::FIRST_SLOT;
use streamsync_lake::Lake;

/// The rows of the tables that a question reads, by the name of the table.
pub type Held = BTreeMap<String, Vec<RecordBatch>>;

/// A question with its parameters.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Question {
    /// A block by its slot, which may not be there.
    Block(i64),
    /// Where a transaction is.
    Signature(String),
    /// How often an account was named, and when last.
    Account(String),
    /// All transactions and their fees.
    Totals,
    /// The five programs that are called most.
    Programs,
    /// How many transactions failed in some slots.
    Failures(i64, i64),
    /// The transactions of blocks of so many, by a join.
    Large(i64),
    /// As the totals, from the rollup.
    Rates,
}

/// What can be asked about. Cheap to clone; grows as the lake does.
#[derive(Clone, Default)]
pub struct Subjects(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    signatures: Vec<String>,
    accounts: Vec<String>,
}

/// The first slot of all.
const FIRST: i64 = FIRST_SLOT.0 as i64;
/// How many slots are asked for: more than there are for most of the time.
const SLOTS: i64 = 600;

/// How many subjects of each kind are picked from; those that come after are left out.
const MOST: usize = 20_000;

impl Subjects {
    /// Those of a snapshot.
    pub async fn of(lake: &Lake, snapshot: &Snapshot) -> Self {
        let subjects = Self::default();
        let mut history = History::new(lake.clone(), subjects.clone());
        history.learn(snapshot).await.unwrap();
        subjects
    }

    /// Learns from rows of a table.
    pub fn learn(&self, table: &str, rows: &RecordBatch) {
        let mut known = self.0.write().unwrap();
        let (subjects, column) = match table {
            "signatures" => (&mut known.signatures, "signature"),
            "account_transactions" => (&mut known.accounts, "account"),
            _ => return,
        };
        let texts = rows.column_by_name(column).unwrap().as_string::<i32>();
        let room = MOST.saturating_sub(subjects.len());
        subjects.extend(texts.iter().flatten().take(room).map(str::to_owned));
    }

    fn signature(&self, random: &mut impl Rng) -> String {
        let known = self.0.read().unwrap();
        known.signatures.choose(random).unwrap().clone()
    }

    fn account(&self, random: &mut impl Rng) -> String {
        let known = self.0.read().unwrap();
        known.accounts.choose(random).unwrap().clone()
    }
}

impl Question {
    /// Any, sometimes about slots that are not there yet.
    pub fn any(random: &mut impl Rng, subjects: &Subjects) -> Self {
        match random.random_range(0..100) {
            0..15 => Self::Block(FIRST + random.random_range(0..i64::try_from(BASE).unwrap())),
            15..30 => Self::Block(FIRST + random.random_range(0..SLOTS)),
            30..55 => Self::Signature(subjects.signature(random)),
            55..70 => Self::Account(subjects.account(random)),
            70..77 => Self::Totals,
            77..83 => Self::Programs,
            83..90 => {
                let from = FIRST + random.random_range(0..SLOTS / 4);
                Self::Failures(from, from + 20)
            }
            90..95 => Self::Large(random.random_range(7..10)),
            _ => Self::Rates,
        }
    }

    /// One of each kind.
    pub fn each(random: &mut impl Rng, subjects: &Subjects) -> Vec<Self> {
        vec![
            Self::Block(FIRST),
            Self::Signature(subjects.signature(random)),
            Self::Account(subjects.account(random)),
            Self::Totals,
            Self::Programs,
            Self::Failures(FIRST, FIRST + 20),
            Self::Large(8),
            Self::Rates,
        ]
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Block(_) => "block",
            Self::Signature(_) => "signature",
            Self::Account(_) => "account",
            Self::Totals => "totals",
            Self::Programs => "programs",
            Self::Failures(..) => "failures",
            Self::Large(_) => "large",
            Self::Rates => "rates",
        }
    }

    /// Whether the answer stays the same once there is one.
    pub fn is_for_ever(&self) -> bool {
        matches!(self, Self::Block(_) | Self::Signature(_))
    }

    /// The body of the request.
    pub fn body(&self) -> Value {
        let (sql, params) = match self {
            Self::Block(slot) => (
                "select slot, blockhash, transaction_count from blocks where slot = $1",
                vec![json!(slot)],
            ),
            Self::Signature(signature) => (
                "select slot, transaction_index from signatures where signature = $1",
                vec![json!(signature)],
            ),
            Self::Account(account) => (
                "select count(*) as n, max(slot) as newest from account_transactions where account = $1",
                vec![json!(account)],
            ),
            Self::Totals => (
                "select count(*) as n, sum(fee)::BIGINT as fees from transactions",
                vec![],
            ),
            Self::Programs => (
                "select program_id, count(*) as calls from instructions group by program_id \
                 order by calls desc, program_id limit 5",
                vec![],
            ),
            Self::Failures(from, to) => (
                "select slot, count(*) as n from transactions where slot >= $1 and slot < $2 \
                 and not success group by slot order by slot",
                vec![json!(from), json!(to)],
            ),
            Self::Large(least) => (
                "select count(*) as n, sum(t.fee)::BIGINT as fees from transactions t \
                 join blocks b on b.slot = t.slot where b.transaction_count >= $1",
                vec![json!(least)],
            ),
            Self::Rates => (
                "select sum(transactions)::BIGINT as n, sum(fees)::BIGINT as fees \
                 from transaction_rates",
                vec![],
            ),
        };
        json!({ "sql": sql, "params": params })
    }

    /// The right rows.
    pub fn answer(&self, held: &Held) -> Value {
        match self {
            Self::Block(wanted) => {
                let mut found = Vec::new();
                for rows in batches(held, "blocks") {
                    let (slots, hashes) = (longs(rows, "slot"), texts(rows, "blockhash"));
                    let counts = integers(rows, "transaction_count");
                    found.extend(
                        (0..rows.num_rows())
                            .filter(|&row| slots[row] == *wanted)
                            .map(|row| {
                                json!({ "slot": wanted, "blockhash": hashes[row],
                                    "transaction_count": counts[row] })
                            }),
                    );
                }
                json!(found)
            }
            Self::Signature(wanted) => {
                let mut found = Vec::new();
                for rows in batches(held, "signatures") {
                    let (slots, places) =
                        (longs(rows, "slot"), integers(rows, "transaction_index"));
                    let is = |row: &usize| texts(rows, "signature")[*row] == *wanted;
                    let all = 0..rows.num_rows();
                    found.extend(all.filter(is).map(
                        |row| json!({ "slot": slots[row], "transaction_index": places[row] }),
                    ));
                }
                json!(found)
            }
            Self::Account(wanted) => {
                let (mut count, mut newest) = (0, None);
                for rows in batches(held, "account_transactions") {
                    let slots = longs(rows, "slot");
                    for (account, slot) in texts(rows, "account").into_iter().zip(slots) {
                        if account == wanted {
                            count += 1;
                            newest = newest.max(Some(slot));
                        }
                    }
                }
                json!([{ "n": count, "newest": newest }])
            }
            Self::Totals => {
                let fees = batches(held, "transactions").flat_map(|rows| longs(rows, "fee"));
                sums(fees)
            }
            Self::Programs => {
                let mut calls: HashMap<&str, i64> = HashMap::new();
                for rows in batches(held, "instructions") {
                    for program in texts(rows, "program_id") {
                        *calls.entry(program).or_default() += 1;
                    }
                }
                let mut calls: Vec<_> = calls.into_iter().collect();
                calls.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
                let row = |(program, calls)| json!({ "program_id": program, "calls": calls });
                calls.into_iter().take(5).map(row).collect()
            }
            Self::Failures(from, to) => {
                let mut failed: BTreeMap<i64, i64> = BTreeMap::new();
                for rows in batches(held, "transactions") {
                    let success = rows.column_by_name("success").unwrap().as_boolean();
                    for (row, slot) in longs(rows, "slot").into_iter().enumerate() {
                        if (from..to).contains(&&slot) && !success.value(row) {
                            *failed.entry(slot).or_default() += 1;
                        }
                    }
                }
                let row = |(slot, count)| json!({ "slot": slot, "n": count });
                failed.into_iter().map(row).collect()
            }
            Self::Large(least) => {
                let mut large = std::collections::HashSet::new();
                for rows in batches(held, "blocks") {
                    let counts = integers(rows, "transaction_count");
                    let slots = longs(rows, "slot").into_iter().zip(counts);
                    large.extend(slots.filter(|(_, count)| i64::from(*count) >= *least));
                }
                let large: std::collections::HashSet<i64> =
                    large.into_iter().map(|(slot, _)| slot).collect();
                let fees = batches(held, "transactions").flat_map(|rows| {
                    let pairs = longs(rows, "slot").into_iter().zip(longs(rows, "fee"));
                    pairs.filter(|(slot, _)| large.contains(slot))
                });
                sums(fees.map(|(_, fee)| fee))
            }
            Self::Rates => {
                // One level of the rollup, whichever the router chose.
                let rows: Vec<_> = held.values().flatten().collect();
                let sum = |column: &str| -> Option<i64> {
                    let values = rows.iter().flat_map(|rows| wide(rows, column));
                    values.fold(None, |sum, value| Some(sum.unwrap_or(0) + value))
                };
                json!([{ "n": sum("transactions"), "fees": sum("fees") }])
            }
        }
    }
}

/// Their count and their sum, which is NULL of none.
fn sums(fees: impl Iterator<Item = i64>) -> Value {
    let (mut count, mut sum) = (0, None);
    for fee in fees {
        count += 1;
        sum = Some(sum.unwrap_or(0) + fee);
    }
    json!([{ "n": count, "fees": sum }])
}

fn batches<'a>(held: &'a Held, table: &str) -> impl Iterator<Item = &'a RecordBatch> {
    held.get(table).into_iter().flatten()
}

fn longs(rows: &RecordBatch, column: &str) -> Vec<i64> {
    let column = rows.column_by_name(column).unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

fn integers(rows: &RecordBatch, column: &str) -> Vec<i32> {
    let column = rows.column_by_name(column).unwrap();
    column.as_primitive::<Int32Type>().values().to_vec()
}

fn texts<'a>(rows: &'a RecordBatch, column: &str) -> Vec<&'a str> {
    let column = rows.column_by_name(column).unwrap();
    column.as_string::<i32>().iter().flatten().collect()
}

/// A column of counts or of sums, which are as wide as whole numbers come.
fn wide(rows: &RecordBatch, column: &str) -> Vec<i64> {
    use arrow::datatypes::Decimal128Type;
    let column = rows.column_by_name(column).unwrap();
    match column.as_primitive_opt::<Int64Type>() {
        Some(longs) => longs.values().to_vec(),
        None => {
            let sums = column.as_primitive::<Decimal128Type>().values().iter();
            sums.map(|sum| i64::try_from(*sum).unwrap()).collect()
        }
    }
}
