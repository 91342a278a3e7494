//! The table `accounts`: the latest that is known of each account.
//!
//! What is known comes from the balances after each transaction of a block, and from recorded
//! states. Of each part of an account the one with the greatest slot, and within it the greatest
//! version, stays; taking the greatest of more is the same in any order and any number of times, so
//! neither the order of arrival matters nor whether rows are looked at twice.

use crate::{
    derived::{Derived, Views},
    merge::MergeError,
    scratch::Scratch,
    sorter::Sorter,
};
use duckdb::Connection;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, error::Error};
use streamsync_core::{PartitionValues, Scalar, TableName, config::CompactorConfig};
use streamsync_lake::{
    DataFile, Lake, OpenTableError, Replace, Replaced, StagedFile, Table,
    tables::{self, BUCKETS},
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// The table.
pub(crate) const TABLE: &str = "accounts";
/// Where states come from.
const SOURCES: [&str; 3] = ["balances", "token_balances", "account_states"];
/// The Delta metadata domain in which the table records how far it has come.
const DOMAIN: &str = "streamsync.accounts";

/// What the table says of itself.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
struct State {
    /// The version of each source that is in the table.
    sources: BTreeMap<TableName, u64>,
}

/// Why the accounts were not brought up to date. They are as they were.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// A table could not be read or written.
    #[error("could not read or write table `{table}` to bring the accounts up to date")]
    Lake {
        /// The table.
        table: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Files could not be copied, or rows not be computed or written.
    #[error("could not compute the latest states of accounts")]
    Compute(#[from] Box<MergeError>),
    /// A thread ended early.
    #[error("bringing the accounts up to date was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

fn lake(table: &str, source: impl Error + Send + Sync + 'static) -> AccountsError {
    AccountsError::Lake {
        table: table.to_owned(),
        source: Box::new(source),
    }
}

/// A source with the files that may hold something new.
struct Source {
    table: Table,
    files: Vec<DataFile>,
}

/// Brings the table up to date; how many rows it has then, if there was something new. `None` where
/// another compactor was faster.
pub(crate) async fn bring_up_to_date(
    lake_: &Lake,
    config: &CompactorConfig,
    scratch: &Scratch,
    stop: &CancellationToken,
) -> Result<Option<u64>, AccountsError> {
    let mut tables = Vec::new();
    for name in SOURCES {
        let parsed = TableName::new(name).map_err(|error| lake(name, error))?;
        match lake_.table(&parsed).await {
            Ok(table) => tables.push(table),
            Err(OpenTableError::NotFound { .. }) => {}
            Err(error) => return Err(lake(name, error)),
        }
    }
    let Some(definition) = tables::definition(TABLE).filter(|_| !tables.is_empty()) else {
        return Ok(Some(0));
    };
    let mut accounts = lake_
        .create_table(definition)
        .await
        .map_err(|error| lake(TABLE, error))?;
    let state = state(&accounts).await?;
    let reached = State {
        sources: tables
            .iter()
            .map(|table| (table.name().clone(), table.version()))
            .collect(),
    };
    if state == reached {
        return Ok(Some(0));
    }
    let mut sources = Vec::new();
    for table in tables {
        let files = new_files(&table, state.sources.get(table.name()).copied()).await?;
        sources.push(Source { table, files });
    }
    loop {
        let last = advance(&mut sources, config.merge_bytes);
        let old = accounts.files().await.map_err(|error| lake(TABLE, error))?;
        let staged = compute(&accounts, &old, &last.taken, config, scratch, stop).await?;
        let rows = staged.iter().map(StagedFile::rows).sum();
        // What was taken before the end is only not looked at again; the versions come last.
        let recorded = if last.is_last { &reached } else { &state };
        let text = serde_json::to_string(recorded).map_err(|error| lake(TABLE, error))?;
        let replace = Replace {
            data_change: !staged.is_empty(),
            remove: match staged.is_empty() {
                true => Vec::new(),
                false => old.to_vec(),
            },
            add: staged,
            domains: vec![(DOMAIN.to_owned(), text)],
            only_now: true,
        };
        let replaced = accounts.replace(replace).await;
        match replaced.map_err(|error| lake(TABLE, error))? {
            Replaced::Committed(after) => accounts = after,
            Replaced::Superseded(_) => return Ok(None),
        }
        if last.is_last {
            return Ok(Some(rows));
        }
    }
}

/// How far the table has come. Where that is not understood, everything is looked at again, which
/// gives the same.
async fn state(accounts: &Table) -> Result<State, AccountsError> {
    let state = accounts.domain(DOMAIN).await;
    let state = state.map_err(|error| lake(TABLE, error))?;
    let understood = state.and_then(|text| serde_json::from_str(&text).ok());
    Ok(understood.unwrap_or_default())
}

/// The version of a table up to which everything is in the accounts; `None` where nothing is, and
/// the newest where the table has nothing to do with accounts.
pub(crate) async fn reached(lake_: &Lake, source: &Table) -> Result<Option<u64>, AccountsError> {
    if !SOURCES.contains(&source.name().as_str()) {
        return Ok(Some(source.version()));
    }
    let name = TableName::new(TABLE).map_err(|error| lake(TABLE, error))?;
    match lake_.table(&name).await {
        Ok(accounts) => Ok(state(&accounts).await?.sources.get(source.name()).copied()),
        Err(OpenTableError::NotFound { .. }) => Ok(None),
        Err(error) => Err(lake(TABLE, error)),
    }
}

/// The files that may hold rows that came after a version: those with slots that came then.
async fn new_files(table: &Table, since: Option<u64>) -> Result<Vec<DataFile>, AccountsError> {
    let name = table.name().as_str();
    let files = table.files().await.map_err(|error| lake(name, error))?;
    let changes = match since {
        Some(version) => table
            .changes_since(version)
            .await
            .map_err(|error| lake(name, error))?,
        None => None,
    };
    let Some(changes) = changes else {
        return Ok(files.to_vec());
    };
    let added = changes.iter().flat_map(|commit| &commit.added);
    let spans: Vec<Option<(i128, i128)>> =
        added.map(|added| span(added.columns.get("slot"))).collect();
    let is_new = |file: &&DataFile| {
        let own = span(file.columns.get("slot"));
        spans.iter().any(|span| match (span, own) {
            (Some((low, high)), Some((first, last))) => *low <= last && *high >= first,
            // Nothing is known, so it may be.
            _ => true,
        })
    };
    Ok(files.iter().filter(is_new).cloned().collect())
}

fn span(range: Option<&streamsync_lake::ColumnRange>) -> Option<(i128, i128)> {
    match (range?.min.as_ref()?, range?.max.as_ref()?) {
        (Scalar::Int(low), Scalar::Int(high)) => Some((*low, *high)),
        _ => None,
    }
}

/// Files that are looked at in one go.
struct Taken {
    taken: Vec<(Table, Vec<DataFile>)>,
    is_last: bool,
}

/// The next files, of no more than so many bytes, or a single one.
fn advance(sources: &mut [Source], most_bytes: u64) -> Taken {
    let mut bytes = 0_u64;
    let mut taken = Vec::new();
    for source in sources.iter_mut() {
        let mut own = Vec::new();
        while let Some(file) = source.files.last() {
            if bytes > 0 && bytes + file.size > most_bytes {
                break;
            }
            bytes += file.size;
            own.extend(source.files.pop());
        }
        taken.push((source.table.clone(), own));
    }
    let is_last = sources.iter().all(|source| source.files.is_empty());
    Taken { taken, is_last }
}

async fn compute(
    accounts: &Table,
    old: &[DataFile],
    taken: &[(Table, Vec<DataFile>)],
    config: &CompactorConfig,
    scratch: &Scratch,
    stop: &CancellationToken,
) -> Result<Vec<StagedFile>, AccountsError> {
    if taken.iter().all(|(_, files)| files.is_empty()) {
        return Ok(Vec::new());
    }
    let folder = scratch
        .folder()
        .map_err(MergeError::from)
        .map_err(Box::new)?;
    let mut views = Views::default();
    views.add("old", accounts, old, folder.path()).await?;
    for name in SOURCES {
        let source = taken
            .iter()
            .find(|(table, _)| table.name().as_str() == name);
        match source {
            Some((table, files)) => views.add(name, table, files, folder.path()).await?,
            None => views.statements.push(absent(name)),
        }
    }
    let derived = Derived {
        table: accounts.clone(),
        target_bytes: config.target_file_bytes,
        runtime: Handle::current(),
    };
    let (memory, threads) = (config.memory_bytes, config.threads);
    let sorter = Sorter::open(folder.path(), &views.files, memory, threads);
    let sorter = sorter.map_err(MergeError::from).map_err(Box::new)?;
    let computed = sorter.work(stop, move |connection| {
        let mut staged = Vec::new();
        let done = write_all(&derived, connection, &views, &mut staged);
        if done.is_err() {
            derived.runtime.block_on(derived.table.discard(&staged));
        }
        done.map(|()| staged)
    });
    Ok(computed.await?.map_err(Box::new)?)
}

/// A source that the lake does not have.
fn absent(name: &str) -> String {
    let columns = match name {
        "balances" => "NULL::VARCHAR AS account, NULL::BIGINT AS post",
        "token_balances" => {
            "NULL::VARCHAR AS account, NULL::VARCHAR AS mint, NULL::VARCHAR AS owner, \
             NULL::DECIMAL(20, 0) AS post_amount"
        }
        _ => {
            "NULL::VARCHAR AS pubkey, NULL::BIGINT AS write_version, NULL::BIGINT AS lamports, \
             NULL::VARCHAR AS owner, NULL::BLOB AS data"
        }
    };
    format!(
        "CREATE VIEW {name} AS SELECT {columns}, NULL::BIGINT AS slot, \
         NULL::INTEGER AS transaction_index WHERE false"
    )
}

fn write_all(
    derived: &Derived,
    connection: &Connection,
    views: &Views,
    staged: &mut Vec<StagedFile>,
) -> Result<(), MergeError> {
    for view in &views.statements {
        connection.execute_batch(view)?;
    }
    connection.execute_batch(LATEST)?;
    for bucket in 0..BUCKETS {
        let partition: PartitionValues = [("bucket".to_owned(), Some(bucket.to_string()))].into();
        // The first hexadecimal digit of the MD5, as everywhere in the lake.
        let statement =
            format!("SELECT * FROM latest WHERE md5(pubkey)[1] = '{bucket:x}' ORDER BY pubkey");
        derived.write(connection, &statement, &partition, staged)?;
    }
    Ok(())
}

/// The latest of what is in `old` and in the sources. Whatever is of the same place is the same,
/// except where a recorded state without lamports says nothing of them.
const LATEST: &str = "
CREATE TABLE latest AS
WITH lamports AS (
    SELECT pubkey, max_by({'value': lamports, 'slot': slot, 'version': version}, (slot, version)) AS x
    FROM (
        SELECT pubkey, lamports, lamports_slot AS slot, lamports_version AS version FROM old
        WHERE lamports_slot IS NOT NULL
        UNION ALL SELECT account, post, slot, transaction_index::BIGINT FROM balances
        UNION ALL SELECT pubkey, lamports, slot, write_version FROM account_states
        WHERE lamports IS NOT NULL
    ) GROUP BY pubkey
), tokens AS (
    SELECT pubkey, max_by({'mint': mint, 'owner': owner, 'amount': amount, 'slot': slot,
                           'version': version}, (slot, version)) AS x
    FROM (
        SELECT pubkey, mint, token_owner AS owner, token_amount AS amount, token_slot AS slot,
               token_version AS version FROM old
        WHERE token_slot IS NOT NULL
        UNION ALL SELECT account, mint, owner, post_amount, slot, transaction_index::BIGINT
        FROM token_balances
    ) GROUP BY pubkey
), states AS (
    SELECT pubkey, max_by({'owner': owner, 'data': data, 'slot': slot, 'version': version},
                          (slot, version)) AS x
    FROM (
        SELECT pubkey, owner, data, data_slot AS slot, data_version AS version FROM old
        WHERE data_slot IS NOT NULL
        UNION ALL SELECT pubkey, owner, data, slot, write_version FROM account_states
    ) GROUP BY pubkey
)
SELECT pubkey,
       l.x.value AS lamports, l.x.slot AS lamports_slot, l.x.version AS lamports_version,
       t.x.mint AS mint, t.x.owner AS token_owner, t.x.amount AS token_amount,
       t.x.slot AS token_slot, t.x.version AS token_version,
       s.x.owner AS owner, s.x.data AS data, s.x.slot AS data_slot, s.x.version AS data_version
FROM lamports l
FULL JOIN tokens t USING (pubkey)
FULL JOIN states s USING (pubkey)
";
