//! What is logged and traced, and how.

use serde::{Deserialize, Serialize};
use url::Url;

/// Logging and tracing, section `[telemetry]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// A filter as of `tracing-subscriber`: `info`, `warn,streamsync_router=debug`.
    pub log: String,
    /// How lines look.
    pub format: LogFormat,
    /// Where traces are sent, as OpenTelemetry's OTLP over HTTP: `http://collector:4318/v1/traces`.
    /// Without it nothing is traced.
    pub traces: Option<Url>,
    /// The share of queries that are traced when their client does not say, from 0 to 1. A client
    /// says so in the header `traceparent` of W3C Trace Context.
    pub trace_ratio: f64,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: LogFormat::default(),
            traces: None,
            trace_ratio: 0.01,
        }
    }
}

impl TelemetryConfig {
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if !(0.0..=1.0).contains(&self.trace_ratio) {
            faults.push(format!(
                "telemetry.trace_ratio is {}; it must be from 0 to 1",
                self.trace_ratio
            ));
        }
        if let Some(url) = &self.traces
            && !matches!(url.scheme(), "http" | "https")
        {
            faults.push(format!(
                "telemetry.traces is {url}; it must be an http:// or https:// URL"
            ));
        }
    }
}
