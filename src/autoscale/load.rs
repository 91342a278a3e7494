//! What there is to do, as the routers' metrics say.

use super::scaler::Load;
use crate::Failure;
use prometheus_parse::{HistogramCount, Scrape, Value};
use reqwest::Client;
use std::{collections::HashMap, io, time::Duration};
use url::Url;

/// Queries at a router, in each state.
const QUERIES: &str = "streamsync_router_queries";
/// How long queries waited at workers.
const QUEUED: &str = "streamsync_router_worker_queue_seconds";
/// How long a router may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The routers that are looked at.
pub struct Routers {
    client: Client,
    urls: Vec<Url>,
    /// What the histogram of each had counted when it was looked at last.
    counted: HashMap<Url, Vec<HistogramCount>>,
}

impl Routers {
    /// Those with their metrics at these addresses.
    pub fn new(urls: Vec<Url>) -> Result<Self, Failure> {
        Ok(Self {
            client: Client::builder().no_proxy().timeout(PATIENCE).build()?,
            urls,
            counted: HashMap::new(),
        })
    }

    /// What there is to do, since it was looked at last. `None` if a router did not answer: who decided
    /// by what the others say would send away the workers of that one.
    pub async fn load(&mut self) -> Option<Load> {
        let mut queries = 0.0;
        let mut queued: Vec<HistogramCount> = Vec::new();
        for url in self.urls.clone() {
            let scrape = match self.scrape(&url).await {
                Ok(scrape) => scrape,
                Err(error) => {
                    tracing::warn!(%url, %error, "could not look at a router; no worker is sent away");
                    return None;
                }
            };
            for sample in scrape.samples {
                match sample.value {
                    Value::Gauge(value) if sample.metric == QUERIES => queries += value,
                    Value::Histogram(counts) if sample.metric == QUEUED => {
                        let before = self.counted.insert(url.clone(), counts.clone());
                        add(&mut queued, &since(before.as_deref(), &counts));
                    }
                    _ => {}
                }
            }
        }
        Some(Load {
            queries,
            queue_p95: quantile(&queued, 0.95),
        })
    }

    async fn scrape(&self, url: &Url) -> Result<Scrape, Failure> {
        let response = self.client.get(url.clone()).send().await?;
        let text = response.error_for_status()?.text().await?;
        let lines = text.lines().map(|line| io::Result::Ok(line.to_owned()));
        Ok(Scrape::parse(lines)?)
    }
}

/// What was counted since, in each bucket. A router that has begun anew has counted less.
fn since(before: Option<&[HistogramCount]>, now: &[HistogramCount]) -> Vec<HistogramCount> {
    let before = before.unwrap_or_default();
    let again = before
        .iter()
        .zip(now)
        .any(|(one, other)| other.count < one.count);
    let count = |place: usize| before.get(place).map_or(0.0, |bucket| bucket.count);
    let buckets = now.iter().enumerate();
    buckets
        .map(|(place, bucket)| HistogramCount {
            less_than: bucket.less_than,
            count: bucket.count - if again { 0.0 } else { count(place) },
        })
        .collect()
}

/// Adds the buckets of one histogram to those of another; all of ours have the same.
fn add(sum: &mut Vec<HistogramCount>, more: &[HistogramCount]) {
    if sum.is_empty() {
        sum.extend_from_slice(more);
        return;
    }
    for (bucket, more) in sum.iter_mut().zip(more) {
        bucket.count += more.count;
    }
}

/// A quantile of what buckets have counted, as Prometheus' `histogram_quantile` estimates it: as if
/// all in a bucket were spread evenly over it. `None` where nothing was counted.
fn quantile(buckets: &[HistogramCount], quantile: f64) -> Option<Duration> {
    let all = buckets.last().map(|bucket| bucket.count)?;
    if all <= 0.0 {
        return None;
    }
    let rank = all * quantile;
    let place = buckets.iter().position(|bucket| bucket.count >= rank)?;
    let (bucket, below) = (
        &buckets[place],
        place.checked_sub(1).map(|place| &buckets[place]),
    );
    let (from, counted) = below.map_or((0.0, 0.0), |below| (below.less_than, below.count));
    if bucket.less_than.is_infinite() {
        return Some(Duration::from_secs_f64(from));
    }
    let share = (rank - counted) / (bucket.count - counted);
    Some(Duration::from_secs_f64(
        from + (bucket.less_than - from) * share,
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn buckets(counts: [f64; 4]) -> Vec<HistogramCount> {
        let bounds = [0.001, 0.01, 0.1, f64::INFINITY];
        let buckets = bounds.iter().zip(counts);
        buckets
            .map(|(less_than, count)| HistogramCount {
                less_than: *less_than,
                count,
            })
            .collect()
    }

    #[test]
    fn a_quantile_is_that_of_what_came_since() {
        let before = buckets([100.0, 100.0, 100.0, 100.0]);
        let now = buckets([110.0, 120.0, 120.0, 120.0]);
        let p75 = quantile(&since(Some(&before), &now), 0.75).unwrap();
        assert_eq!(p75, Duration::from_micros(5_500));
        assert_eq!(quantile(&since(Some(&now), &now), 0.95), None);
        let anew = buckets([0.0, 0.0, 4.0, 4.0]);
        let p50 = quantile(&since(Some(&now), &anew), 0.5).unwrap();
        assert_eq!(p50, Duration::from_millis(55));
        let longest = buckets([0.0, 0.0, 0.0, 7.0]);
        assert_eq!(quantile(&longest, 0.95), Some(Duration::from_millis(100)));
    }

    #[test]
    fn routers_add_up() {
        let mut sum = Vec::new();
        add(&mut sum, &buckets([1.0, 2.0, 3.0, 4.0]));
        add(&mut sum, &buckets([1.0, 1.0, 1.0, 1.0]));
        let counts: Vec<f64> = sum.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [2.0, 3.0, 4.0, 5.0]);
    }
}
