//! Where copies lie: sealed, each under the time at which it was made.

use serde::Deserialize;
use std::io;
use streamsync_access::{MasterSecrets, SealError};
use streamsync_lake::{Lake, ObjectError};
use streamsync_registry::{BACKUP_FORMAT as FORMAT, RegistryBackup};

/// The milliseconds of a UTC day.
const DAY_MS: u64 = 86_400_000;
/// The folder in the bucket.
const FOLDER: &str = "backups";
/// How hard it is pressed; the library's own default.
const LEVEL: i32 = 3;
/// As much as a copy may unpack to, in bytes.
const MOST_BYTES: u64 = 4 << 30;

/// The copies in a bucket.
#[derive(Clone, Debug)]
pub struct Backups {
    lake: Lake,
    masters: MasterSecrets,
}

/// As much of a copy as every version understands.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The name of a copy.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct StoredBackup {
    /// When it was made, by Redis's clock, in milliseconds since 1970.
    pub taken_ms: u64,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The bucket did not do it.
    #[error("could not reach the backups in the bucket")]
    Object(#[from] ObjectError),
    /// It could not be sealed or opened.
    #[error("could not use the backup {name}")]
    Seal {
        /// The object.
        name: String,
        /// Why.
        source: SealError,
    },
    /// It could not be packed or unpacked.
    #[error("could not pack or unpack the backup {name}")]
    Packed {
        /// The object.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// What it says cannot be understood.
    #[error("could not understand the backup {name}")]
    Json {
        /// The object.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A later version has made it.
    #[error(
        "the backup {name} has format {format}, and this version reads {FORMAT}: use a later one"
    )]
    Newer {
        /// The object.
        name: String,
        /// Its format.
        format: u32,
    },
    /// There is none of that name.
    #[error("there is no backup {0}; `streamsync backup list` names those that there are")]
    Absent(String),
}

impl StoredBackup {
    /// The object's name, relative to the lake.
    pub fn name(&self) -> String {
        format!("{FOLDER}/{}", self.file())
    }

    /// The name without its folder, by which people choose it.
    pub fn file(&self) -> String {
        format!("redis-{:013}.zst.sealed", self.taken_ms)
    }

    /// The copy of an object's name without its folder; `None` if it is no copy.
    pub fn of(file: &str) -> Option<Self> {
        let taken = file.strip_prefix("redis-")?.strip_suffix(".zst.sealed")?;
        let backup = Self {
            taken_ms: taken.parse().ok()?,
        };
        (backup.file() == file).then_some(backup)
    }
}

impl Backups {
    /// Those of a lake.
    pub fn new(lake: Lake, masters: MasterSecrets) -> Self {
        Self { lake, masters }
    }

    /// All of them, oldest first.
    pub async fn list(&self) -> Result<Vec<StoredBackup>, BackupError> {
        let names = self.lake.object_names(FOLDER).await?;
        let mut stored: Vec<_> = names
            .iter()
            .filter_map(|name| StoredBackup::of(name))
            .collect();
        stored.sort();
        Ok(stored)
    }

    /// Keeps a copy.
    pub async fn write(&self, backup: &RegistryBackup) -> Result<StoredBackup, BackupError> {
        let stored = StoredBackup {
            taken_ms: backup.taken_ms,
        };
        let name = stored.name();
        let json = serde_json::to_vec(backup).map_err(|source| BackupError::Json {
            name: name.clone(),
            source,
        })?;
        let packed = zstd::encode_all(json.as_slice(), LEVEL);
        let packed = packed.map_err(|source| BackupError::Packed {
            name: name.clone(),
            source,
        })?;
        let sealed = self.masters.seal(&name, &packed);
        let sealed = sealed.map_err(|source| BackupError::Seal {
            name: name.clone(),
            source,
        })?;
        // One of the same millisecond says the same.
        self.lake.put_object_once(&name, sealed.into()).await?;
        Ok(stored)
    }

    /// Reads a copy.
    pub async fn read(&self, stored: &StoredBackup) -> Result<RegistryBackup, BackupError> {
        use std::io::Read;
        let name = stored.name();
        let sealed = self.lake.get_object(&name).await?;
        let sealed = sealed.ok_or_else(|| BackupError::Absent(stored.file()))?;
        let packed = self.masters.open(&name, &sealed);
        let packed = packed.map_err(|source| BackupError::Seal {
            name: name.clone(),
            source,
        })?;
        let mut json = Vec::new();
        zstd::Decoder::new(packed.as_slice())
            .and_then(|unpacked| unpacked.take(MOST_BYTES).read_to_end(&mut json))
            .map_err(|source| BackupError::Packed {
                name: name.clone(),
                source,
            })?;
        let unclear = |source| BackupError::Json {
            name: name.clone(),
            source,
        };
        // What a later one says otherwise need not be understood to tell that.
        let Format { format } = serde_json::from_slice(&json).map_err(unclear)?;
        if format > FORMAT {
            return Err(BackupError::Newer { name, format });
        }
        serde_json::from_slice(&json).map_err(unclear)
    }

    /// Deletes all that are older than one, but for the newest of them and, for so many days, the last one
    /// of each: many changes of one day do not take away what was before. Returns how many it deleted.
    pub async fn prune(
        &self,
        newest: &StoredBackup,
        keep: usize,
        keep_days: u64,
    ) -> Result<usize, BackupError> {
        let mut stored = self.list().await?;
        // One from the future is nobody's measure.
        stored.retain(|stored| stored <= newest);
        let needless = needless(&stored, keep, keep_days);
        for old in &needless {
            self.lake.delete_object(&old.name()).await?;
        }
        Ok(needless.len())
    }
}

/// Those of a list, oldest first, that need not be kept.
fn needless(stored: &[StoredBackup], keep: usize, keep_days: u64) -> Vec<StoredBackup> {
    let day = |stored: &StoredBackup| stored.taken_ms / DAY_MS;
    let Some(today) = stored.last().map(day) else {
        return Vec::new();
    };
    let old = stored.len().saturating_sub(keep);
    let with_next = stored.iter().zip(stored.iter().skip(1));
    with_next
        .take(old)
        .filter(|(one, next)| {
            let is_last_of_day = day(one) < day(next);
            !is_last_of_day || day(one) + keep_days < today
        })
        .map(|(one, _)| one.clone())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use streamsync_core::config::BucketConfig;

    fn lake(name: &str) -> Lake {
        let bucket = BucketConfig {
            url: format!("memory:///backups-{name}"),
            ..BucketConfig::default()
        };
        Lake::open(&bucket).unwrap()
    }

    #[test]
    fn the_newest_and_the_last_of_each_day_are_kept() {
        let at = |day: u64, hour: u64| StoredBackup {
            taken_ms: day * DAY_MS + hour * 3_600_000,
        };
        let stored = [
            at(1, 5),
            at(9, 3),
            at(9, 4),
            at(10, 1),
            at(10, 2),
            at(10, 3),
        ];
        assert_eq!(needless(&stored, 2, 5), [at(1, 5), at(9, 3), at(10, 1)]);
        assert_eq!(needless(&stored, 2, 9), [at(9, 3), at(10, 1)]);
        assert_eq!(needless(&stored, 9, 9), []);
        assert_eq!(needless(&stored[..1], 1, 0), []);
        assert_eq!(needless(&[], 1, 0), []);
    }

    #[tokio::test]
    async fn what_is_from_the_future_is_neither_deleted_nor_a_measure() {
        let lake = lake("of-the-future");
        let backups = Backups::new(lake.clone(), MasterSecrets::new([7; 32]));
        let at = |day: u64| StoredBackup {
            taken_ms: day * DAY_MS,
        };
        for day in [1, 2, 3, 900] {
            let name = at(day).name();
            lake.put_object_once(&name, "sealed".into()).await.unwrap();
        }
        assert_eq!(backups.prune(&at(3), 1, 1).await.unwrap(), 1);
        assert_eq!(backups.list().await.unwrap(), [at(2), at(3), at(900)]);
    }

    #[tokio::test]
    async fn a_later_format_is_told_whatever_else_it_says() {
        let lake = lake("of-a-later-version");
        let masters = MasterSecrets::new([7; 32]);
        let stored = StoredBackup { taken_ms: 5 };
        let packed = zstd::encode_all(&br#"{"format":2,"everything":[]}"#[..], 1).unwrap();
        let sealed = masters.seal(&stored.name(), &packed).unwrap();
        lake.put_object_once(&stored.name(), sealed.into())
            .await
            .unwrap();
        let read = Backups::new(lake, masters).read(&stored).await;
        assert!(
            matches!(read, Err(BackupError::Newer { format: 2, .. })),
            "{read:?}"
        );
    }

    #[test]
    fn names_tell_when() {
        let stored = StoredBackup {
            taken_ms: 1_795_251_286_874,
        };
        assert_eq!(stored.name(), "backups/redis-1795251286874.zst.sealed");
        assert_eq!(StoredBackup::of(&stored.file()), Some(stored));
        for other in ["redis-1.zst.sealed", "redis-x.zst.sealed", "a.parquet", ""] {
            assert_eq!(StoredBackup::of(other), None, "{other}");
        }
    }
}
