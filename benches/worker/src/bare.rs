//! DuckDB without StreamSync, to compare with.

use crate::{
    Fallible,
    question::Question,
    rows::{self, Rows},
    sample::{self, Sample},
};
use arrow::array::RecordBatch;
use duckdb::{
    Config, Connection, Statement, params_from_iter,
    types::{TimeUnit, Value},
};
use std::path::PathBuf;
use streamsync_core::Parameter;

/// A DuckDB in memory.
pub struct Bare(Connection);

impl Bare {
    /// Opens one with so many threads and so much memory.
    pub fn open(threads: usize, memory_bytes: u64) -> Fallible<Self> {
        let settings = Config::default()
            .threads(i64::try_from(threads)?)?
            .max_memory(&format!("{memory_bytes}B"))?;
        let connection = Connection::open_in_memory_with_flags(settings)?;
        // The footers of files that have been read are kept: DuckDB at its best.
        connection.execute_batch("SET parquet_metadata_cache = true")?;
        Ok(Self(connection))
    }

    /// Loads a table from files, if wanted with an index on a column.
    pub fn load(&self, table: &str, files: &[PathBuf], index: Option<&str>) -> Fallible<()> {
        let source = source(files);
        // In the order of the files, which is that of the keys in each bucket.
        let sql = format!("CREATE TABLE {table} AS SELECT * FROM {source}");
        self.0.execute_batch(&sql)?;
        if let Some(column) = index {
            let sql = format!("CREATE INDEX {table}_{column} ON {table} ({column})");
            self.0.execute_batch(&sql)?;
            // With it, DuckDB 1.5 scans for `ORDER BY … LIMIT` where it could use the index.
            self.0.execute_batch("SET disabled_optimizers = 'top_n'")?;
        }
        Ok(())
    }

    /// Makes a table of files without reading them.
    pub fn show(&self, table: &str, files: &[PathBuf]) -> Fallible<()> {
        let source = source(files);
        let sql = format!("CREATE OR REPLACE TEMP VIEW {table} AS SELECT * FROM {source}");
        Ok(self.0.execute_batch(&sql)?)
    }

    /// Prepares a query.
    pub fn prepare(&self, sql: &str) -> Fallible<Prepared<'_>> {
        Ok(Prepared(self.0.prepare(sql)?))
    }

    /// The plan by which DuckDB has run a query. Only then it is decided whether an index is used.
    pub fn plan(&self, question: &Question) -> Fallible<String> {
        let sql = format!("EXPLAIN ANALYZE {}", question.query.sql);
        let parameters = params_from_iter(question.query.parameters.iter().map(value));
        let mut statement = self.0.prepare(&sql)?;
        let batches: Vec<RecordBatch> = statement.query_arrow(parameters)?.collect();
        Ok(rows::text(&batches)?.concat().join("\n"))
    }
}

/// A prepared query.
pub struct Prepared<'a>(Statement<'a>);

impl Prepared<'_> {
    /// The rows of the answer.
    pub fn rows(&mut self, question: &Question) -> Fallible<Rows> {
        rows::text(&self.run(question)?)
    }

    /// Answers each of the questions once.
    pub fn round(&mut self, questions: &[Question]) -> Fallible<Sample> {
        let mut sample = Sample::default();
        for question in questions {
            let began = sample::now();
            let batches = self.run(question)?;
            sample.add([sample::now() - began]);
            drop(batches);
        }
        Ok(sample)
    }

    fn run(&mut self, question: &Question) -> Fallible<Vec<RecordBatch>> {
        let parameters = params_from_iter(question.query.parameters.iter().map(value));
        Ok(self.0.query_arrow(parameters)?.collect())
    }
}

fn source(files: &[PathBuf]) -> String {
    let files = files.iter().map(|file| {
        let file = file.display().to_string().replace('\'', "''");
        format!("'{file}'")
    });
    let files = files.collect::<Vec<_>>().join(", ");
    format!("read_parquet([{files}], hive_partitioning = true)")
}

fn value(parameter: &Parameter) -> Value {
    match parameter {
        Parameter::Null => Value::Null,
        Parameter::Boolean(value) => Value::Boolean(*value),
        Parameter::Integer(value) => {
            i64::try_from(*value).map_or(Value::HugeInt(*value), Value::BigInt)
        }
        Parameter::Double(value) => Value::Double(*value),
        Parameter::Text(text) => Value::Text(text.clone()),
        Parameter::Blob(bytes) => Value::Blob(bytes.clone()),
        Parameter::Date(days) => Value::Date32(*days),
        Parameter::Timestamp(micros) => Value::Timestamp(TimeUnit::Microsecond, *micros),
    }
}
