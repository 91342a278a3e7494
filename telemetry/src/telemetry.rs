//! How a process begins to log, to measure and to trace.

use crate::{
    context,
    metrics_text::{Metrics, UPKEEP_EVERY},
};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder};
use opentelemetry::{KeyValue, global, trace::TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use std::{io::IsTerminal, time::Duration};
use streamsync_core::config::{LogFormat, TelemetryConfig};
use tracing_subscriber::{EnvFilter, Layer, filter::ParseError, util::TryInitError};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
use url::Url;

/// The buckets of every histogram of durations, in seconds: from 100 µs to 60 s.
const DURATION_BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    15.0, 60.0,
];

/// How long the collector of traces may take to answer.
const COLLECTOR_PATIENCE: Duration = Duration::from_secs(5);

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
    /// Metrics cannot be kept up.
    #[error("could not start the thread that keeps metrics up")]
    Thread(#[source] std::io::Error),
    /// Traces cannot be sent.
    #[error("could not begin to send traces to {url}, which telemetry.traces names")]
    Traces {
        /// Where to.
        url: Box<Url>,
        /// Why.
        source: Box<ExporterBuildError>,
    },
}

/// What a process logs, measures and traces, from when it starts until this is dropped; then the
/// last spans are sent.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// What was measured.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take()
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "could not send the last traces");
        }
    }
}

/// Begins to log to standard error, to measure, and to trace where that is configured; once a process.
/// The role is what the process is: `router`, `worker`.
pub fn start(config: &TelemetryConfig, role: &'static str) -> Result<Telemetry, TelemetryError> {
    let traces = match &config.traces {
        Some(url) => Some(provider(url, config.trace_ratio, role)?),
        None => None,
    };
    // Delta's kernel logs as errors what it returns to us as well: a table that is not there yet. And
    // what sends traces must not make new ones.
    let quiet = "delta_kernel=off,opentelemetry=off,opentelemetry_sdk=warn,opentelemetry_otlp=warn";
    let filter = EnvFilter::try_new(format!("{quiet},{}", config.log)).map_err(|source| {
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
    let lines = match json {
        true => lines.json().flatten_event(true).with_filter(filter).boxed(),
        false => lines.with_target(false).with_filter(filter).boxed(),
    };
    let spans = traces.as_ref().map(|provider| {
        let tracer = provider.tracer("streamsync");
        // Whatever is logged, spans of our own are traced down to those of the debug level.
        let ours = tracing_subscriber::filter::filter_fn(|metadata| {
            metadata.is_span() && metadata.target().starts_with("streamsync")
        });
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines)
        .with(spans)
        .try_init()?;
    let handle = PrometheusBuilder::new()
        .set_buckets(&DURATION_BUCKETS)?
        .install_recorder()?;
    let metrics = Metrics::new(handle);
    let kept = metrics.clone();
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(UPKEEP_EVERY);
                kept.upkeep();
            }
        })
        .map_err(TelemetryError::Thread)?;
    let version = env!("CARGO_PKG_VERSION");
    metrics::gauge!("streamsync_build_info", "version" => version, "role" => role).set(1.0);
    Ok(Telemetry { metrics, traces })
}

/// What sends spans, in batches and on a thread of its own: who makes them never waits.
fn provider(
    url: &Url,
    ratio: f64,
    role: &'static str,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(url.as_str())
        .with_timeout(COLLECTOR_PATIENCE)
        .build()
        .map_err(|source| TelemetryError::Traces {
            url: Box::new(url.clone()),
            source: Box::new(source),
        })?;
    let resource = Resource::builder()
        .with_service_name(format!("streamsync-{role}"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(resource)
        .build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    context::begin();
    Ok(provider)
}
