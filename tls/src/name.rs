//! Names in certificates.

use streamsync_core::WorkerId;

/// The DNS name of a worker in its certificate: the 64 hexadecimal digits of its public key in two
/// labels, as one may have no more than 63, under `worker.streamsync`.
///
/// ```
/// use streamsync_core::WorkerId;
///
/// let name = streamsync_tls::worker_name(WorkerId::new([171; 32]));
/// assert_eq!(name, format!("{0}.{0}.worker.streamsync", "ab".repeat(16)));
/// ```
pub fn worker_name(worker: WorkerId) -> String {
    let (high, low) = worker.as_bytes().split_at(16);
    format!(
        "{}.{}.worker.streamsync",
        hex::encode(high),
        hex::encode(low)
    )
}
