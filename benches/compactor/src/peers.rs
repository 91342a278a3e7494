//! What others take for the same files.

use crate::{Fallible, lake, now};
use duckdb::Connection;
use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};
use streamsync_core::TableName;

/// DuckDB's `COPY (… ORDER BY …)`, partition by partition, into files like ours.
pub async fn duckdb(root: &Path, to: &Path, memory_bytes: u64) -> Fallible<Duration> {
    std::fs::create_dir_all(to)?;
    let table = lake::open(root)?
        .table(&TableName::new(lake::TABLE)?)
        .await?;
    let files = table.files().await?;
    let mut partitions: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for file in files.iter() {
        let path = root.join(lake::TABLE).join(&file.path);
        let path = format!("'{}'", path.display());
        partitions.entry(&file.partition).or_default().push(path);
    }
    let began = now();
    for (number, files) in partitions.values().enumerate() {
        // A new one each time, as the compactor does.
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(&format!(
            "SET memory_limit = '{memory_bytes}B'; SET preserve_insertion_order = false; \
             SET temp_directory = '{}'",
            to.join("spill").display()
        ))?;
        connection.execute_batch(&format!(
            "COPY (SELECT * FROM read_parquet([{}], hive_partitioning = false) \
                   ORDER BY account, slot, transaction_index) \
             TO '{}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)",
            files.join(", "),
            to.join(format!("{number}.parquet")).display()
        ))?;
    }
    Ok(now() - began)
}

/// What delta-rs takes.
pub struct DeltaRs {
    /// To merge files as they are, unsorted.
    pub compact: Duration,
    /// To merge and sort them along a Z-order curve.
    pub z_order: Duration,
}

/// A log of its own first: delta-rs does not write to a table with domain metadata.
const SCRIPT: &str = "
import shutil, sys, time
from deltalake import DeltaTable, Field, Schema, convert_to_deltalake
from deltalake.schema import PrimitiveType
shutil.rmtree(sys.argv[1] + '/_delta_log')
partition = Schema([Field('bucket', PrimitiveType('integer'))])
convert_to_deltalake(sys.argv[1], partition_by=partition, partition_strategy='hive')
table = DeltaTable(sys.argv[1])
began = time.monotonic()
if sys.argv[2] == 'compact':
    table.optimize.compact(target_size=128 << 20)
else:
    table.optimize.z_order(['account', 'slot'], target_size=128 << 20)
print(time.monotonic() - began)
";

/// `optimize` of the Python wheel, each on a copy of its own.
pub fn delta_rs(python: &Path, root: &Path, to: &Path) -> Fallible<DeltaRs> {
    let run = |how: &str| -> Fallible<Duration> {
        let copy = to.join(how);
        std::fs::create_dir_all(&copy)?;
        let copied = Command::new("cp")
            .arg("-r")
            .arg(root.join(lake::TABLE))
            .arg(&copy)
            .status()?;
        if !copied.success() {
            return Err("could not copy the lake".into());
        }
        let output = Command::new(python)
            .args(["-c", SCRIPT])
            .arg(copy.join(lake::TABLE))
            .arg(how)
            .output()?;
        let told = String::from_utf8_lossy(&output.stdout);
        let seconds = told.trim().parse().map_err(|_| {
            format!(
                "delta-rs failed: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
        std::fs::remove_dir_all(copy)?;
        Ok(Duration::from_secs_f64(seconds))
    };
    Ok(DeltaRs {
        compact: run("compact")?,
        z_order: run("z-order")?,
    })
}
