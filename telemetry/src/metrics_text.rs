//! Metrics in Prometheus' text format.

use metrics_exporter_prometheus::PrometheusHandle;
use metrics_process::Collector;
use std::{fmt, time::Duration};

/// How often what histograms were told is put into their buckets: it is kept one by one until then,
/// also where nobody scrapes.
pub(crate) const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What the process has measured. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    process: Collector,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn new(handle: PrometheusHandle) -> Self {
        let process = Collector::default();
        process.describe();
        Self { handle, process }
    }

    /// All of it, as Prometheus scrapes it, with memory, threads and open files as they are now.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}
