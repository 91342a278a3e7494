//! Answers as text, to compare them.

use crate::Fallible;
use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

/// Rows of text, sorted.
pub type Rows = Vec<Vec<String>>;

/// The rows of batches.
pub fn text(batches: &[RecordBatch]) -> Fallible<Rows> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Rows::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let values = columns.iter().map(|column| column.value(row).to_string());
            rows.push(values.collect());
        }
    }
    rows.sort();
    Ok(rows)
}

/// Fails where two answers differ, or where there is none.
pub fn same(what: &str, one: &Rows, other: &Rows) -> Fallible<()> {
    if one.is_empty() {
        return Err(format!("{what}: the answer has no rows").into());
    }
    if one != other {
        let first = one.iter().zip(other).find(|(one, other)| one != other);
        return Err(format!(
            "{what}: the answers differ: {} rows and {}, first {first:?}",
            one.len(),
            other.len()
        )
        .into());
    }
    Ok(())
}
