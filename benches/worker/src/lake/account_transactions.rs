//! Rows of the table `account_transactions`.

use super::{Emit, FIRST_SLOT, SLOTS, TRANSACTIONS, even};
use crate::keys::{ADDRESS, Keys, mix};
use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Int32Array, Int32Builder, Int64Builder, RecordBatch,
        StringBuilder,
    },
    datatypes::SchemaRef,
    error::ArrowError,
};
use std::sync::Arc;
use streamsync_lake::tables::{BUCKETS, bucket};

/// Transactions of an account, on average.
const EACH: u64 = 10;

/// The accounts of a lake with so many rows.
pub fn keys(seed: u64, rows: u64) -> Keys {
    Keys::new(mix(seed, 3), rows / EACH, ADDRESS)
}

/// How many transactions an account has: 1 to 19, and two neighbours together 20.
fn transactions(seed: u64, account: u64) -> u64 {
    let first = 1 + mix(seed ^ 4, account / 2) % (2 * EACH - 1);
    if account.is_multiple_of(2) {
        first
    } else {
        2 * EACH - first
    }
}

struct File {
    account: StringBuilder,
    slot: Int64Builder,
    transaction_index: Int32Builder,
    is_signer: BooleanBuilder,
    is_writable: BooleanBuilder,
}

impl File {
    fn new(rows: usize) -> Self {
        Self {
            account: StringBuilder::with_capacity(rows, rows * ADDRESS),
            slot: Int64Builder::with_capacity(rows),
            transaction_index: Int32Builder::with_capacity(rows),
            is_signer: BooleanBuilder::with_capacity(rows),
            is_writable: BooleanBuilder::with_capacity(rows),
        }
    }

    fn rows(&mut self, schema: &SchemaRef, bucket: i32) -> Result<RecordBatch, ArrowError> {
        let slot = self.slot.finish();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_value(bucket, slot.len())),
            Arc::new(self.account.finish()),
            Arc::new(slot),
            Arc::new(self.transaction_index.finish()),
            Arc::new(self.is_signer.finish()),
            Arc::new(self.is_writable.finish()),
        ];
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}

/// Makes the rows, one batch a file; the rows of an account are in one file.
pub fn generate(
    seed: u64,
    rows: u64,
    schema: &SchemaRef,
    emit: &mut Emit<'_>,
) -> Result<(), ArrowError> {
    let keys = keys(seed, rows);
    let full = even(rows / u64::from(BUCKETS.unsigned_abs()));
    let mut files: Vec<File> = (0..BUCKETS).map(|_| File::new(full + 20)).collect();
    let mut key = String::new();
    for account in 0..keys.count() {
        keys.write(account, &mut key);
        let bucket = bucket(&key);
        let file = &mut files[bucket as usize];
        let transactions = transactions(seed, account);
        let step = SLOTS / transactions as i64;
        for (turn, place) in (0_i64..).zip(0..transactions) {
            let noise = mix(seed ^ 5, account * 2 * EACH + place);
            let within = (noise >> 32) as i64 % step;
            file.account.append_value(&key);
            file.slot.append_value(FIRST_SLOT + turn * step + within);
            file.transaction_index
                .append_value((noise & 0xFFFF_FFFF) as i32 & TRANSACTIONS);
            file.is_signer.append_value(noise.is_multiple_of(4));
            file.is_writable.append_value(noise.is_multiple_of(3));
        }
        if file.slot.values_slice().len() >= full && !emit(file.rows(schema, bucket)?) {
            return Ok(());
        }
    }
    for (bucket, file) in (0..).zip(&mut files) {
        if !file.slot.values_slice().is_empty() && !emit(file.rows(schema, bucket)?) {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_as_many_transactions_as_the_lake_needs() {
        let all: u64 = (0..1_000).map(|account| transactions(7, account)).sum();
        assert_eq!(all, 1_000 * EACH);
        assert!((0..1_000).all(|account| transactions(7, account) >= 1));
    }
}
