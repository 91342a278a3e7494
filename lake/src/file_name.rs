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

/// The name of a data file: `part-<uuid>.zstd.parquet`, and of one whose rows were rewritten twice
/// `part-<uuid>.g2.zstd.parquet`.
pub(crate) fn data_file(id: Uuid, generation: u32) -> String {
    match generation {
        0 => format!("part-{id}.zstd.parquet"),
        _ => format!("part-{id}.g{generation}.zstd.parquet"),
    }
}

/// How often the rows of a file were rewritten, by its path; 0 for the files of other writers.
pub(crate) fn generation(path: &str) -> u32 {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut parts = name.split('.');
    let generation = parts.nth(1).and_then(|part| part.strip_prefix('g'));
    generation
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// When the identifier was made, in milliseconds since 1970.
pub(crate) fn unix_millis(id: Uuid) -> i64 {
    id.get_timestamp().map_or(0, |made| {
        let (seconds, nanos) = made.to_unix();
        let millis = u128::from(seconds) * 1000 + u128::from(nanos) / 1_000_000;
        i64::try_from(millis).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_how_often_rows_were_rewritten() {
        let id = unique();
        for known in [0, 1, 3, 12] {
            let path = format!("date=2024-03-14/{}", data_file(id, known));
            assert_eq!(generation(&path), known, "{path}");
        }
        for other in ["part-0001.snappy.parquet", "g7", "a.gold.parquet", ""] {
            assert_eq!(generation(other), 0, "{other}");
        }
    }
}
