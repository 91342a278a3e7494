//! What readers of the lake see.

use crate::{Fallible, lake, now};
use std::{path::Path, sync::Arc, time::Duration};
use streamsync_core::{
    Constraint, ConstraintOp, Identity, Outcome, Parameter, Partition, Query, QueryId, Scalar,
    TableName, clock::SystemClock, config::WorkerConfig,
};
use streamsync_lake::tables;
use streamsync_worker::Worker;

/// How often each account is looked up; the first time brings it into the cache.
const ROUNDS: usize = 3;

/// The median time to open the table and to list its files, in 5 tries.
pub async fn open(root: &Path) -> Fallible<Duration> {
    let name = TableName::new(lake::TABLE)?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let began = now();
        let table = lake::open(root)?.table(&name).await?;
        table.files().await?;
        times.push(now() - began);
    }
    Ok(median(times))
}

/// The median time of a worker for the history of an account, once it has the files at hand.
pub async fn lookup(root: &Path, accounts: &[String]) -> Fallible<Duration> {
    let opened = lake::open(root)?;
    let name = TableName::new(lake::TABLE)?;
    let version = opened.table(&name).await?.version();
    let identity = Identity::from_seed([6; 32]);
    let clock = Arc::new(SystemClock);
    let worker = Worker::open(&WorkerConfig::default(), opened, identity, clock).await?;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        for account in accounts {
            let query = query(&name, version, account);
            let began = now();
            let answer = worker.execute(query).await?;
            if round == ROUNDS - 1 {
                times.push(now() - began);
            }
            match answer.signed.outcome {
                Outcome::Rows { rows, .. } if rows > 0 => {}
                other => return Err(format!("no rows of {account}: {other:?}").into()),
            }
        }
    }
    Ok(median(times))
}

fn query(name: &TableName, version: u64, account: &str) -> Query {
    let bucket = tables::bucket(account).to_string();
    let wanted = Constraint {
        column: "account".to_owned(),
        op: ConstraintOp::Eq(Scalar::Text(account.to_owned())),
    };
    Query {
        id: QueryId::new(&SystemClock, [6; 10]),
        sql: format!(
            "SELECT slot, transaction_index FROM {name} WHERE account = $1 \
             ORDER BY slot DESC, transaction_index DESC LIMIT 20"
        ),
        parameters: vec![Parameter::Text(account.to_owned())],
        snapshot: [(name.clone(), version)].into_iter().collect(),
        partitions: vec![Partition {
            table: name.clone(),
            values: [("bucket".to_owned(), Some(bucket))].into(),
        }],
        constraints: [(name.clone(), vec![wanted])].into(),
        ordered: true,
        time_left_ms: 60_000,
        max_rows: 1_000,
        max_bytes: 1 << 20,
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
