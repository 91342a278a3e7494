//! Rows of the table `signatures`.

use super::{Emit, FIRST_SLOT, SLOTS, TRANSACTIONS, even};
use crate::keys::{Keys, SIGNATURE, mix};
use arrow::{
    array::{ArrayRef, Int32Array, Int32Builder, Int64Builder, RecordBatch, StringBuilder},
    datatypes::SchemaRef,
    error::ArrowError,
};
use std::sync::Arc;
use streamsync_lake::tables::{BUCKETS, bucket};

/// The signatures of a lake with so many.
pub fn keys(seed: u64, rows: u64) -> Keys {
    Keys::new(mix(seed, 1), rows, SIGNATURE)
}

struct File {
    signature: StringBuilder,
    slot: Int64Builder,
    transaction_index: Int32Builder,
}

impl File {
    fn new(rows: usize) -> Self {
        Self {
            signature: StringBuilder::with_capacity(rows, rows * SIGNATURE),
            slot: Int64Builder::with_capacity(rows),
            transaction_index: Int32Builder::with_capacity(rows),
        }
    }

    fn rows(&mut self, schema: &SchemaRef, bucket: i32) -> Result<RecordBatch, ArrowError> {
        let slot = self.slot.finish();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_value(bucket, slot.len())),
            Arc::new(self.signature.finish()),
            Arc::new(slot),
            Arc::new(self.transaction_index.finish()),
        ];
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}

/// Makes the rows, one batch a file.
pub fn generate(
    seed: u64,
    rows: u64,
    schema: &SchemaRef,
    emit: &mut Emit<'_>,
) -> Result<(), ArrowError> {
    let keys = keys(seed, rows);
    let full = even(rows / u64::from(BUCKETS.unsigned_abs()));
    let mut files: Vec<File> = (0..BUCKETS).map(|_| File::new(full)).collect();
    let mut key = String::new();
    for index in 0..rows {
        keys.write(index, &mut key);
        let bucket = bucket(&key);
        let file = &mut files[bucket as usize];
        let noise = mix(seed ^ 2, index);
        file.signature.append_value(&key);
        file.slot
            .append_value(FIRST_SLOT + (noise >> 32) as i64 % SLOTS);
        file.transaction_index
            .append_value((noise & 0xFFFF_FFFF) as i32 & TRANSACTIONS);
        if file.slot.values_slice().len() == full && !emit(file.rows(schema, bucket)?) {
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
