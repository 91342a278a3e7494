//! A binary full of tests.

use crate::surroundings::{fixtures, python, s3_bucket, s3_endpoint};
use libtest_mimic::{Arguments, Failed, Trial};
use std::{any::Any, path::PathBuf, process::ExitCode, time::Duration};
use streamsync_core::config::BucketConfig;

/// The longest that one test may take before it fails, unless `STREAMSYNC_TEST_SECONDS` allows more.
pub const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The longest that a test's leftover work may hold up the end of the test.
const WIND_DOWN: Duration = Duration::from_secs(2);

fn time_limit() -> Duration {
    let seconds = std::env::var("STREAMSYNC_TEST_SECONDS").ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    seconds.map_or(TIME_LIMIT, Duration::from_secs)
}

/// The tests of one binary. They understand the arguments of Rust's own test harness, so
/// `cargo test` and `cargo nextest run` work as ever.
///
/// A body is async and runs on a runtime of its own with two threads; a panic in it fails the
/// test, and so does taking longer than [`TIME_LIMIT`]. A test that needs what is not there counts
/// as *ignored* and says why in brackets before its name; asked for all the same (`--ignored`), it
/// fails.
#[derive(Debug, Default)]
pub struct Suite {
    trials: Vec<Trial>,
}

impl Suite {
    /// A suite without tests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a test that needs nothing.
    pub fn test<B, F>(&mut self, name: &str, body: B)
    where
        B: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let thread = name.to_owned();
        self.trials.push(Trial::test(name, move || {
            finish(&thread, time_limit(), body())
        }));
    }

    /// Adds a test that needs `found`; without it the test is skipped, with `missing` as the
    /// reason: `"no fixtures"`.
    pub fn needs<T, B, F>(&mut self, name: &str, found: Option<T>, missing: &str, body: B)
    where
        T: Send + 'static,
        B: FnOnce(T) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(found) = found {
            self.test(name, move || body(found));
            return;
        }
        let reason = format!("skipped: {missing}");
        let failure = format!("this test cannot run: {missing}");
        self.trials.push(
            Trial::test(name, move || Err(failure.into()))
                .with_kind(reason)
                .with_ignored_flag(true),
        );
    }

    /// Adds a test that needs the recordings of real Solana data; it is given their folder, see
    /// [`fixtures`].
    pub fn needs_fixtures<B, F>(&mut self, name: &str, body: B)
    where
        B: FnOnce(PathBuf) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.needs(name, fixtures(), "no fixtures", body);
    }

    /// Adds a test that needs an S3 server; it is given a place of its own there, see
    /// [`s3_bucket`].
    pub fn needs_s3<B, F>(&mut self, name: &str, body: B)
    where
        B: FnOnce(BucketConfig) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let bucket = s3_endpoint().map(|endpoint| s3_bucket(name, &endpoint));
        self.needs(name, bucket, "no S3 endpoint", body);
    }

    /// Adds a test that needs a Python with the `deltalake` package; it is given the interpreter,
    /// see [`python`].
    pub fn needs_python<B, F>(&mut self, name: &str, body: B)
    where
        B: FnOnce(PathBuf) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.needs(name, python(), "no Python with deltalake", body);
    }

    /// Does what the command line asks: runs the tests, or some, or lists them. The exit code is
    /// for `main` to return.
    pub fn run(self) -> ExitCode {
        libtest_mimic::run(&Arguments::from_args(), self.trials).exit_code()
    }
}

/// Runs a body to its end, its panic or its time limit, on threads named after the test.
fn finish<F>(name: &str, limit: Duration, body: F) -> Result<(), Failed>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime for the test: {error}"))?;
    // On a thread of its own, so that a body which blocks cannot hold up the time limit.
    let body = runtime.spawn(body);
    let ended = runtime.block_on(async { tokio::time::timeout(limit, body).await });
    runtime.shutdown_timeout(WIND_DOWN);
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(match error.try_into_panic() {
            Ok(payload) => message(payload.as_ref()).into(),
            Err(error) => error.into(),
        }),
        Err(_) => Err(format!("not done after {limit:?}").into()),
    }
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("panicked without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(100);

    fn outcome(
        limit: Duration,
        body: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Option<String>> {
        finish("outcome", limit, body).map_err(|failed| failed.message().map(str::to_owned))
    }

    #[test]
    fn a_body_that_ends_passes() {
        assert_eq!(outcome(LONG, async {}), Ok(()));
    }

    #[test]
    fn a_panic_fails_with_its_message() {
        assert_eq!(
            outcome(LONG, async { panic!("plain") }),
            Err(Some("plain".to_owned()))
        );
        assert_eq!(
            outcome(LONG, async { panic!("slot {}", 7) }),
            Err(Some("slot 7".to_owned()))
        );
    }

    #[test]
    fn a_body_that_waits_for_ever_fails() {
        let failed = Err(Some("not done after 100ms".to_owned()));
        assert_eq!(outcome(SHORT, std::future::pending()), failed);
    }

    #[test]
    fn a_body_that_blocks_its_thread_fails() {
        // Held by the test, so that the receiving end blocks until the test is over.
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let blocks = async move {
            let _ = receiver.recv();
        };
        let failed = Err(Some("not done after 100ms".to_owned()));
        assert_eq!(outcome(SHORT, blocks), failed);
        drop(sender);
    }

    #[test]
    fn a_test_without_what_it_needs_is_ignored_and_says_why() {
        let mut suite = Suite::new();
        suite.needs("there", Some(1), "no number", |_| async {});
        suite.needs("absent", None::<u8>, "no number", |_| async {});
        let kinds: Vec<_> = suite
            .trials
            .iter()
            .map(|trial| (trial.name(), trial.kind(), trial.has_ignored_flag()))
            .collect();
        assert_eq!(
            kinds,
            [("there", "", false), ("absent", "skipped: no number", true)]
        );
    }

    #[test]
    fn a_test_without_what_it_needs_fails_when_forced() {
        let mut suite = Suite::new();
        suite.needs("absent", None::<u8>, "no number", |_| async {});
        let forced = Arguments {
            ignored: true,
            ..Arguments::default()
        };
        let conclusion = libtest_mimic::run(&forced, suite.trials);
        assert_eq!((conclusion.num_failed, conclusion.num_ignored), (1, 0));
    }
}
