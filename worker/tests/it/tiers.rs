//! The tiers of the cache: what is kept where, and that answers are right whatever is.

use crate::{COUNT, append, fixture, integers, open_worker_with, query};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use streamsync_core::{Constraint, ConstraintOp, Parameter, Query, Scalar, config::WorkerConfig};
use streamsync_lake::Table;
use streamsync_testing::{Suite, eventually};
use streamsync_worker::{ExecuteError, OpenWorkerError, Worker};

pub fn add_to(suite: &mut Suite) {
    suite.test("a lookup reads pages, not files", lookup);
    suite.test("parameters of a lookup are not mixed up", lookup_parameters);
    suite.test("a scan copies files to the disk, within the budget", scan);
    suite.test("what there is no room for is streamed", streamed);
    suite.test("a lookup is right where there are copies", lookup_from_copy);
    suite.test("a damaged copy is pulled again, not read", damaged);
    suite.test("copies are found again after a restart", restart);
    suite.test("a folder that is in use is refused", in_use);
    suite.test("a temporary folder is taken away", temporary);
    suite.test(
        "two queries that miss the same files both answer",
        missed_together,
    );
}

/// The query with what the router says of the key that it asks for.
async fn lookup_query(table: &Table, account: &str) -> Query {
    let sql = "SELECT slot FROM account_transactions WHERE account = $1 ORDER BY slot";
    let constraint = Constraint {
        column: "account".to_owned(),
        op: ConstraintOp::Eq(Scalar::Text(account.to_owned())),
    };
    Query {
        parameters: vec![Parameter::Text(account.to_owned())],
        constraints: [(table.name().clone(), vec![constraint])].into(),
        ..query(table, sql).await
    }
}

async fn slots(worker: &Worker, query: Query) -> Vec<i64> {
    integers(&worker.execute(query).await.unwrap())
}

async fn lookup() {
    let fixture = fixture("lookup").await;
    let alice = lookup_query(&fixture.table, "alice").await;
    assert_eq!(slots(&fixture.worker, alice.clone()).await, [1, 3]);
    assert_eq!(slots(&fixture.worker, alice).await, [1, 3]);
    let nobody = lookup_query(&fixture.table, "nobody").await;
    assert_eq!(slots(&fixture.worker, nobody).await, [0; 0]);
    let cache = fixture.worker.cache().await;
    assert!(cache.memory.used_bytes > 0);
    assert!(cache.memory.pages > 0);
}

async fn lookup_parameters() {
    let fixture = fixture("lookup_parameters").await;
    let table = append(&fixture.table, &[("alice", 5), ("bob", 6)]).await;
    for _ in 0..3 {
        for (account, expected) in [("alice", vec![1, 3, 5]), ("bob", vec![2, 6])] {
            let asked = lookup_query(&table, account).await;
            assert_eq!(slots(&fixture.worker, asked).await, expected);
        }
    }
    let many = |sql: &str, parameters: Vec<Parameter>, key: Vec<&str>| {
        let keys = key.into_iter().map(|key| Scalar::Text(key.to_owned()));
        let constraint = Constraint {
            column: "account".to_owned(),
            op: ConstraintOp::In(keys.collect()),
        };
        let (table, sql, name) = (table.clone(), sql.to_owned(), table.name().clone());
        async move {
            Query {
                parameters,
                constraints: [(name, vec![constraint])].into(),
                ..query(&table, &sql).await
            }
        }
    };
    let text = |text: &str| Parameter::Text(text.to_owned());
    let asked = many(
        "SELECT slot FROM account_transactions WHERE account IN ($1, $2, $1) AND slot > $3 ORDER BY 1",
        vec![text("alice"), text("bob"), Parameter::Integer(2)],
        vec!["alice", "bob", "alice"],
    );
    assert_eq!(slots(&fixture.worker, asked.await).await, [3, 5, 6]);
    // A parameter outside a comparison, and one of another type than its column.
    let asked = many(
        "SELECT slot + $2 FROM account_transactions WHERE account = $1 AND slot < $3 ORDER BY 1",
        vec![text("bob"), Parameter::Integer(10), Parameter::Double(3.5)],
        vec!["bob"],
    );
    assert_eq!(slots(&fixture.worker, asked.await).await, [12]);
    // One parameter for two columns of different types is the query's fault, as without a cache.
    let asked = many(
        "SELECT slot FROM account_transactions WHERE account = $1 AND slot = $1",
        vec![text("bob")],
        vec!["bob"],
    );
    let error = fixture.worker.execute(asked.await).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Refused { .. }), "{error:?}");
}

async fn scan() {
    let fixture = fixture("scan").await;
    assert_eq!(integers(&fixture.ask(COUNT).await.unwrap()), [3]);
    let files = fixture.table.files().await.unwrap();
    let bytes: u64 = files.iter().map(|file| file.size).sum();
    let cache = fixture.worker.cache().await;
    assert_eq!(cache.disk.used_bytes, bytes);
    assert_eq!(cache.disk.files.len(), files.len());
    assert_eq!(cache.memory.used_bytes, 0);
    // A newer version copies what it adds, and the older one is still answered.
    let newer = append(&fixture.table, &[("carol", 9)]).await;
    let asked = query(&newer, COUNT).await;
    assert_eq!(slots(&fixture.worker, asked).await, [4]);
    assert_eq!(
        fixture.worker.cache().await.disk.files.len(),
        files.len() + 1
    );
    assert_eq!(integers(&fixture.ask(COUNT).await.unwrap()), [3]);
}

async fn streamed() {
    let mut fixture = fixture("streamed").await;
    let files = fixture.table.files().await.unwrap();
    assert_eq!(files.len(), 2);
    let everything = "SELECT account, slot, bucket FROM account_transactions ORDER BY ALL";
    let expected = fixture.ask(everything).await.unwrap();
    // No room at all, and room for one of two files.
    for disk_bytes in [0, files[0].size + files[1].size - 1] {
        let config = WorkerConfig {
            disk_bytes,
            ..WorkerConfig::default()
        };
        fixture.worker = open_worker_with(&fixture.lake, 2, config).await;
        for _ in 0..2 {
            let found = fixture.ask(everything).await.unwrap();
            assert_eq!(found.signed.outcome, expected.signed.outcome);
            assert_eq!(integers(&fixture.ask(COUNT).await.unwrap()), [3]);
            assert!(fixture.worker.cache().await.disk.used_bytes <= disk_bytes);
        }
        let self_join = "SELECT count(*) FROM account_transactions a JOIN account_transactions b USING (account)";
        assert_eq!(integers(&fixture.ask(self_join).await.unwrap()), [5]);
    }
}

async fn lookup_from_copy() {
    let fixture = fixture("lookup_from_copy").await;
    fixture.ask(COUNT).await.unwrap();
    let alice = lookup_query(&fixture.table, "alice").await;
    assert_eq!(slots(&fixture.worker, alice).await, [1, 3]);
}

fn in_folder(folder: &Path) -> WorkerConfig {
    WorkerConfig {
        cache_folder: Some(folder.to_owned()),
        ..WorkerConfig::default()
    }
}

fn copies(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(copies(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            found.push(path);
        }
    }
    found
}

async fn damaged() {
    let mut fixture = fixture("damaged").await;
    let folder = tempfile::tempdir().unwrap();
    fixture.worker = open_worker_with(&fixture.lake, 3, in_folder(folder.path())).await;
    let everything = "SELECT * FROM account_transactions ORDER BY ALL";
    let expected = fixture.ask(everything).await.unwrap().signed.outcome;
    let damages: [fn(&Path); 4] = [
        |path| {
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            std::fs::write(path, bytes).unwrap();
        },
        |path| std::fs::write(path, b"PAR1 not quite PAR1").unwrap(),
        |path| std::fs::write(path, b"").unwrap(),
        |path| std::fs::remove_file(path).unwrap(),
    ];
    for damage in damages {
        copies(folder.path()).iter().for_each(|path| damage(path));
        let found = fixture.ask(everything).await.unwrap().signed.outcome;
        assert_eq!(found, expected);
        let alice = lookup_query(&fixture.table, "alice").await;
        assert_eq!(slots(&fixture.worker, alice).await, [1, 3]);
        // The damaged ones are removed once nobody reads them.
        eventually(Duration::from_secs(30), async || {
            fixture.worker.cache().await;
            copies(folder.path()).len() == 2
        })
        .await;
    }
}

async fn restart() {
    let mut fixture = fixture("restart").await;
    let folder = tempfile::tempdir().unwrap();
    fixture.worker = open_worker_with(&fixture.lake, 4, in_folder(folder.path())).await;
    fixture.ask(COUNT).await.unwrap();
    let before = fixture.worker.cache().await.disk;
    assert_eq!(before.files.len(), 2);
    // What a worker leaves behind that dies in the middle of things.
    let copy = copies(folder.path()).remove(0);
    std::fs::write(copy.with_file_name("half.parquet"), b"PAR1").unwrap();
    std::fs::write(folder.path().join("partial/7"), b"PAR1").unwrap();
    let other = open_worker_with(&fixture.lake, 5, WorkerConfig::default()).await;
    drop(std::mem::replace(&mut fixture.worker, other));
    fixture.worker = open_worker_with(&fixture.lake, 4, in_folder(folder.path())).await;
    let after = fixture.worker.cache().await.disk;
    assert_eq!(after.used_bytes, before.used_bytes);
    assert_eq!(after.files.len(), 2);
    assert_eq!(copies(folder.path()).len(), 2);
    assert!(!folder.path().join("partial/7").exists());
    assert_eq!(integers(&fixture.ask(COUNT).await.unwrap()), [3]);
}

async fn in_use() {
    let fixture = fixture("in_use").await;
    let folder = tempfile::tempdir().unwrap();
    let _first = open_worker_with(&fixture.lake, 6, in_folder(folder.path())).await;
    let config = in_folder(folder.path());
    let second = Worker::open(
        &config,
        fixture.lake.clone(),
        streamsync_core::Identity::from_seed([7; 32]),
        std::sync::Arc::new(streamsync_core::clock::SystemClock),
    );
    let Err(OpenWorkerError::Folder(error)) = second.await else {
        panic!("two workers share a folder")
    };
    assert!(error.to_string().contains("cache_folder"), "{error}");
}

async fn temporary() {
    let mine = || {
        let entries = std::fs::read_dir(std::env::temp_dir()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("streamsync-worker-"))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let before = mine();
    let fixture = fixture("temporary").await;
    fixture.ask(COUNT).await.unwrap();
    let during: Vec<String> = mine().difference(&before).cloned().collect();
    assert!(!during.is_empty());
    drop(fixture);
    let gone = async || during.iter().any(|name| !mine().contains(name));
    eventually(Duration::from_secs(30), gone).await;
}

async fn missed_together() {
    let fixture = fixture("missed_together").await;
    let worker = open_worker_with(&fixture.lake, 8, WorkerConfig::default()).await;
    let asked = query(&fixture.table, COUNT).await;
    let both = futures::future::join(worker.execute(asked.clone()), worker.execute(asked));
    let (one, two) = both.await;
    assert_eq!(integers(&one.unwrap()), [3]);
    assert_eq!(integers(&two.unwrap()), [3]);
    assert_eq!(worker.cache().await.disk.files.len(), 2);
}
