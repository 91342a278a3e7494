//! What a settlement does, one after the other; where tests let it die.

use futures::future::BoxFuture;

/// A step that is about to be made.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Step {
    /// Take the lease.
    Lease,
    /// Ask the chain how far it is.
    AskChain,
    /// Look for a batch that was written and not settled.
    LookForBatch,
    /// Read the batch before.
    ReadLast,
    /// Collect receipts.
    Collect,
    /// Verify and sum them up.
    Aggregate,
    /// Write the batch to the bucket.
    Write,
    /// Sign a transaction.
    Sign,
    /// Send it.
    Send,
    /// Ask what became of it.
    AskStatus,
    /// Check that the chain has this batch and no other.
    Check,
    /// Add the receipts to the lake.
    ArchiveReceipts,
    /// Add the batch to the lake.
    ArchiveBatch,
    /// Tell those who ask in Redis of settled batches.
    Publish,
    /// Forget the receipts in Redis.
    Trim,
    /// Look which rewards are not claimed.
    LookForClaims,
    /// Claim rewards.
    Claim,
    /// Give the lease back.
    Release,
}

/// Who is told of each step before it is made.
pub trait Steps: Send + Sync + 'static {
    /// A step is about to be made; it is made when this ends.
    fn before(&self, step: Step) -> BoxFuture<'_, ()>;
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Steps for Silent {
    fn before(&self, _step: Step) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
