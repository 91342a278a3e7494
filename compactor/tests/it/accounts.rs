//! The latest states of accounts, whatever the order in which they come.

use crate::fixture::{compactor, config, memory, name};
use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Decimal128Type, Int64Type};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use streamsync_ingest::{
    IngestOptions, account_file, ingest, progress, source::synthetic::Synthetic,
};
use streamsync_lake::{Append, Lake, tables};
use streamsync_testing::Suite;
use tokio_util::sync::CancellationToken;

pub fn add_to(suite: &mut Suite) {
    suite.test(
        "the newest state of an account wins in any order",
        any_order,
    );
    suite.test("blocks tell the latest of accounts", blocks);
    suite.needs_fixtures("recorded states of accounts are kept", recorded);
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

/// Account, slot, place in the slot, lamports after.
type Balance = (&'static str, i64, i32, i64);

/// Rows of `balances`.
fn balances(rows: &[Balance]) -> RecordBatch {
    let count = rows.len();
    let longs = |of: &dyn Fn(&Balance) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_value(19_796, count)),
        longs(&|row| row.1),
        Arc::new(TimestampMicrosecondArray::from_value(0, count).with_timezone("UTC")),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.2))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        longs(&|_| 0),
        longs(&|row| row.3),
    ];
    let schema = tables::definition("balances").unwrap().schema.clone();
    RecordBatch::try_new(schema, columns).unwrap()
}

async fn lamports(lake: &Lake) -> BTreeMap<String, (i64, i64)> {
    let table = lake.table(&name("accounts")).await.unwrap();
    let mut known = BTreeMap::new();
    for file in table.files().await.unwrap().iter() {
        for rows in table.read(file).await.unwrap() {
            let column = |name: &str| rows.column_by_name(name).unwrap().clone();
            let (pubkeys, lamports) = (column("pubkey"), column("lamports"));
            let slots = column("lamports_slot");
            for row in 0..rows.num_rows() {
                let pubkey = pubkeys.as_string::<i32>().value(row).to_owned();
                let of = |values: &ArrayRef| values.as_primitive::<Int64Type>().value(row);
                let twice = known.insert(pubkey, (of(&lamports), of(&slots)));
                assert_eq!(twice, None, "an account has one row");
            }
        }
    }
    known
}

async fn any_order() {
    const ACCOUNTS: [&str; 5] = ["alice", "bob", "carol", "dave", "eve"];
    // Each account in each slot, twice, so that the place within the slot decides.
    let mut rows = Vec::new();
    for slot in 0..30 {
        for (index, account) in ACCOUNTS.into_iter().enumerate() {
            if slot % (index as i64 + 1) == 0 {
                rows.push((account, slot, 1, slot * 100 + 1));
                rows.push((account, slot, 7, slot * 100 + 7));
            }
        }
    }
    let expected: BTreeMap<String, (i64, i64)> = ACCOUNTS
        .iter()
        .enumerate()
        .map(|(index, account)| {
            let last = 29 - 29 % (index as i64 + 1);
            ((*account).to_owned(), (last * 100 + 7, last))
        })
        .collect();
    for seed in 0..4 {
        let lake = memory(&format!("accounts-{seed}"));
        let mut shuffled = rows.clone();
        shuffled.shuffle(&mut StdRng::seed_from_u64(seed));
        let definition = tables::definition("balances").unwrap();
        let table = lake.create_table(definition).await.unwrap();
        for part in shuffled.chunks(15) {
            let append = Append {
                batches: vec![balances(part)],
                ..Append::default()
            };
            table.append(append).await.unwrap();
            let report = compactor(&lake, config(), Duration::ZERO)
                .once(&never())
                .await
                .unwrap();
            assert_eq!(report.failures, Vec::<String>::new());
        }
        assert_eq!(lamports(&lake).await, expected, "seed {seed}");
        let again = compactor(&lake, config(), Duration::ZERO)
            .once(&never())
            .await
            .unwrap();
        assert_eq!(again.accounts, 0, "{again}");
    }
}

async fn blocks() {
    let lake = memory("accounts-blocks");
    let silent = Arc::new(progress::Silent);
    let source = Synthetic::new(5, 100, 50);
    ingest(source, &lake, IngestOptions::default(), silent)
        .await
        .unwrap();
    let report = compactor(&lake, config(), Duration::ZERO)
        .once(&never())
        .await
        .unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    // Recounted row by row.
    let mut expected: BTreeMap<String, ((i64, i32), i64)> = BTreeMap::new();
    let table = lake.table(&name("balances")).await.unwrap();
    for file in table.files().await.unwrap().iter() {
        for rows in table.read(file).await.unwrap() {
            let column = |name: &str| rows.column_by_name(name).unwrap().clone();
            let (accounts, post) = (column("account"), column("post"));
            let (slots, places) = (column("slot"), column("transaction_index"));
            for row in 0..rows.num_rows() {
                let place = (
                    slots.as_primitive::<Int64Type>().value(row),
                    places
                        .as_primitive::<arrow::datatypes::Int32Type>()
                        .value(row),
                );
                let lamports = post.as_primitive::<Int64Type>().value(row);
                let account = accounts.as_string::<i32>().value(row).to_owned();
                let latest = expected.entry(account).or_insert((place, lamports));
                if place >= latest.0 {
                    *latest = (place, lamports);
                }
            }
        }
    }
    assert!(expected.len() > 100);
    let accounts = lake.table(&name("accounts")).await.unwrap();
    let (mut found, mut with_tokens) = (BTreeMap::new(), 0);
    for file in accounts.files().await.unwrap().iter() {
        for rows in accounts.read(file).await.unwrap() {
            let column = |name: &str| rows.column_by_name(name).unwrap().clone();
            let (pubkeys, lamports) = (column("pubkey"), column("lamports"));
            let tokens = column("token_amount");
            for row in 0..rows.num_rows() {
                let amount = tokens.as_primitive::<Decimal128Type>();
                with_tokens += usize::from(amount.is_valid(row));
                if lamports.is_valid(row) {
                    let pubkey = pubkeys.as_string::<i32>().value(row).to_owned();
                    found.insert(pubkey, lamports.as_primitive::<Int64Type>().value(row));
                }
            }
        }
    }
    let expected: BTreeMap<String, i64> = expected
        .into_iter()
        .map(|(account, (_, lamports))| (account, lamports))
        .collect();
    assert_eq!(found, expected);
    assert!(with_tokens > 0);
}

async fn recorded(fixtures: PathBuf) {
    let lake = memory("accounts-recorded");
    let file = fixtures.join("whirlpool/whirlpool-state-20220406.json.gz");
    let states = account_file::ingest(&file, &lake).await.unwrap().unwrap();
    assert!(states > 1_000, "{states}");
    assert_eq!(account_file::ingest(&file, &lake).await.unwrap(), None);
    let report = compactor(&lake, config(), Duration::ZERO)
        .once(&never())
        .await
        .unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.accounts, states);
    let accounts = lake.table(&name("accounts")).await.unwrap();
    let files = accounts.files().await.unwrap();
    assert_eq!(
        files.iter().map(|file| file.rows.unwrap()).sum::<u64>(),
        states
    );
}
