//! Rows of the table `token_balances`.

use super::{Emit, FIRST_DAY, FIRST_SLOT, SLOTS_A_DAY, TRANSACTIONS, even};
use crate::keys::{ADDRESS, Keys, mix};
use arrow::{
    array::{
        ArrayRef, Date32Array, Decimal128Builder, Int32Builder, Int64Builder, RecordBatch,
        StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::SchemaRef,
    error::ArrowError,
};
use std::sync::Arc;

/// Days, and so partitions.
pub const DAYS: i32 = 5;
/// Tokens. The first has the most rows, the n-th an n-th of that.
const MINTS: u64 = 1_000;
/// Rows of an account on a day.
const EACH: u64 = 4;
const PROGRAM: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const DAY_MICROS: i64 = 86_400_000_000;

struct File {
    slot: Int64Builder,
    block_time: TimestampMicrosecondBuilder,
    transaction_index: Int32Builder,
    account: StringBuilder,
    mint: StringBuilder,
    owner: StringBuilder,
    program_id: StringBuilder,
    decimals: Int32Builder,
    pre_amount: Decimal128Builder,
    post_amount: Decimal128Builder,
}

impl File {
    fn new(rows: usize) -> Result<Self, ArrowError> {
        let text = || StringBuilder::with_capacity(rows, rows * ADDRESS);
        let amount = || Decimal128Builder::with_capacity(rows).with_precision_and_scale(20, 0);
        Ok(Self {
            slot: Int64Builder::with_capacity(rows),
            block_time: TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"),
            transaction_index: Int32Builder::with_capacity(rows),
            account: text(),
            mint: text(),
            owner: text(),
            program_id: text(),
            decimals: Int32Builder::with_capacity(rows),
            pre_amount: amount()?,
            post_amount: amount()?,
        })
    }

    fn rows(&mut self, schema: &SchemaRef, date: i32) -> Result<RecordBatch, ArrowError> {
        let slot = self.slot.finish();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Date32Array::from_value(date, slot.len())),
            Arc::new(slot),
            Arc::new(self.block_time.finish()),
            Arc::new(self.transaction_index.finish()),
            Arc::new(self.account.finish()),
            Arc::new(self.mint.finish()),
            Arc::new(self.owner.finish()),
            Arc::new(self.program_id.finish()),
            Arc::new(self.decimals.finish()),
            Arc::new(self.pre_amount.finish()),
            Arc::new(self.post_amount.finish()),
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
    let a_day = rows / u64::from(DAYS.unsigned_abs());
    let full = even(a_day);
    let mints = Keys::new(mix(seed, 6), MINTS, ADDRESS);
    let harmonic: f64 = (1..=MINTS).map(|rank| 1.0 / rank as f64).sum();
    let (mut mint, mut account, mut owner) = (String::new(), String::new(), String::new());
    for day in 0..DAYS {
        let mut file = File::new(full)?;
        let mut left = a_day;
        for place in 0..MINTS {
            mints.write(place, &mut mint);
            // A bijection, because 387 and 1,000 have no common divisor.
            let rank = (place * 387 + 1) % MINTS + 1;
            let share = a_day as f64 / (rank as f64 * harmonic);
            let wanted = if place + 1 == MINTS {
                left
            } else {
                (share as u64).clamp(1, left)
            };
            left -= wanted;
            let accounts = Keys::new(mix(seed ^ 7, place), wanted.div_ceil(EACH), ADDRESS);
            let owners = Keys::new(mix(seed ^ 8, place), wanted.div_ceil(EACH), ADDRESS);
            for row in 0..wanted {
                if row.is_multiple_of(EACH) {
                    accounts.write(row / EACH, &mut account);
                    owners.write(row / EACH, &mut owner);
                }
                let noise = mix(mix(seed ^ 9, place), row + (day as u64) * a_day);
                let quarter = SLOTS_A_DAY / EACH as i64;
                let within = (row % EACH) as i64 * quarter + (noise >> 32) as i64 % quarter;
                file.slot
                    .append_value(FIRST_SLOT + i64::from(day) * SLOTS_A_DAY + within);
                let second = within * 2 / 5;
                file.block_time
                    .append_value(i64::from(FIRST_DAY + day) * DAY_MICROS + second * 1_000_000);
                file.transaction_index
                    .append_value((noise & 0xFFFF_FFFF) as i32 & TRANSACTIONS);
                file.account.append_value(&account);
                file.mint.append_value(&mint);
                file.owner.append_value(&owner);
                file.program_id.append_value(PROGRAM);
                file.decimals
                    .append_value(if place % 3 == 0 { 9 } else { 6 });
                let amount = i128::from(noise >> 24);
                let created = noise.is_multiple_of(64);
                file.pre_amount.append_option((!created).then_some(amount));
                file.post_amount
                    .append_value(amount + i128::from(noise & 0xFFFF));
                if file.slot.values_slice().len() == full
                    && !emit(file.rows(schema, FIRST_DAY + day)?)
                {
                    return Ok(());
                }
            }
        }
        if !file.slot.values_slice().is_empty() && !emit(file.rows(schema, FIRST_DAY + day)?) {
            return Ok(());
        }
    }
    Ok(())
}
