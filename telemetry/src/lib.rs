//! Logs, metrics and traces of a process.
//!
//! ```no_run
//! # fn main() -> Result<(), streamsync_telemetry::TelemetryError> {
//! use streamsync_core::config::TelemetryConfig;
//!
//! let telemetry = streamsync_telemetry::start(&TelemetryConfig::default(), "worker")?;
//! let text = telemetry.metrics().render();
//! # Ok(())
//! # }
//! ```

mod context;
mod memory;
mod metrics_text;
mod telemetry;

pub use context::{continue_trace, pass_on};
pub use memory::expect_memory;
pub use metrics_text::Metrics;
pub use telemetry::{Telemetry, TelemetryError, start};
