//! The SQL functions that a query may call.

use std::{collections::HashSet, sync::LazyLock};

/// Functions that stand where a table stands.
pub const TABLE_FUNCTIONS: [&str; 3] = ["range", "generate_series", "unnest"];

static FUNCTIONS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("functions.txt").lines();
    lines.filter(|line| !line.starts_with('#')).collect()
});

/// Whether a query may call the function of this name, in lower case: one that gives the same
/// answer to the same rows on every worker, and reaches nothing but its arguments.
pub fn is_allowed(name: &str) -> bool {
    FUNCTIONS.contains(name)
}

/// The greatest length that a query may ask of one of [`arguments_of_length`].
pub const MAX_LENGTH: u64 = 10_000;

/// Which arguments of a function say how long its result is, counted from 0. Each must be a
/// literal of at most [`MAX_LENGTH`], because nothing stops such a function before it is done.
pub fn arguments_of_length(name: &str) -> std::ops::Range<usize> {
    match name {
        "repeat" | "lpad" | "rpad" | "bitstring" => 1..2,
        "range" | "generate_series" => 0..3,
        _ => 0..0,
    }
}
