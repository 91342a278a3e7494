//! Pins: what a query sees under the name of a table.

use crate::{
    engine::{Session, nulls},
    hot_cache::LoadedFile,
};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use streamsync_core::TableName;

/// A table at one version, as far as a query reads it: its files in the hot cache, which stay
/// there while the pin lives.
pub(crate) struct Pin {
    pub(crate) table: TableName,
    pub(crate) schema: SchemaRef,
    pub(crate) files: Vec<Arc<LoadedFile>>,
}

impl Session {
    /// Makes the session see exactly these tables, as temporary views over the files' tables.
    /// What it sees already is left as it is.
    pub(crate) fn show(&mut self, pins: &[Pin]) -> Result<(), duckdb::Error> {
        let hidden = |name: &String| pins.iter().all(|pin| pin.table.as_str() != name);
        let gone: Vec<String> = self
            .views
            .keys()
            .filter(|name| hidden(name))
            .cloned()
            .collect();
        for name in gone {
            self.connection
                .execute_batch(&format!("DROP VIEW temp.{name}"))?;
            self.views.remove(&name);
        }
        for pin in pins {
            let files: Vec<String> = pin.files.iter().map(|file| file.name.clone()).collect();
            if self.views.get(pin.table.as_str()) == Some(&files) {
                continue;
            }
            self.views.remove(pin.table.as_str());
            let view = format!(
                "CREATE OR REPLACE TEMP VIEW {} AS {}",
                pin.table,
                rows(pin, &files)
            );
            self.connection.execute_batch(&view)?;
            self.views.insert(pin.table.to_string(), files);
        }
        Ok(())
    }
}

/// The rows of a pin: those of its files, or none of its columns' types.
fn rows(pin: &Pin, files: &[String]) -> String {
    if files.is_empty() {
        return format!("SELECT {} WHERE false", nulls(&pin.schema));
    }
    let selects = files
        .iter()
        .map(|file| format!("SELECT * FROM memory.main.{file}"));
    selects.collect::<Vec<_>>().join(" UNION ALL ")
}
