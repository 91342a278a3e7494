//! How a worker's memory is shared out.

use streamsync_core::config::Profile;

/// Parts of a worker's memory, in bytes. What is left is for answers on their way out, for files
/// on their way in, and for the process itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Budgets {
    /// Pages of files, decoded.
    pub(crate) rows: u64,
    /// Footers and page indexes of files.
    pub(crate) footers: u64,
    /// DuckDB for lookups.
    pub(crate) lookups: u64,
    /// DuckDB for scans.
    pub(crate) scans: u64,
    /// What the whole process may take before scans are stopped.
    pub(crate) most: u64,
}

/// What a worker takes besides the rows and queries that its memory is for: the program, its
/// libraries and threads, and what allocators hold back.
const BASE_BYTES: u64 = 192 << 20;

impl Budgets {
    pub(crate) fn of(memory_bytes: u64, profile: Profile) -> Self {
        let percent = |share: u64| memory_bytes / 100 * share;
        let (rows, scans) = match profile {
            Profile::Speed => (55, 25),
            Profile::Cache => (30, 50),
            Profile::Archive => (10, 70),
        };
        Self {
            rows: percent(rows),
            footers: percent(5),
            lookups: percent(5),
            scans: percent(scans),
            most: percent(110) + BASE_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_left_over() {
        for profile in [Profile::Speed, Profile::Cache, Profile::Archive] {
            let budgets = Budgets::of(1_000, profile);
            let all = budgets.rows + budgets.footers + budgets.lookups + budgets.scans;
            assert_eq!(all, 900);
        }
    }
}
