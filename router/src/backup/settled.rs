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

/// The format of files that this version reads.
const VERSION: u32 = 1;

/// What is needed of the first line.
#[derive(Deserialize)]
struct Header {
    version: u32,
    batch: u64,
    first_receipt: u64,
    last_receipt: u64,
    routers: BTreeMap<WorkerId, u64>,
}

impl Header {
    /// What is wrong with a file of this name and with so many receipts.
    fn fault(&self, name: &str, receipts: usize) -> Option<String> {
        let Self { version, batch, .. } = self;
        let all = self.last_receipt.checked_sub(self.first_receipt);
        if *version != VERSION {
            let said = format!("it has format {version}, and this version reads {VERSION}");
            Some(said)
        } else if settlement_file(*batch) != name {
            Some(format!("it is of batch {batch}"))
        } else if all.and_then(|all| all.checked_add(1)) != u64::try_from(receipts).ok() {
            let (first, last) = (self.first_receipt, self.last_receipt);
            Some(format!(
                "it has {receipts} receipts, and should have {first} to {last}"
            ))
        } else {
            None
        }
    }
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
    let damaged = |detail: String| SettledError::Damaged {
        name: name.to_owned(),
        detail,
    };
    let mut text = String::new();
    zstd::Decoder::new(bytes)
        .and_then(|unpacked| unpacked.take(MOST_BYTES).read_to_string(&mut text))
        .map_err(|error| damaged(described(&error)))?;
    let mut lines = text.lines();
    let unclear = |error: serde_json::Error| damaged(described(&error));
    let header: Header = serde_json::from_str(lines.next().unwrap_or_default()).map_err(unclear)?;
    let mut receipts = Vec::new();
    for line in lines {
        let signed: SignedReceipt = serde_json::from_str(line).map_err(unclear)?;
        // No other is ever put into one.
        if !signed.is_genuine() {
            let said = format!("receipt {} is not signed", signed.receipt.number);
            return Err(damaged(said));
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
    match header.fault(name, receipts.len()) {
        Some(fault) => Err(damaged(fault)),
        None => Ok((header.routers, receipts)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;
    use streamsync_core::{
        Amount, Class, Identity, KeyId, Promise, QueryId, Receipt, Split, clock::ManualClock,
        config::BucketConfig,
    };

    fn router() -> Identity {
        Identity::from_seed([1; 32])
    }

    /// A signed receipt of a number, which is also what it charges.
    fn receipt(number: u64) -> String {
        let worker = Identity::from_seed([2; 32]).id();
        let receipt = Receipt {
            router: router().id(),
            number,
            at_ms: number,
            query: QueryId::new(&ManualClock::at(number), [1; 10]),
            client: "acme".parse().unwrap(),
            key: KeyId::new([1; 16]),
            class: Class::Lookup,
            snapshot: "blocks@3".parse().unwrap(),
            digest: "07".repeat(32).parse().unwrap(),
            rows: 1,
            price: Amount(number),
            charged: Amount(number),
            promise: Promise::None,
            latency_us: 1,
            winner: worker,
            verifiers: Vec::new(),
            dissenters: Vec::new(),
            split: Split::new(Amount(number), 0),
        };
        serde_json::to_string(&receipt.sign(&router()).unwrap()).unwrap()
    }

    /// A lake with the files of batches: the number of each, its format, and its lines.
    async fn lake(name: &str, files: &[(u64, u32, Vec<String>)]) -> Lake {
        let lake = Lake::open(&BucketConfig {
            url: format!("memory:///settled-{name}"),
            ..BucketConfig::default()
        });
        let lake = lake.unwrap();
        let mut settled = 0;
        for (batch, version, lines) in files {
            let first = settled + 1;
            settled += 2;
            let routers = BTreeMap::from([(router().id(), settled)]);
            let header = json!({
                "version": version, "batch": batch, "first_receipt": first,
                "last_receipt": settled, "routers": routers, "dust": 7,
            });
            let mut text = header.to_string();
            lines.iter().for_each(|line| text += &format!("\n{line}"));
            let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
            let name = settlement_file(*batch);
            lake.put_object_once(&name, packed.into()).await.unwrap();
        }
        lake
    }

    /// A copy that charges for the receipts up to a number.
    fn backup(charged: u64) -> RegistryBackup {
        let json = json!({
            "format": 1, "taken_ms": 1, "newest_act": null, "keys": [], "accounts": {},
            "deposits": {}, "charged": { router().id().to_string(): charged }, "settled": {},
            "standings": {}, "minimum_stake": null,
        });
        serde_json::from_value(json).unwrap()
    }

    fn three() -> Vec<(u64, u32, Vec<String>)> {
        let batch = |number: u64| {
            (
                number,
                1,
                vec![receipt(number * 2 - 1), receipt(number * 2)],
            )
        };
        (1..=3).map(batch).collect()
    }

    #[tokio::test]
    async fn what_was_settled_since_is_charged() {
        let lake = lake("since", &three()).await;
        for charged in 0..=7 {
            let settled = settled_since(&lake, &backup(charged)).await.unwrap();
            assert_eq!(settled.routers, [(router().id(), 6)].into());
            let numbers: Vec<u64> = settled.receipts.iter().map(|one| one.number).collect();
            assert_eq!(numbers, (charged + 1..=6).collect::<Vec<_>>());
            let debits = settled.receipts.iter().map(|one| one.debit.charged.0);
            assert!(debits.eq(charged + 1..=6));
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_trusted_charges_nobody_and_says_so() {
        type Change = fn(&mut (u64, u32, Vec<String>));
        let changes: [(&str, Change, &str); 5] = [
            ("later", |file| file.1 = 2, "format 2"),
            ("fewer", |file| drop(file.2.pop()), "1 receipts"),
            (
                "nonsense",
                |file| file.2[1] = "{}".to_owned(),
                "missing field",
            ),
            (
                "unsigned",
                |file| file.2[1] = file.2[1].replace("\"rows\":1", "\"rows\":2"),
                "not signed",
            ),
            ("cut", |file| file.2[1].truncate(20), "EOF"),
        ];
        for (name, change, expected) in changes {
            let mut files = three();
            change(&mut files[1]);
            let lake = lake(name, &files).await;
            let error = settled_since(&lake, &backup(0)).await.unwrap_err();
            let said = streamsync_core::with_causes(&error);
            assert!(said.contains("batch-000000000002"), "{name}: {said}");
            assert!(said.contains(expected), "{name}: {said}");
            // Whoever is charged for all that is in it does not need it.
            assert!(settled_since(&lake, &backup(6)).await.is_ok(), "{name}");
        }
    }
}
