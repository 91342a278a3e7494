//! Recorded states of accounts.
//!
//! The format is that of [whirlpool-tx-replayer]: one JSON object with a slot, its time, and
//! accounts as they were at its end, data in base64.
//!
//! [whirlpool-tx-replayer]: https://github.com/orca-so/whirlpool-tx-replayer

use arrow::{
    array::{
        ArrayRef, BinaryArray, Date32Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    error::ArrowError,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use streamsync_lake::{
    Append, AppendError, Appended, CreateTableError, Lake, TransactionId, tables,
};

const TABLE: &str = "account_states";
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The largest file that is read, unpacked, in bytes.
const MOST_BYTES: u64 = 1 << 30;
const SECONDS_A_DAY: i64 = 86_400;
const MICROS_A_SECOND: i64 = 1_000_000;

/// Why recorded states could not be ingested. Nothing of the file was.
#[derive(Debug, thiserror::Error)]
pub enum AccountFileError {
    /// The file could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is larger than one is taken.
    #[error("{} has more than {MOST_BYTES} bytes; split it", .0.display())]
    TooLarge(PathBuf),
    /// The file is not of the format.
    #[error("could not understand {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The data of an account is not base64.
    #[error("the data of account {pubkey} is not base64")]
    Data {
        /// The account.
        pubkey: String,
        /// The cause.
        #[source]
        source: base64::DecodeError,
    },
    /// The table could not be created.
    #[error(transparent)]
    Create(#[from] Box<CreateTableError>),
    /// The rows do not fit the table.
    #[error("could not make rows of the states")]
    Rows(#[from] ArrowError),
    /// The thread that reads ended early.
    #[error("reading was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
    /// The rows could not be appended.
    #[error("could not append the states; ingest the file again")]
    Append(#[from] Box<AppendError>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct States {
    slot: i64,
    block_time: i64,
    accounts: Vec<State>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    pubkey: String,
    data: String,
    lamports: Option<i64>,
    owner: Option<String>,
    write_version: Option<i64>,
}

/// The content of a file.
fn unpacked(path: &Path) -> Result<Vec<u8>, AccountFileError> {
    let failed = |source| AccountFileError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::read(path).map_err(failed)?;
    let packed: Box<dyn Read> = if bytes.starts_with(&GZIP) {
        Box::new(flate2::read::MultiGzDecoder::new(bytes.as_slice()))
    } else {
        Box::new(bytes.as_slice())
    };
    let mut text = Vec::new();
    let mut limited = packed.take(MOST_BYTES + 1);
    limited.read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(AccountFileError::TooLarge(path.to_owned()));
    }
    Ok(text)
}

/// Ingests the states of a file, once however often it is repeated: a file of the same content is
/// the same file. The number of states, or `None` if they were there already.
pub async fn ingest(path: &Path, lake: &Lake) -> Result<Option<u64>, AccountFileError> {
    let reading = path.to_owned();
    let text = tokio::task::spawn_blocking(move || unpacked(&reading)).await??;
    let states: States =
        serde_json::from_slice(&text).map_err(|source| AccountFileError::Malformed {
            path: path.to_owned(),
            source,
        })?;
    let Some(definition) = tables::definition(TABLE) else {
        return Ok(None);
    };
    let table = lake.create_table(definition).await.map_err(Box::new)?;
    let count = states.accounts.len();
    let data = states.accounts.iter().map(|state| {
        let decoded = BASE64_STANDARD.decode(&state.data);
        decoded.map_err(|source| AccountFileError::Data {
            pubkey: state.pubkey.clone(),
            source,
        })
    });
    let data = data.collect::<Result<Vec<_>, _>>()?;
    let accounts = states.accounts.iter();
    let days = i32::try_from(states.block_time.div_euclid(SECONDS_A_DAY));
    let days = days.map_err(|_| ArrowError::ComputeError("no such day".to_owned()))?;
    let micros = states.block_time.saturating_mul(MICROS_A_SECOND);
    let versions = accounts.clone().map(|state| {
        // As they were at the end of the slot: after all that was written in it.
        state.write_version.unwrap_or(i64::MAX)
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_value(days, count)),
        Arc::new(Int64Array::from_value(states.slot, count)),
        Arc::new(TimestampMicrosecondArray::from_value(micros, count).with_timezone("UTC")),
        Arc::new(Int64Array::from_iter_values(versions)),
        Arc::new(StringArray::from_iter_values(
            accounts.clone().map(|state| &state.pubkey),
        )),
        Arc::new(
            accounts
                .clone()
                .map(|state| state.lamports)
                .collect::<Int64Array>(),
        ),
        Arc::new(
            accounts
                .map(|state| state.owner.clone())
                .collect::<StringArray>(),
        ),
        Arc::new(BinaryArray::from_iter_values(&data)),
    ];
    let append = Append {
        batches: vec![RecordBatch::try_new(table.schema(), columns)?],
        covers: None,
        transaction: Some(TransactionId {
            app_id: format!("account-file:{:x}", Sha256::digest(&text)),
            version: 1,
        }),
    };
    Ok(match table.append(append).await.map_err(Box::new)? {
        Appended::Committed { rows, .. } => Some(rows),
        Appended::AlreadyThere { .. } => None,
    })
}
