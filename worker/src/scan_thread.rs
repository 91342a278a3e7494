//! Threads for scans, which give way to lookups.
//!
//! A scan keeps all cores busy for as long as it takes, a lookup one core for a moment. Where both
//! want a core, the kernel gives it to the thread that is less nice.

use tokio::sync::oneshot;

/// How nice scans are; 0 is as others, 19 the most.
const NICENESS: i32 = 19;

/// Runs work on a thread of its own that gives way to others. Threads that the work starts do so
/// too.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("scan".to_owned())
        .spawn(move || {
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                tracing::debug!(%error, "a scan does not give way to lookups");
            }
            // Nobody may be waiting any more.
            let _ = sender.send(work());
        })?;
    receiver
        .await
        .map_err(|_gone| std::io::Error::other("the thread of a scan ended early"))
}
