//! Errors in one line.

use std::error::Error;

/// An error and all that caused it, in one line.
///
/// ```
/// let error = "x".parse::<u8>().unwrap_err();
/// assert_eq!(streamsync_core::with_causes(&error), "invalid digit found in string");
/// ```
pub fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
