//! Names of data files.

use uuid::Uuid;

/// A number that nobody else has: of a data file, or of a commit.
///
/// The one place where the lake takes time and randomness from the air. A name decided by a seed
/// could be that of another process's file, and writing it would destroy that file's rows.
#[allow(
    clippy::disallowed_methods,
    reason = "must differ from those of every other process, whatever a test or a seed decides"
)]
pub(crate) fn unique() -> Uuid {
    Uuid::now_v7()
}

/// The name of a data file: `part-<uuid>.zstd.parquet`.
pub(crate) fn data_file(id: Uuid) -> String {
    format!("part-{id}.zstd.parquet")
}

/// When the identifier was made, in milliseconds since 1970.
pub(crate) fn unix_millis(id: Uuid) -> i64 {
    id.get_timestamp().map_or(0, |made| {
        let (seconds, nanos) = made.to_unix();
        let millis = u128::from(seconds) * 1000 + u128::from(nanos) / 1_000_000;
        i64::try_from(millis).unwrap_or(i64::MAX)
    })
}
