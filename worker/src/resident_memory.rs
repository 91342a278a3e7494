//! The memory that the process takes.

/// The bytes of memory that the process has in use, as Linux counts them (resident set size);
/// `None` where that cannot be told.
pub(crate) fn bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE_BYTES)
}

/// The size of a page on every platform that libduckdb is built for on Linux.
const PAGE_BYTES: u64 = 4096;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_counts() {
        let before = bytes().unwrap();
        let used = vec![1_u8; 64 << 20];
        let after = bytes().unwrap();
        assert!(after >= before + (60 << 20), "{before} then {after}");
        drop(used);
    }
}
