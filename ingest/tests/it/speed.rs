//! Synthetic blocks become rows fast enough for large benchmarks.

use crate::lake::folder;
use std::sync::Arc;
use streamsync_ingest::{IngestOptions, ingest, progress::Silent, source::synthetic::Synthetic};
use streamsync_testing::Suite;
use tempfile::TempDir;

pub fn add(suite: &mut Suite) {
    suite.test(
        "a hundred thousand rows are ingested in one batch",
        || async {
            let place = TempDir::new().unwrap();
            let lake = folder(place.path());
            let source = Synthetic::new(5, 60, 500);
            let report = ingest(source, &lake, IngestOptions::default(), Arc::new(Silent))
                .await
                .unwrap();
            assert!(report.is_complete());
            let rows = report.total_rows();
            assert!(rows > 100_000, "{rows}");
            println!(
                "{report}: {:.0} rows/s",
                rows as f64 / report.elapsed.as_secs_f64()
            );
        },
    );
}
