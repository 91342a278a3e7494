//! `streamsync dev`: everything on one machine.

mod children;

use crate::{
    Failure,
    router::{RaceArgs, serve_router},
    serve,
    settings::Settings,
};
use children::{LocalRedis, Workers};
use std::{process::ExitCode, sync::Arc, time::Duration};
use streamsync_core::{clock::SystemClock, telemetry};
use streamsync_lake::Lake;
use streamsync_router::Router;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the router is ready yet.
const READY_POLL: Duration = Duration::from_millis(50);

/// Flags of `streamsync dev`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync dev
  streamsync dev --bucket ./lake --workers 3 --listen 127.0.0.1:9000")]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    race: RaceArgs,
    /// How many workers to run, each a process of its own.
    #[arg(long, default_value_t = 5)]
    workers: usize,
}

/// Runs a Redis of its own (unless one is named), workers and a router, until told to stop.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut settings = args.settings.clone();
    let mut config = settings.load(args.race.flags())?;
    let metrics = telemetry::start(&config.telemetry)?;
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;

    // First, so that a port in use is told before anything is started.
    let (listener, address) = serve::listen(config.router.listen).await?;
    let lake = Lake::open(&config.bucket)?;
    lake.create_tables().await?;
    let mut redis = None;
    if settings.redis_url.is_none() && std::env::var_os("STREAMSYNC_REDIS__URL").is_none() {
        let local = LocalRedis::start().await?;
        settings.redis_url = Some(local.url());
        config = settings.load(args.race.flags())?;
        redis = Some(local);
    }
    let workers = Workers::start(&settings, args.workers)?;
    let router = Router::new(
        config.router.clone(),
        config.race.clone(),
        Arc::new(SystemClock),
    );
    tokio::spawn(announce(
        router.clone(),
        format!("http://{address}"),
        lake.url().to_string(),
    ));
    let served = serve_router(&config, router, listener, metrics, stop).await;
    workers
        .stop(Duration::from_millis(config.worker.drain_ms))
        .await;
    if let Some(redis) = redis {
        redis.stop().await;
    }
    served.map(|()| ExitCode::SUCCESS)
}

async fn announce(router: Router, url: String, lake: String) {
    while !router.is_ready() {
        tokio::time::sleep(READY_POLL).await;
    }
    println!("ready: {url} over {lake}");
}
