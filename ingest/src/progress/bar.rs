//! Progress as a bar on a terminal.

use super::{Done, Progress};
use crate::{Failure, Report};
use indicatif::{HumanCount, ProgressState, ProgressStyle};
use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const WITH_TOTAL: &str = "{msg} {wide_bar} {human_pos}/{human_len} slots, {per_sec}, {rows_per_second} rows/s, {eta} left";
const WITHOUT_TOTAL: &str =
    "{spinner} {msg} {human_pos} slots, {per_sec}, {rows_per_second} rows/s, {elapsed}";
const REDRAW: Duration = Duration::from_millis(200);

/// A bar on standard error: slots, slots and rows a second, and the time left where it is known how
/// much there is.
#[derive(Debug)]
pub struct ProgressBar {
    bar: indicatif::ProgressBar,
    rows: Arc<AtomicU64>,
}

impl ProgressBar {
    /// A bar that is drawn from now on.
    pub fn new() -> Self {
        let this = Self {
            bar: indicatif::ProgressBar::new_spinner(),
            rows: Arc::default(),
        };
        this.style(WITHOUT_TOTAL);
        this.bar.enable_steady_tick(REDRAW);
        this
    }

    fn style(&self, template: &str) {
        let rows = self.rows.clone();
        // The templates above are known to be right.
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.with_key(
            "rows_per_second",
            move |state: &ProgressState, out: &mut dyn Write| {
                let seconds = state.elapsed().as_secs_f64().max(0.001);
                let rate = rows.load(Ordering::Relaxed) as f64 / seconds;
                // Writing into the bar's text cannot fail.
                let _ = write!(out, "{}", HumanCount(rate as u64));
            },
        );
        self.bar.set_style(style);
    }
}

impl Default for ProgressBar {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for ProgressBar {
    fn started(&self, source: &str) {
        self.bar.set_message(source.to_owned());
    }

    fn expected(&self, slots: u64) {
        self.bar.set_length(slots);
        self.style(WITH_TOTAL);
    }

    fn advanced(&self, done: Done) {
        self.rows.store(done.rows, Ordering::Relaxed);
        self.bar.set_position(done.slots);
    }

    fn failed(&self, failure: &Failure) {
        self.bar.println(format!("failed: {failure}"));
    }

    fn finished(&self, report: &Report) {
        self.bar.finish_and_clear();
        self.bar.println(report.to_string());
    }
}
