//! StreamSync over an S3 server that fails: a proxy between the two injects the faults.

mod archiving;
mod ingesting;
mod racing;

pub use archiving::archives;
pub use ingesting::ingests;
pub use racing::{bucket, races};

use crate::cluster::text;
use arrow::compute::concat_batches;
use std::{collections::BTreeMap, process::Output};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Lake, Table, tables};
use streamsync_testing::{Fault, Rule, S3Proxy, Suite, row_lines};

/// Faults that look alike to those who meet them.
fn groups() -> [(&'static str, Vec<Fault>); 3] {
    let groups = [
        ("late or refused", &["slow", "internal error", "slow down"]),
        ("cut", &["reset", "truncated", "shortened"]),
        (
            "lost or old",
            &["lost answer", "error afterwards", "stale list"],
        ),
    ];
    groups.map(|(group, names)| {
        let every = Fault::every_kind().into_iter();
        (
            group,
            every
                .filter(|fault| names.contains(&fault.name()))
                .collect(),
        )
    })
}

pub fn add(suite: &mut Suite) {
    for (group, faults) in groups() {
        let (ingested, raced) = (faults.clone(), faults.clone());
        suite.needs_s3(
            &format!("blocks come in once over a bucket whose answers are {group}"),
            |bucket| ingests(bucket, ingested),
        );
        suite.needs_s3(
            &format!("queries are answered over a bucket whose answers are {group}"),
            |bucket| races(bucket, raced),
        );
        suite.needs_s3(
            &format!("evidence is archived once over a bucket whose answers are {group}"),
            |bucket| archives(bucket, faults),
        );
    }
    suite.needs_s3("a bucket that fails costs time and no answer", bucket);
}

async fn proxied(bucket: &BucketConfig) -> S3Proxy {
    S3Proxy::start(bucket.endpoint.as_deref().unwrap()).await
}

/// Injects a fault into a share of requests, and no other fault. Bodies are shortened rarely, as nobody asks
/// again for one whose length is what was said.
fn inject(proxy: &S3Proxy, fault: &Fault, share: f64, seed: u64) {
    let rule = Rule::new(fault.clone());
    proxy.heal();
    proxy.inject(match fault {
        Fault::Shortened(_) => rule.share(0.03, seed),
        // Of lists there are few, and fewer of which something could be left out.
        fault if fault.name() == "stale list" => rule.share(0.6, seed),
        _ => rule.share(share, seed),
    });
}

/// How often a fault was injected.
fn injected(proxy: &S3Proxy, fault: &Fault) -> usize {
    let kinds = proxy.injected_by_kind();
    kinds.get(fault.name()).copied().unwrap_or_default()
}

/// Sees that each of the faults was injected.
fn assert_injected(proxy: &S3Proxy, faults: &[Fault]) {
    let kinds = proxy.injected_by_kind();
    println!("{} requests, injected {kinds:?}", proxy.requests());
    for fault in faults {
        assert!(injected(proxy, fault) > 0, "{}: {kinds:?}", fault.name());
    }
}

/// Flags that name a bucket at an endpoint.
fn flags<'a>(bucket: &'a BucketConfig, endpoint: &'a str) -> [&'a str; 4] {
    ["--bucket", &bucket.url, "--s3-endpoint", endpoint]
}

/// What failed has to say what it was doing.
fn assert_clear(output: &Output) {
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(
        said.contains("could not") || said.contains("is damaged"),
        "{output:?}"
    );
}

type Rows = BTreeMap<&'static str, Vec<String>>;

async fn table(bucket: &BucketConfig, name: &str) -> Table {
    let lake = Lake::open(bucket).unwrap();
    lake.table(&name.parse().unwrap()).await.unwrap()
}

/// All rows of a table, as sorted text.
async fn lines_of(table: &Table) -> Vec<String> {
    let mut batches = Vec::new();
    for file in table.files().await.unwrap().iter() {
        batches.extend(table.read(file).await.unwrap());
    }
    let mut lines = row_lines(&concat_batches(&table.schema(), &batches).unwrap());
    lines.sort();
    lines
}

/// All rows of each table that blocks are in.
async fn rows(bucket: &BucketConfig) -> Rows {
    let mut all = BTreeMap::new();
    for definition in tables::chain() {
        all.insert(
            definition.name,
            lines_of(&table(bucket, definition.name).await).await,
        );
    }
    all
}

fn folder(path: &std::path::Path) -> BucketConfig {
    BucketConfig {
        url: path.display().to_string(),
        ..BucketConfig::default()
    }
}
