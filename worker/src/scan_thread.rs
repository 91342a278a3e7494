//! Threads for scans, which give way to lookups.
//!
//! A scan keeps all cores busy for as long as it takes, a lookup one core for a moment. Where both
//! want a core, the kernel's idle policy gives it to the lookup at once; niceness alone lets a scan
//! finish its time slice first, which is longer than a lookup.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::oneshot;

/// What scans get of a core that others want too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Share {
    /// Nothing.
    None,
    /// As much as the others.
    Equal,
}

/// Runs work on a thread of its own, with this share. Threads that the work starts have the same. When the
/// process ends, it does not wait for the work.
pub(crate) async fn run<T: Send + 'static>(
    share: Share,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("scan".to_owned())
        .spawn(move || {
            if share == Share::None {
                give_way();
            }
            // Nobody may be waiting any more.
            let _ = sender.send(work());
        })?;
    receiver
        .await
        .map_err(|_gone| std::io::Error::other("the thread of a scan ended early"))
}

fn give_way() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    if let Err(error) = set {
        tracing::debug!(?error, "a scan does not give way to lookups");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use thread_priority::thread_schedule_policy;

    #[tokio::test]
    async fn a_scan_and_its_threads_give_way_unless_they_are_equals() {
        let policies = || {
            let child = std::thread::spawn(|| thread_schedule_policy().unwrap());
            [thread_schedule_policy().unwrap(), child.join().unwrap()]
        };
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        assert_eq!(run(Share::None, policies).await.unwrap(), [idle; 2]);
        let other = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        assert_eq!(run(Share::Equal, policies).await.unwrap(), [other; 2]);
    }
}
