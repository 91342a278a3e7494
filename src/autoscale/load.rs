//! What there is to do, as the routers' metrics say.

use super::scaler::Load;
use crate::Failure;
use futures::future::join_all;
use prometheus_parse::{HistogramCount, Scrape, Value};
use reqwest::Client;
use std::{io, time::Duration};
use streamsync_core::with_causes;
use url::Url;

/// Queries at a router, in each state.
const QUERIES: &str = "streamsync_router_queries";
/// How long queries waited at workers.
const QUEUED: &str = "streamsync_router_worker_queue_seconds";
/// How long a router may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Queries by what came of them.
const ASKED: &str = "streamsync_router_queries_total";
/// Whether a router reaches what it stands on.
const REACHES: &str = "streamsync_router_reaches";

/// The routers that are looked at.
pub struct Routers {
    client: Client,
    routers: Vec<Router>,
}

/// One of them, and what it had counted when it was looked at last.
struct Router {
    url: Url,
    queued: Vec<HistogramCount>,
    /// `None` before it was looked at.
    asked: Option<f64>,
    /// Whether it could be looked at, and said that it knows who lives.
    well: bool,
}

impl Routers {
    /// Those with their metrics at these addresses.
    pub fn new(urls: Vec<Url>) -> Result<Self, Failure> {
        Ok(Self {
            client: Client::builder().no_proxy().timeout(PATIENCE).build()?,
            routers: urls.into_iter().map(Router::new).collect(),
        })
    }

    /// What there is to do, since it was looked at last. It is less than all where a router did not answer,
    /// or does not know which workers live: who went by that would send away those that it needs.
    pub async fn load(&mut self) -> Load {
        let scrapes = self
            .routers
            .iter()
            .map(|router| scrape(&self.client, &router.url));
        let scrapes = join_all(scrapes).await;
        let mut load = Load {
            complete: true,
            ..Load::default()
        };
        let mut queued: Vec<HistogramCount> = Vec::new();
        for (router, scrape) in self.routers.iter_mut().zip(scrapes) {
            let well = match scrape {
                Ok(scrape) => router.take(&scrape, &mut load, &mut queued),
                Err(error) => Err(with_causes(error.as_ref())),
            };
            load.complete &= well.is_ok();
            router.tell(well);
        }
        load.queue_p95 = quantile(&queued, 0.95);
        load
    }
}

async fn scrape(client: &Client, url: &Url) -> Result<Scrape, Failure> {
    let response = client.get(url.clone()).send().await?;
    let text = response.error_for_status()?.text().await?;
    Ok(parse(&text)?)
}

fn parse(text: &str) -> io::Result<Scrape> {
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned())))
}

impl Router {
    fn new(url: Url) -> Self {
        Self {
            url,
            queued: Vec::new(),
            asked: None,
            well: true,
        }
    }

    /// Adds what it says to what others have said; an error if it does not know which workers live.
    fn take(
        &mut self,
        scrape: &Scrape,
        load: &mut Load,
        queued: &mut Vec<HistogramCount>,
    ) -> Result<(), String> {
        let mut asked = 0.0;
        let mut known = Ok(());
        for sample in &scrape.samples {
            let label = |name, value| sample.labels.get(name) == Some(value);
            match &sample.value {
                Value::Gauge(value) if sample.metric == QUERIES => load.queries += value,
                Value::Gauge(value)
                    if sample.metric == REACHES && *value == 0.0 && label("what", "registry") =>
                {
                    known = Err("it does not reach the registry".to_owned());
                }
                // Who is refused for what he asks needs no worker.
                Value::Counter(count) if sample.metric == ASKED && !label("result", "refused") => {
                    asked += count;
                }
                Value::Histogram(counts) if sample.metric == QUEUED => {
                    add(queued, &since(&self.queued, counts));
                    self.queued.clone_from(counts);
                }
                _ => {}
            }
        }
        load.asked |= match self.asked {
            None => false,
            // One that has begun anew has counted less.
            Some(before) if asked < before => asked > 0.0,
            Some(before) => asked > before,
        };
        self.asked = Some(asked);
        known
    }

    /// Logs when it is well no longer, and when it is again.
    fn tell(&mut self, well: Result<(), String>) {
        let url = &self.url;
        match &well {
            Err(why) if self.well => {
                tracing::warn!(%url, why, "no worker is sent away until this router is well");
            }
            Ok(()) if !self.well => tracing::info!(%url, "the router is well again"),
            _ => {}
        }
        self.well = well.is_ok();
    }
}

/// What was counted since, in each bucket. A router that has begun anew has counted less.
fn since(before: &[HistogramCount], now: &[HistogramCount]) -> Vec<HistogramCount> {
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
        let p75 = quantile(&since(&before, &now), 0.75).unwrap();
        assert_eq!(p75, Duration::from_micros(5_500));
        assert_eq!(quantile(&since(&now, &now), 0.95), None);
        let anew = buckets([0.0, 0.0, 4.0, 4.0]);
        let p50 = quantile(&since(&now, &anew), 0.5).unwrap();
        assert_eq!(p50, Duration::from_millis(55));
        let longest = buckets([0.0, 0.0, 0.0, 7.0]);
        assert_eq!(quantile(&longest, 0.95), Some(Duration::from_millis(100)));
    }

    /// What a router says that has answered and failed so often, and reaches the registry or not.
    fn said(answered: u32, failed: u32, reaches: u32) -> Scrape {
        let text = format!(
            "# TYPE streamsync_router_queries gauge\n\
             streamsync_router_queries{{state=\"racing\"}} 2\n\
             streamsync_router_queries{{state=\"unstaffed\"}} 1\n\
             # TYPE streamsync_router_queries_total counter\n\
             streamsync_router_queries_total{{result=\"answered\",problem=\"none\"}} {answered}\n\
             streamsync_router_queries_total{{result=\"failed\",problem=\"too-few-workers\"}} {failed}\n\
             streamsync_router_queries_total{{result=\"refused\",problem=\"unparsable\"}} 1{failed}\n\
             # TYPE streamsync_router_reaches gauge\n\
             streamsync_router_reaches{{what=\"registry\"}} {reaches}\n"
        );
        parse(&text).unwrap()
    }

    #[test]
    fn a_query_that_was_over_before_anybody_looked_was_asked() {
        let mut router = Router::new("http://127.0.0.1:1/metrics".parse().unwrap());
        let mut take = |scrape: Scrape| {
            let mut load = Load::default();
            let known = router.take(&scrape, &mut load, &mut Vec::new());
            assert_eq!(load.queries, 3.0);
            (load.asked, known.is_ok())
        };
        assert_eq!(take(said(5, 1, 1)), (false, true), "who knows when");
        assert_eq!(take(said(5, 2, 1)), (true, true));
        assert_eq!(take(said(5, 2, 1)), (false, true));
        assert_eq!(take(said(6, 2, 0)), (true, false));
        assert_eq!(take(said(1, 0, 1)), (true, true), "it has begun anew");
        assert_eq!(take(said(1, 0, 1)), (false, true));
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
