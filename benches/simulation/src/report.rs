//! The results as Markdown.

use crate::{
    service::ServiceTimes,
    settings::{Scenario, Settings},
    simulation::Outcome,
};
use std::fmt::Write;
use streamsync_core::config::Policy;

/// The share of queries that have to be answered.
const ANSWERED: f64 = 0.999;
/// By how many queries a second and worker the load goes up.
const STEP: u64 = 1_000;

/// What the numbers rest on.
pub fn assumptions(settings: &Settings) -> String {
    let service = ServiceTimes::load(settings.service.as_deref());
    let mean = service.map_or(0.0, |service| service.mean().as_secs_f64() * 1e6);
    format!(
        "Assumed: workers with {} cores, {mean:.0} us of one core for each execution (its \
         distribution as measured), {} us from router to worker and as much back (log-normal, sigma \
         0.3), all partitions at hand, {} partitions asked for with a skew of {}, queries at random \
         times, one operator a worker, a queue of 64, no CPU time of routers. Seed {}; {} s a row, \
         {} queries at the most, the first fifth not counted.\n",
        settings.cores,
        settings.network_us,
        settings.partitions,
        settings.skew,
        settings.seed,
        settings.seconds,
        settings.queries,
    )
}

/// The heading of a table.
pub fn header(what: &str) -> String {
    format!(
        "| {what} | queries/s | answered | p50 | p99 | executions a query | cores busy |\n\
         |---|---|---|---|---|---|---|"
    )
}

/// A line of a table.
pub fn row(name: &str, outcome: &Outcome) -> String {
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    format!(
        "| {name} | {:.0} | {:.2}% | {:.2} ms | {:.2} ms | {:.2} | {:.0}% |",
        outcome.offered,
        outcome.answered * 100.0,
        millis(outcome.p50),
        millis(outcome.p99),
        outcome.asked,
        outcome.utilisation * 100.0,
    )
}

/// The most queries a second at which a network of each size keeps the target: the load goes up in
/// steps until it does not.
pub fn capacity(settings: &Settings, simulate: impl Fn(Scenario) -> Outcome) -> String {
    let mut table = String::new();
    for (name, policy) in [("full", Policy::Full), ("hedged", Policy::Hedged)] {
        let title = format!(
            "workers, 5 racers, {name}, p99 within {} ms",
            settings.target_ms
        );
        let _ = writeln!(table, "{}", header(&title));
        for workers in &settings.workers {
            let ask = |per_worker: u64| {
                simulate(Scenario {
                    workers: *workers,
                    rate: (per_worker * *workers as u64) as f64,
                    policy,
                    ..Scenario::default()
                })
            };
            if let Some(per_worker) = settings.rate_per_worker {
                let _ = writeln!(table, "{}", row(&workers.to_string(), &ask(per_worker)));
                continue;
            }
            let mut best = Outcome::default();
            for step in 1.. {
                let outcome = ask(step * STEP);
                let in_time = outcome.p99.as_secs_f64() * 1e3 <= settings.target_ms;
                // More than all cores have is not kept up for long.
                if !in_time || outcome.answered < ANSWERED || outcome.utilisation >= 0.95 {
                    break;
                }
                best = outcome;
            }
            let _ = writeln!(table, "{}", row(&workers.to_string(), &best));
        }
        table.push('\n');
    }
    table
}
