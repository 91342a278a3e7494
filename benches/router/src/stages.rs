//! Where the time of queries went, from the router's own metrics.

use crate::Fallible;
use reqwest::Client;
use std::collections::BTreeMap;

/// The stages in their order.
pub const STAGES: [&str; 7] = [
    "queue", "plan", "select", "send", "execute", "verify", "encode",
];

/// For each stage its sum in seconds and its number.
pub type Stages = BTreeMap<String, (f64, f64)>;

pub async fn read(client: &Client, router: &str) -> Fallible<Stages> {
    let text = client
        .get(format!("{router}/metrics"))
        .send()
        .await?
        .text()
        .await?;
    let mut stages = Stages::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("streamsync_router_stage_seconds_") else {
            continue;
        };
        let Some((kind, rest)) = rest.split_once("{stage=\"") else {
            continue;
        };
        let Some((stage, value)) = rest.split_once("\"} ") else {
            continue;
        };
        let value: f64 = value.trim().parse()?;
        let entry = stages.entry(stage.to_owned()).or_default();
        match kind {
            "sum" => entry.0 = value,
            "count" => entry.1 = value,
            _ => {}
        }
    }
    Ok(stages)
}

/// The mean of each stage between two readings, in microseconds.
pub fn means(before: &Stages, after: &Stages) -> Vec<(&'static str, f64)> {
    let of = |stages: &Stages, stage: &str| stages.get(stage).copied().unwrap_or_default();
    let mean = |stage: &'static str| {
        let (before, after) = (of(before, stage), of(after, stage));
        (
            stage,
            (after.0 - before.0) / (after.1 - before.1).max(1.0) * 1e6,
        )
    };
    STAGES.into_iter().map(mean).collect()
}
