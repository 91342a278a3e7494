//! How many workers run on a machine, by what there is to do.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use url::Url;

/// Scaling workers, section `[autoscale]`: the rule of Kubernetes' HorizontalPodAutoscaler, with the
/// two metrics that the Helm chart gives to KEDA.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoscaleConfig {
    /// The fewest workers; 0 lets the last one go while nobody asks.
    pub min: usize,
    /// The most workers.
    pub max: usize,
    /// How many workers there are at least as soon as anybody asks: what a quorum takes.
    pub quorum: usize,
    /// How many queries, raced or waiting, there are for each worker.
    pub queries_per_worker: f64,
    /// The 95th percentile of the time that queries wait in workers' own queues, in milliseconds,
    /// over which there are too few workers.
    pub queue_ms: f64,
    /// By how much a metric may be off before anything changes, as a ratio.
    pub tolerance: f64,
    /// How often the routers are looked at, in milliseconds.
    pub every_ms: u64,
    /// Workers are taken away when fewer have been enough for so long, in milliseconds.
    pub down_after_ms: u64,
    /// Where the routers' metrics are: `http://127.0.0.1:9090/metrics`, what their
    /// `router.metrics_listen` says.
    pub routers: Vec<Url>,
    /// An address where `GET /metrics`, `/healthz` and `/readyz` are answered.
    pub metrics_listen: Option<SocketAddr>,
}

impl Default for AutoscaleConfig {
    fn default() -> Self {
        Self {
            min: 1,
            max: 8,
            quorum: 3,
            queries_per_worker: 8.0,
            queue_ms: 5.0,
            tolerance: 0.1,
            every_ms: 1_000,
            down_after_ms: 300_000,
            routers: Vec::new(),
            metrics_listen: None,
        }
    }
}

impl AutoscaleConfig {
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if self.max == 0 || self.min > self.max {
            faults.push(format!(
                "autoscale.max is {}; it must be at least 1 and at least autoscale.min, {}",
                self.max, self.min
            ));
        }
        if self.quorum == 0 || self.quorum > self.max {
            faults.push(format!(
                "autoscale.quorum is {}; it must be from 1 to autoscale.max, {}",
                self.quorum, self.max
            ));
        }
        for (name, value) in [
            ("queries_per_worker", self.queries_per_worker),
            ("queue_ms", self.queue_ms),
        ] {
            if !(value.is_finite() && value > 0.0) {
                faults.push(format!("autoscale.{name} is {value}; it must be over 0"));
            }
        }
        if !(0.0..1.0).contains(&self.tolerance) {
            faults.push(format!(
                "autoscale.tolerance is {}; it must be from 0 to under 1",
                self.tolerance
            ));
        }
        if self.every_ms == 0 {
            faults.push("autoscale.every_ms is 0; it must be at least 1".to_owned());
        }
    }
}
