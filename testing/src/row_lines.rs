//! Rows as text, to compare them.

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

/// The rows of a batch, each as a line of text, in their order.
pub fn row_lines(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default();
    let columns: Vec<ArrayFormatter<'_>> = rows
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("a type with a text"))
        .collect();
    let line = |row: usize| {
        let values = columns.iter().map(|column| column.value(row).to_string());
        values.collect::<Vec<_>>().join(" | ")
    };
    (0..rows.num_rows()).map(line).collect()
}
