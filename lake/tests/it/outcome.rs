//! What became of a behaviour, as `scripts/conformance` puts it into its table.

use std::{env, fs, path::PathBuf};

/// How a store does what it is asked.
pub enum Outcome {
    /// As StreamSync needs it, or would like it.
    Holds,
    /// Otherwise, in a way that StreamSync gets along with.
    Differs(String),
    /// There is nothing of the kind.
    Absent,
}

/// Notes an outcome in the folder that `STREAMSYNC_TEST_OUTCOMES` names, if it does: a file for each
/// behaviour. What fails leaves none.
pub fn note(store: &str, behaviour: &str, outcome: &Outcome) {
    let Some(folder) = env::var_os("STREAMSYNC_TEST_OUTCOMES") else {
        return;
    };
    let text = match outcome {
        Outcome::Holds => "yes",
        Outcome::Differs(how) => how,
        Outcome::Absent => "–",
    };
    let folder = PathBuf::from(folder).join(store);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(behaviour), text).unwrap();
}
