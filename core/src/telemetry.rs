//! Logs and metrics of a process.

use crate::config::{LogFormat, TelemetryConfig};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

/// The buckets of every histogram of durations, in seconds: from 100 µs to 60 s.
const DURATION_BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    15.0, 60.0,
];

/// Why telemetry could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be understood.
    #[error("telemetry.log is `{filter}`, which is no filter of log lines")]
    Filter {
        /// What was configured.
        filter: String,
        /// Why.
        source: ParseError,
    },
    /// The process logs already.
    #[error("could not begin to log")]
    Log(#[from] TryInitError),
    /// The process measures already.
    #[error("could not begin to measure")]
    Metrics(#[from] BuildError),
}

/// Begins to log to standard error and to measure; once a process. The handle renders the metrics
/// in Prometheus' text format.
pub fn start(config: &TelemetryConfig) -> Result<PrometheusHandle, TelemetryError> {
    // Delta's kernel logs as errors what it returns to us as well: a table that is not there yet.
    let filter =
        EnvFilter::try_new(format!("delta_kernel=off,{}", config.log)).map_err(|source| {
            TelemetryError::Filter {
                filter: config.log.clone(),
                source,
            }
        })?;
    let json = match config.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry.with(lines.json().flatten_event(true)).try_init()?;
    } else {
        registry.with(lines.with_target(false)).try_init()?;
    }
    let metrics = PrometheusBuilder::new()
        .set_buckets(&DURATION_BUCKETS)?
        .install_recorder()?;
    Ok(metrics)
}
