//! `streamsync router`.

use crate::{
    Failure, serve,
    settings::{Settings, flag, quoted},
};
use metrics_exporter_prometheus::PrometheusHandle;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use streamsync_core::{clock::SystemClock, config::Config, telemetry};
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use streamsync_router::{Router, Spool, archive_until, routes, watch};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long a stopping router waits for the queries under way, beyond the longest deadline.
const DRAIN: Duration = Duration::from_secs(5);

/// Flags of `streamsync router`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync router --bucket s3://lake --redis-url redis://redis:6379
  streamsync router --bucket ./lake --listen 127.0.0.1:9000 --racers 3
  streamsync router --bucket s3://lake --spool /var/lib/streamsync/spool")]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    race: RaceArgs,
}

/// Flags about the race.
#[derive(clap::Args, Clone)]
pub struct RaceArgs {
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How many workers race for a query, 1 to 7.
    #[arg(long, value_name = "COUNT")]
    racers: Option<usize>,
    /// How many must confirm the first answer.
    #[arg(long, value_name = "COUNT")]
    confirmations: Option<usize>,
    /// The folder for what the registry has to be told, until it was. Each router needs its own.
    #[arg(long, value_name = "FOLDER")]
    spool: Option<PathBuf>,
}

impl RaceArgs {
    /// The flags as settings.
    pub fn flags(&self) -> Vec<Option<streamsync_core::config::Flag>> {
        vec![
            flag("router.listen", self.listen.map(quoted)),
            flag("race.racers", self.racers),
            flag("race.confirmations", self.confirmations),
            flag(
                "router.spool_folder",
                self.spool.as_ref().map(|path| quoted(path.display())),
            ),
        ]
    }
}

/// Runs a router until it is told to stop.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = args.settings.load(args.race.flags())?;
    let metrics = telemetry::start(&config.telemetry)?;
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;
    let (listener, address) = serve::listen(config.router.listen).await?;
    let router = Router::new(
        config.router.clone(),
        config.race.clone(),
        Arc::new(SystemClock),
    );
    tracing::info!(%address, "the router listens");
    serve_router(&config, router, listener, metrics, stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Serves a router, and keeps it informed.
pub async fn serve_router(
    config: &Config,
    router: Router,
    listener: TcpListener,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let lake = Lake::open(&config.bucket)?;
    lake.check().await?;
    let registry = Registry::connect(&config.redis).await?;
    let spool = Spool::open(
        config.router.spool_folder.as_deref(),
        config.router.spool_bytes,
    )?;
    // What the last queries have shown is told after they have ended.
    let watching = CancellationToken::new();
    let watcher = watch(
        watching.clone(),
        router.clone(),
        lake.clone(),
        registry.clone(),
        spool,
    );
    let watcher = tokio::spawn(watcher);
    let archiver = archive_until(stop.clone(), router.clone(), lake, registry.clone());
    tokio::spawn(archiver);
    let drain = Duration::from_millis(config.router.max_deadline_ms) + DRAIN;
    let routes = routes(router, registry, metrics);
    let served = serve::serve(listener, routes, stop, drain).await;
    watching.cancel();
    watcher.await?;
    Ok(served?)
}
