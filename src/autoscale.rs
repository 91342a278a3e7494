//! `streamsync autoscale`: as many workers on this machine as there is to do.

mod load;
mod pool;
mod scaler;

use crate::{
    Failure,
    security::TlsArgs,
    serve,
    settings::{Settings, flag, quoted},
};
use load::Routers;
use pool::{Pool, Recipe};
use scaler::{Running, Scaler};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use streamsync_core::{
    Identity,
    clock::{Clock, SystemClock},
    config::Config,
};
use streamsync_tls::Authority;
use tokio_util::sync::CancellationToken;
use url::Url;

/// How long a stopping worker may take beyond its own time for draining.
const BEYOND_DRAIN: Duration = Duration::from_secs(5);

/// Flags of `streamsync autoscale`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync autoscale --min 1 --max 8 --host 10.0.0.5 --routers http://router:9090/metrics \\
      --bucket s3://lake --redis-url redis://redis --folder /var/lib/streamsync/workers \\
      --authority ca --operator operator.json
  streamsync autoscale --min 0 --max 4 --routers http://127.0.0.1:9090/metrics --bucket ./lake \\
      --folder workers --insecure-no-tls -- --memory 1073741824 --profile speed

What stands behind -- goes to each worker. docs/OPERATIONS.md has the rule by which it decides.")]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    /// The fewest workers; 0 lets the last one go while nobody asks, which needs routers with
    /// `router.await_workers_ms`.
    #[arg(long, value_name = "COUNT")]
    min: Option<usize>,
    /// The most workers.
    #[arg(long, value_name = "COUNT")]
    max: Option<usize>,
    /// The address of this machine where routers reach the workers, each on a port of its own.
    #[arg(long, value_name = "ADDRESS", default_value_t = Ipv4Addr::LOCALHOST.into())]
    host: IpAddr,
    /// Where a router's metrics are; may be given several times.
    #[arg(long = "routers", value_name = "URL")]
    routers: Vec<Url>,
    /// How many queries there are for each worker.
    #[arg(long, value_name = "COUNT")]
    queries_per_worker: Option<f64>,
    /// The folder for the workers' key pairs and certificates, made when absent.
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// The folder of the authority that signs their certificates, as `streamsync certs init` makes it.
    #[arg(long, value_name = "FOLDER")]
    authority: Option<PathBuf>,
    /// The key pair of the operator who runs them, as solana-keygen writes it. Without it each worker is
    /// its own operator.
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,
    /// Workers that talk in plain text. Only between loopback addresses.
    #[arg(long)]
    insecure_no_tls: bool,
    /// An address where metrics and probes are answered.
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// Flags of the workers.
    #[arg(last = true, value_name = "WORKER FLAGS")]
    worker: Vec<String>,
}

impl Args {
    fn config(&self) -> Result<Config, Failure> {
        let routers: Vec<String> = self.routers.iter().map(quoted).collect();
        let routers = (!routers.is_empty()).then(|| format!("[{}]", routers.join(",")));
        let tls = TlsArgs {
            tls: None,
            insecure_no_tls: self.insecure_no_tls,
        };
        let mut flags = vec![
            flag("autoscale.min", self.min),
            flag("autoscale.max", self.max),
            // A quorum is no more than there may be.
            flag(
                "autoscale.quorum",
                self.max.filter(|most| *most < 3).map(|most| most.max(1)),
            ),
            flag("autoscale.queries_per_worker", self.queries_per_worker),
            flag("autoscale.routers", routers),
            flag("autoscale.metrics_listen", self.metrics_listen.map(quoted)),
        ];
        flags.extend(tls.flags());
        Ok(self.settings.load(flags)?)
    }
}

/// Starts and drains workers until told to stop.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = args.config()?;
    let scaling = config.autoscale.clone();
    if scaling.routers.is_empty() {
        return Err(
            "no router is named: start with --routers URL, which is what a router's \
             router.metrics_listen serves"
                .into(),
        );
    }
    if args.host.is_unspecified() {
        return Err(format!(
            "--host {} is no address that routers could reach: give one that this machine has",
            args.host
        )
        .into());
    }
    match (&args.authority, config.tls.insecure_no_tls) {
        (Some(folder), false) => drop(Authority::open(folder)?),
        (None, true) => {}
        _ => return Err("give either --authority FOLDER or --insecure-no-tls".into()),
    }
    let telemetry = streamsync_telemetry::start(&config.telemetry, "autoscale")?;
    streamsync_telemetry::expect_memory(serve::EXPECTED_MEMORY);
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;
    std::fs::create_dir_all(&args.folder)
        .map_err(|error| format!("could not make {}: {error}", args.folder.display()))?;
    let recipe = Recipe {
        operator: args.operator.as_deref().map(Identity::read).transpose()?,
        settings: args.settings,
        more: args.worker,
        host: args.host,
        folder: args.folder,
        authority: args.authority,
        drain: Duration::from_millis(config.worker.drain_ms) + BEYOND_DRAIN,
    };
    let observed = serve::observed(
        scaling.metrics_listen,
        telemetry.metrics(),
        || true,
        stop.clone(),
    );
    let scaled = async {
        let scaled = scale(&config, recipe, &stop).await;
        // Without it there is nothing to observe.
        stop.cancel();
        scaled
    };
    let (observed, scaled) = tokio::join!(observed, scaled);
    observed?;
    scaled.map(|()| ExitCode::SUCCESS)
}

async fn scale(config: &Config, recipe: Recipe, stop: &CancellationToken) -> Result<(), Failure> {
    let clock = SystemClock;
    let mut routers = Routers::new(config.autoscale.routers.clone())?;
    let mut scaler = Scaler::new(config.autoscale.clone());
    let mut pool = Pool::new(recipe, clock.monotonic());
    let mut turns = tokio::time::interval(Duration::from_millis(config.autoscale.every_ms));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = config.autoscale.min;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = turns.tick() => {}
        }
        let load = routers.load().await;
        let now = clock.monotonic();
        let running = Running {
            all: pool.running(),
            seasoned: pool.seasoned(now),
        };
        let wanted = scaler.wanted(now, load, running);
        if wanted != before {
            tracing::info!(
                wanted,
                before,
                queries = load.queries,
                queue_p95 = ?load.queue_p95,
                "another number of workers is wanted"
            );
        }
        before = wanted;
        metrics::gauge!("streamsync_autoscale_wanted").set(wanted as f64);
        pool.scale(wanted, now);
    }
    pool.stop().await;
    Ok(())
}
