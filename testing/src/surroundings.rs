//! What a test may find around it: recorded data, an S3 server, a Python.

use std::{env, path::PathBuf, process::Command};
use streamsync_core::config::BucketConfig;
use uuid::Uuid;

/// The bucket that the test set-up creates on the S3 server.
pub const S3_BUCKET: &str = "streamsync-test";

/// The folder of recorded Solana data: `STREAMSYNC_FIXTURES`, or else `../shared/data` beside the
/// workspace. `None` where it is absent, or where the variable is set to nothing.
pub fn fixtures() -> Option<PathBuf> {
    match variable("STREAMSYNC_FIXTURES") {
        Variable::Value(folder) => {
            let folder = PathBuf::from(folder);
            assert!(
                folder.is_dir(),
                "STREAMSYNC_FIXTURES is `{}`, which is not a folder",
                folder.display()
            );
            Some(folder)
        }
        Variable::Empty => None,
        Variable::Unset => {
            let folder = workspace().parent()?.join("shared/data");
            folder.is_dir().then_some(folder)
        }
    }
}

/// The endpoint of the S3 server for tests, `http://127.0.0.1:4566`: `STREAMSYNC_TEST_S3`. `None`
/// where there is none.
pub fn s3_endpoint() -> Option<String> {
    match variable("STREAMSYNC_TEST_S3") {
        Variable::Value(endpoint) => Some(endpoint),
        Variable::Empty | Variable::Unset => None,
    }
}

/// A place on an S3 server that no other test has: a fresh prefix in [`S3_BUCKET`], with the test's
/// name in it for those who look inside.
pub fn s3_bucket(test: &str, endpoint: &str) -> BucketConfig {
    #[allow(
        clippy::disallowed_methods,
        reason = "tests that run at the same time have to differ"
    )]
    let unique = Uuid::new_v4();
    let name = test.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    BucketConfig {
        url: format!("s3://{S3_BUCKET}/{name}-{unique}"),
        endpoint: Some(endpoint.to_owned()),
        access_key_id: Some("test".to_owned()),
        secret_access_key: Some("test".to_owned().into()),
        ..BucketConfig::default()
    }
}

/// A Python interpreter that has the `deltalake` package: `STREAMSYNC_TEST_PYTHON`, or else the one
/// that `scripts/setup --test` made. `None` where it is absent, or where the variable is set to
/// nothing.
pub fn python() -> Option<PathBuf> {
    match variable("STREAMSYNC_TEST_PYTHON") {
        Variable::Value(python) => Some(python.into()),
        Variable::Empty => None,
        Variable::Unset => {
            let python = workspace().join(".deps/python/bin/python");
            python.is_file().then_some(python)
        }
    }
}

/// A Node.js of version 18 or later, which has `fetch`. `None` where there is none.
pub fn node() -> Option<PathBuf> {
    let asked = Command::new("node").arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&asked.stdout).into_owned();
    let major = version.trim().trim_start_matches('v').split('.').next()?;
    (major.parse::<u32>().ok()? >= 18).then(|| PathBuf::from("node"))
}

/// The folder of the workspace's `Cargo.toml`: that of the checkout that the tests are run in, which may
/// share what was built with others.
fn workspace() -> PathBuf {
    let tested = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let tested = tested.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut folders = tested.ancestors();
    let workspace = folders.find(|folder| folder.join("Cargo.lock").is_file());
    workspace.unwrap_or(&tested).to_owned()
}

enum Variable {
    Unset,
    Empty,
    Value(String),
}

fn variable(name: &str) -> Variable {
    match env::var(name) {
        Ok(value) if value.is_empty() => Variable::Empty,
        Ok(value) => Variable::Value(value),
        Err(env::VarError::NotPresent) => Variable::Unset,
        Err(error) => panic!("cannot read the environment variable {name}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_has_a_place_of_its_own() {
        let first = s3_bucket("two writers: one wins", "http://127.0.0.1:4566");
        let second = s3_bucket("two writers: one wins", "http://127.0.0.1:4566");
        assert_ne!(first.url, second.url);
        let prefix = "s3://streamsync-test/two-writers--one-wins-";
        assert!(first.url.starts_with(prefix), "{}", first.url);
    }

    #[test]
    fn the_workspace_is_found() {
        assert!(workspace().join("Cargo.lock").is_file());
    }
}
