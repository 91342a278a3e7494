//! What a process takes of the machine.

use std::fmt;

/// The size of a page of memory on the machines this runs on.
const PAGE: u64 = 4_096;

/// The memory and the open descriptors of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Footprint {
    /// Resident memory in bytes.
    pub bytes: u64,
    /// Open files and sockets.
    pub descriptors: usize,
}

impl Footprint {
    /// Of a process, nothing where it has ended.
    pub fn of(process: u32) -> Self {
        let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
        let pages: u64 = statm
            .split_whitespace()
            .nth(1)
            .and_then(|pages| pages.parse().ok())
            .unwrap_or_default();
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd"));
        Self {
            bytes: pages * PAGE,
            descriptors: descriptors.map_or(0, Iterator::count),
        }
    }

    /// Whether the other takes no more of either.
    pub fn holds(self, other: Self) -> bool {
        other.bytes <= self.bytes && other.descriptors <= self.descriptors
    }

    /// The larger of each.
    pub fn most(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} MiB and {} descriptors",
            self.bytes >> 20,
            self.descriptors
        )
    }
}
