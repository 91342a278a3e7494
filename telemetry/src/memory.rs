//! How much memory a process should take at the most.

use std::fs;

/// Where the limit of a container is read: control groups of version 2 and 1, as a container sees them.
const LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// Notes how much memory, in bytes, the settings of this process explain, as the gauge
/// `streamsync_memory_expected_bytes`: nine tenths of what its container may have, if that is less. Who
/// watches it learns of more before the system ends it.
pub fn expect_memory(bytes: u64) {
    let limits = LIMITS
        .iter()
        .filter_map(|path| limit(&fs::read_to_string(path).ok()?));
    let least = limits.map(|limit| limit / 10 * 9).min();
    let expected = least.map_or(bytes, |least| least.min(bytes));
    metrics::gauge!("streamsync_memory_expected_bytes").set(expected as f64);
}

/// The limit that such a file names; `max` is none.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("1073741824\n"), Some(1 << 30));
        // Version 1 says so where there is none.
        assert_eq!(
            limit("9223372036854771712\n"),
            Some(i64::MAX as u64 - 4_095)
        );
    }
}
