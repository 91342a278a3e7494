//! Where a settled batch lies in the bucket.

/// The file of a batch of receipts, relative to the lake: zstd over lines of JSON, first what the
/// batch says of itself, then its signed receipts. Whoever settles writes it once; its SHA-256 hash is
/// on the chain.
///
/// ```
/// assert_eq!(
///     streamsync_core::settlement_file(12),
///     "settlements/batch-000000000012.jsonl.zst"
/// );
/// ```
pub fn settlement_file(batch: u64) -> String {
    format!("settlements/batch-{batch:012}.jsonl.zst")
}
