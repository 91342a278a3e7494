//! What was settled after a copy was made, as the files of batches in the bucket say.
//!
//! A batch is settled as its file says, whoever settles it and whenever: so a receipt in a file counts,
//! whether or not the chain has its batch yet.

use super::described;
use serde::Deserialize;
use std::{collections::BTreeMap, io::Read};
use streamsync_core::{SignedReceipt, WorkerId, settlement_file};
use streamsync_lake::{Lake, ObjectError};
use streamsync_registry::{Debit, RegistryBackup, SettledReceipt};

/// The folder of the files.
const FOLDER: &str = "settlements";
/// As much as a file may unpack to, in bytes.
const MOST_BYTES: u64 = 4 << 30;

/// Why it could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum SettledError {
    /// The bucket did not give a file.
    #[error("could not read the files of settled batches")]
    Object(#[from] ObjectError),
    /// A file says nothing that can be understood.
    #[error("the file {name} is damaged: {detail}")]
    Damaged {
        /// The object.
        name: String,
        /// How.
        detail: String,
    },
}

/// What was settled.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Up to which number the receipts of each router.
    pub(super) routers: BTreeMap<WorkerId, u64>,
    /// Those that the copy does not charge for.
    pub(super) receipts: Vec<SettledReceipt>,
}

/// What is needed of the first line.
#[derive(Deserialize)]
struct Header {
    routers: BTreeMap<WorkerId, u64>,
}

/// From the newest file back to one that says nothing new.
pub(super) async fn settled_since(
    lake: &Lake,
    backup: &RegistryBackup,
) -> Result<Settled, SettledError> {
    let mut settled = Settled::default();
    let files = lake.object_names(FOLDER).await?;
    for file in files.iter().rev() {
        let name = format!("{FOLDER}/{file}");
        if !is_batch(&name) {
            continue;
        }
        let Some(bytes) = lake.get_object(&name).await? else {
            continue;
        };
        let (routers, receipts) = read(&name, &bytes)?;
        let is_new = |router: &WorkerId, number: u64| {
            number > backup.charged.get(router).copied().unwrap_or_default()
        };
        let any_new = routers
            .iter()
            .any(|(router, number)| is_new(router, *number));
        // The newest file has the greatest numbers.
        for (router, number) in routers {
            let known = settled.routers.entry(router).or_default();
            *known = number.max(*known);
        }
        if !any_new {
            break;
        }
        let new = receipts
            .into_iter()
            .filter(|receipt| is_new(&receipt.router, receipt.number));
        settled.receipts.extend(new);
    }
    // Oldest first, as they were given.
    settled
        .receipts
        .sort_by_key(|receipt| (receipt.router, receipt.number));
    Ok(settled)
}

fn is_batch(name: &str) -> bool {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits
        .parse()
        .is_ok_and(|batch| settlement_file(batch) == name)
}

type File = (BTreeMap<WorkerId, u64>, Vec<SettledReceipt>);

fn read(name: &str, bytes: &[u8]) -> Result<File, SettledError> {
    let damaged = |error: &(dyn std::error::Error + 'static)| SettledError::Damaged {
        name: name.to_owned(),
        detail: described(error),
    };
    let mut text = String::new();
    zstd::Decoder::new(bytes)
        .and_then(|unpacked| unpacked.take(MOST_BYTES).read_to_string(&mut text))
        .map_err(|error| damaged(&error))?;
    let mut lines = text.lines();
    let header: Header =
        serde_json::from_str(lines.next().unwrap_or_default()).map_err(|error| damaged(&error))?;
    let mut receipts = Vec::new();
    for line in lines {
        // What no router has signed took nothing from anybody.
        let Ok(signed) = serde_json::from_str::<SignedReceipt>(line) else {
            continue;
        };
        if !signed.is_genuine() {
            continue;
        }
        let receipt = signed.receipt;
        receipts.push(SettledReceipt {
            router: receipt.router,
            number: receipt.number,
            debit: Debit {
                client: receipt.client,
                charged: receipt.charged,
                receipt: line.to_owned(),
            },
        });
    }
    Ok((header.routers, receipts))
}
