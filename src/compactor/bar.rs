//! What the compactor does, as a bar on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::{sync::Mutex, time::Duration};
use streamsync_compactor::Observer;

const TEMPLATE: &str = "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {elapsed}";
const REDRAW: Duration = Duration::from_millis(200);

/// One bar for each job, in bytes read or deleted.
#[derive(Default)]
pub struct Bar(Mutex<Option<ProgressBar>>);

impl Bar {
    fn with(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        let mut bar = self.0.lock();
        match &mut bar {
            Ok(bar) => act(bar),
            Err(poisoned) => act(poisoned.get_mut()),
        }
    }
}

impl Observer for Bar {
    fn began(&self, job: &str, bytes: u64) {
        let bar = ProgressBar::new(bytes).with_message(job.to_owned());
        // The template is known to be right.
        let style = ProgressStyle::with_template(TEMPLATE);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(REDRAW);
        self.with(|current| *current = Some(bar));
    }

    fn read(&self, bytes: u64) {
        self.with(|bar| {
            if let Some(bar) = bar {
                bar.inc(bytes);
            }
        });
    }

    fn ended(&self, outcome: &str) {
        self.with(|bar| {
            if let Some(bar) = bar.take() {
                let job = bar.message();
                bar.println(format!("{job}: {outcome}"));
                bar.finish_and_clear();
            }
        });
    }
}
