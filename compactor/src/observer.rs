//! Telling people what a compactor does.

/// Who is told. Every method does nothing unless it is given something to do; they are called in
/// the middle of work and must return soon.
pub trait Observer: Send + Sync + 'static {
    /// A job begins, which will read so many bytes, or delete them.
    fn began(&self, job: &str, bytes: u64) {
        let _ = (job, bytes);
    }

    /// So many bytes more of it were read, or deleted.
    fn read(&self, bytes: u64) {
        let _ = bytes;
    }

    /// So many bytes more of it were put into the bucket.
    fn wrote(&self, bytes: u64) {
        let _ = bytes;
    }

    /// The job is over, and this is what came of it.
    fn ended(&self, outcome: &str) {
        let _ = outcome;
    }
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}
