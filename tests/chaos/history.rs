//! Every version of the lake's tables, as it was.

use crate::question::{Held, Subjects};
use arrow::array::RecordBatch;
use std::{collections::HashMap, error::Error};
use streamsync_core::{Snapshot, TableName};
use streamsync_lake::{Lake, Table};

/// What questions look at, by the beginning of the table's name.
const COLUMNS: [(&str, &[&str]); 6] = [
    ("blocks", &["slot", "blockhash", "transaction_count"]),
    ("signatures", &["signature", "slot", "transaction_index"]),
    ("account_transactions", &["account", "slot"]),
    ("transactions", &["slot", "fee", "success"]),
    ("instructions", &["program_id"]),
    ("transaction_rates", &["transactions", "fees"]),
];

/// Reads the lake as it was at any version. A file never changes, so each is read once.
pub struct History {
    lake: Lake,
    tables: HashMap<TableName, Table>,
    /// Of each version: its files.
    versions: HashMap<(TableName, u64), Vec<String>>,
    files: HashMap<(TableName, String), Vec<RecordBatch>>,
    subjects: Subjects,
}

impl History {
    pub fn new(lake: Lake, subjects: Subjects) -> Self {
        Self {
            lake,
            tables: HashMap::new(),
            versions: HashMap::new(),
            files: HashMap::new(),
            subjects,
        }
    }

    /// How many versions and files were read.
    pub fn read(&self) -> (usize, usize) {
        (self.versions.len(), self.files.len())
    }

    /// Reads all that a snapshot names, if that was not before: while its files are still there.
    pub async fn learn(&mut self, snapshot: &Snapshot) -> Result<(), Box<dyn Error>> {
        for (name, version) in snapshot.iter() {
            let place = (name.clone(), version);
            if self.versions.contains_key(&place) {
                continue;
            }
            let table = match self.tables.get(name) {
                Some(table) => table.at(version).await?,
                None => self.lake.table_at(name, version).await?,
            };
            let mut paths = Vec::new();
            for file in table.files().await?.iter() {
                paths.push(file.path.clone());
                let key = (name.clone(), file.path.clone());
                if self.files.contains_key(&key) {
                    continue;
                }
                let mut kept = Vec::new();
                for rows in table.read(file).await? {
                    self.subjects.learn(name.as_str(), &rows);
                    kept.push(projected(name.as_str(), &rows)?);
                }
                self.files.insert(key, kept);
            }
            self.versions.insert(place, paths);
            self.tables.insert(name.clone(), table);
        }
        Ok(())
    }

    /// The rows of a snapshot that was learned.
    pub fn held(&self, snapshot: &Snapshot) -> Held {
        let tables = snapshot.iter().map(|(name, version)| {
            let paths = &self.versions[&(name.clone(), version)];
            let files = paths
                .iter()
                .map(|path| &self.files[&(name.clone(), path.clone())]);
            (name.as_str().to_owned(), files.flatten().cloned().collect())
        });
        tables.collect()
    }
}

fn projected(table: &str, rows: &RecordBatch) -> Result<RecordBatch, Box<dyn Error>> {
    let known = COLUMNS.iter().find(|(name, _)| table.starts_with(name));
    let (_, columns) = known.ok_or_else(|| format!("nothing is asked of {table}"))?;
    let schema = rows.schema();
    let places = columns.iter().map(|column| schema.index_of(column));
    Ok(rows.project(&places.collect::<Result<Vec<_>, _>>()?)?)
}
