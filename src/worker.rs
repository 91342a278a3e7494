//! `streamsync worker`.

use crate::{
    Failure,
    identity::identity,
    security::{TlsArgs, credentials},
    serve::{self, Terms},
    settings::{Settings, flag, quoted},
};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use streamsync_core::clock::SystemClock;
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use streamsync_worker::{PREFETCH_EVERY, Worker, beat_until, prefetch_until};
use tokio_util::sync::CancellationToken;
use url::Url;

/// How long a router may take to begin a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// The most connections: each router needs one.
const CONNECTIONS: usize = 4_096;

/// Flags of `streamsync worker`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync worker --bucket s3://lake --redis-url redis://redis:6379 --keypair worker.json --tls /etc/streamsync/worker
  streamsync worker --bucket s3://lake --profile speed --memory 8589934592 --cache /var/cache/streamsync --disk 107374182400
  streamsync worker --bucket ./lake --keypair worker.json --tls worker --listen 0.0.0.0:7000 --advertise https://10.0.0.5:7000")]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The URL under which routers reach this worker.
    #[arg(long, value_name = "URL")]
    advertise: Option<Url>,
    /// The worker's key pair, as solana-keygen writes it; made when absent.
    #[arg(long, value_name = "FILE")]
    keypair: Option<PathBuf>,
    /// The operator's grant, as `streamsync grant` prints it; without one the worker is its own
    /// operator.
    #[arg(long, value_name = "FILE")]
    operator_grant: Option<PathBuf>,
    /// The least that the worker wants for a query, in base units of STRM.
    #[arg(long, value_name = "UNITS")]
    ask: Option<u64>,
    /// The memory for rows and for running queries, in bytes.
    #[arg(long, value_name = "BYTES")]
    memory: Option<u64>,
    /// The bytes of the lake that may be kept on the local disk; 0 keeps none.
    #[arg(long, value_name = "BYTES")]
    disk: Option<u64>,
    /// The folder for them; what is there is used again. Without one, a temporary folder.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// What the worker is for: lookups by key (speed), what is asked most (cache), or old
    /// partitions (archive).
    #[arg(long, value_name = "PROFILE", value_parser = ["speed", "cache", "archive"])]
    profile: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Stop when standard input ends.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

/// Runs a worker until it is told to stop.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut flags = vec![
        flag("worker.listen", args.listen.map(quoted)),
        flag("worker.advertise", args.advertise.map(quoted)),
        flag(
            "worker.keypair",
            args.keypair.map(|path| quoted(path.display())),
        ),
        flag(
            "worker.operator_grant",
            args.operator_grant.map(|path| quoted(path.display())),
        ),
        flag("worker.ask", args.ask),
        flag("worker.memory_bytes", args.memory),
        flag("worker.disk_bytes", args.disk),
        flag(
            "worker.cache_folder",
            args.cache.map(|path| quoted(path.display())),
        ),
        flag("worker.profile", args.profile.map(quoted)),
    ];
    flags.extend(args.tls.flags());
    let config = args.settings.load(flags)?;
    if config.worker.advertise.is_none() && config.worker.listen.ip().is_unspecified() {
        return Err(format!(
            "nobody could reach a worker at {}: say where it is reached with --advertise URL",
            config.worker.listen
        )
        .into());
    }
    let telemetry = streamsync_telemetry::start(&config.telemetry, "worker")?;
    // It stops scans at 110% of its memory and 192 MiB; answers on their way and threads take a little more.
    let memory = config.worker.memory_bytes;
    streamsync_telemetry::expect_memory(memory + memory / 10 + (320 << 20));
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;
    if args.stop_with_stdin {
        serve::stop_with_stdin(stop.clone());
    }

    let lake = Lake::open(&config.bucket)?;
    lake.check().await?;
    let registry = Registry::connect(&config.redis).await?;
    let identity = identity(config.worker.keypair.as_deref())?;
    let clock = Arc::new(SystemClock);
    let worker = Worker::open(&config.worker, lake, identity, clock.clone()).await?;
    let credentials = credentials(&config.tls, &stop)?;
    let (listener, address) = serve::listen(config.worker.listen).await?;
    let endpoint = match &config.worker.advertise {
        Some(url) => url.clone(),
        None if credentials.is_some() => Url::parse(&format!("https://{address}"))?,
        None => Url::parse(&format!("http://{address}"))?,
    };
    tracing::info!(worker = %worker.id(), %endpoint, "the worker is ready");

    // Registered only as long as it serves, and gone from the registry before it stops to.
    let leaving = CancellationToken::new();
    let prefetch_registry = registry.clone();
    let heart = tokio::spawn(beat_until(stop.clone(), worker.clone(), endpoint, registry));
    tokio::spawn({
        let leaving = leaving.clone();
        async move {
            if let Err(error) = heart.await {
                tracing::error!(%error, "the heartbeat ended");
            }
            leaving.cancel();
        }
    });
    let prefetching = prefetch_until(
        stop.clone(),
        worker.clone(),
        config.worker.profile,
        prefetch_registry,
        clock,
        PREFETCH_EVERY,
    );
    tokio::spawn(prefetching);
    let terms = Terms {
        credentials,
        head: HEAD_PATIENCE,
        connections: CONNECTIONS,
        drain: Duration::from_millis(config.worker.drain_ms),
    };
    // Ready from now on, until it is told to stop: what drains is asked no more.
    let ready = {
        let stop = stop.clone();
        move || !stop.is_cancelled()
    };
    let metrics = telemetry.metrics();
    let observed = serve::observed(
        config.worker.metrics_listen,
        metrics.clone(),
        ready,
        leaving.clone(),
    );
    let routes = streamsync_worker::routes(worker, metrics);
    let (observed, ()) = tokio::join!(observed, serve::serve(listener, routes, terms, leaving));
    observed?;
    Ok(ExitCode::SUCCESS)
}
