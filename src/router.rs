//! `streamsync router`.

use crate::{
    Failure, notifications,
    security::{AuthArgs, TlsArgs, credentials},
    serve::{self, Terms},
    settings::{Settings, flag, quoted},
};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use streamsync_access::MasterSecrets;
use streamsync_bucket::Notifications;
use streamsync_core::{clock::SystemClock, config::Config};
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use streamsync_router::{
    Accounts, Backups, Router, Spool, archive_until, back_up_until, routes, watch,
};
use streamsync_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long a stopping router waits for the queries under way, beyond the longest deadline.
const DRAIN: Duration = Duration::from_secs(5);

/// Flags of `streamsync router`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync router --bucket s3://lake --redis-url redis://redis:6379 \\
      --master-secrets /etc/streamsync/master --tls /etc/streamsync/router --spool /var/lib/streamsync
  streamsync router --bucket ./lake --listen 127.0.0.1:9000 --insecure-no-auth --insecure-no-tls")]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    race: RaceArgs,
    #[command(flatten)]
    auth: AuthArgs,
    #[command(flatten)]
    tls: TlsArgs,
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
    /// The folder for receipts and for what else the registry has to be told, until it was. Each
    /// router needs its own, and the same one when it starts again.
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
    let flags = [args.race.flags(), args.auth.flags(), args.tls.flags()];
    let config = args.settings.load(flags.concat())?;
    let telemetry = streamsync_telemetry::start(&config.telemetry, "router")?;
    streamsync_telemetry::expect_memory(serve::EXPECTED_MEMORY);
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;
    let (listener, address) = serve::listen(config.router.listen).await?;
    tracing::info!(%address, "the router listens");
    let serving = Serving::prepare(&config, &stop).await?;
    serving
        .serve(&config, listener, telemetry.metrics(), stop)
        .await?;
    Ok(ExitCode::SUCCESS)
}

/// A router with all that it needs.
pub struct Serving {
    /// The router.
    pub router: Router,
    lake: Lake,
    registry: Registry,
    spool: Spool,
}

impl Serving {
    /// Connects a router to the lake and to Redis.
    pub async fn prepare(config: &Config, stop: &CancellationToken) -> Result<Self, Failure> {
        let lake = Lake::open(&config.bucket)?;
        lake.check().await?;
        let registry = Registry::connect(&config.redis).await?;
        // First, as it keeps other routers out of the folder.
        let spool = Spool::open(
            config.router.spool_folder.as_deref(),
            config.router.spool_bytes,
        )?;
        let clock = Arc::new(SystemClock);
        let accounts = if config.auth.insecure_no_auth {
            tracing::warn!("INSECURE: everyone may ask and change everything, and nobody pays");
            None
        } else {
            Some(Accounts::open(config, registry.clone(), clock.clone())?)
        };
        let credentials = credentials(&config.tls, stop)?;
        Ok(Self {
            router: Router::new(config, accounts, credentials, clock),
            lake,
            registry,
            spool,
        })
    }

    /// Serves it, and keeps it informed.
    pub async fn serve(
        self,
        config: &Config,
        listener: TcpListener,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        // What the last queries have shown is told after they have ended.
        let watching = CancellationToken::new();
        let watcher = tokio::spawn(watch(
            watching.clone(),
            self.router.clone(),
            self.lake.clone(),
            self.registry.clone(),
            self.spool,
        ));
        if let Some(notifications) = Notifications::open(&config.bucket).await? {
            let heeding = notifications::heed(
                notifications,
                self.router.clone(),
                self.registry.clone(),
                stop.clone(),
            );
            tokio::spawn(heeding);
        }
        if let Some(file) = config.auth.master_secrets.as_deref()
            && self.router.has_accounts()
        {
            let backups = Backups::new(self.lake.clone(), MasterSecrets::read(file)?);
            let backing_up = back_up_until(
                stop.clone(),
                self.router.clone(),
                backups,
                self.registry.clone(),
                config.backup.clone(),
            );
            tokio::spawn(backing_up);
        }
        let archiver = archive_until(
            stop.clone(),
            self.router.clone(),
            self.lake,
            self.registry.clone(),
        );
        tokio::spawn(archiver);
        let terms = Terms {
            // Clients have keys; TLS towards them is for what stands before the router.
            credentials: None,
            head: Duration::from_millis(config.router.request_ms),
            connections: config.router.max_connections,
            drain: Duration::from_millis(config.router.max_deadline_ms) + DRAIN,
        };
        let ready = {
            let router = self.router.clone();
            move || router.is_ready()
        };
        let observed = serve::observed(
            config.router.metrics_listen,
            metrics.clone(),
            ready,
            stop.clone(),
        );
        let routes = routes(self.router, self.registry, metrics);
        let (observed, ()) = tokio::join!(observed, serve::serve(listener, routes, terms, stop));
        watching.cancel();
        watcher.await?;
        Ok(observed?)
    }
}
