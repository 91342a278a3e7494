//! `streamsync dev`: everything on one machine.

mod children;

use crate::{
    Failure, keys,
    router::{RaceArgs, Serving},
    security::AuthArgs,
    serve,
    settings::{Settings, flag, quoted},
    worker_process::CERTIFICATES_HOLD,
};
use children::{LocalRedis, Workers};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use streamsync_access::{MasterSecrets, SigningKey};
use streamsync_core::{
    Amount, Scope,
    clock::{Clock, SystemClock},
    config::{Config, Flag},
};
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use streamsync_router::{Administration, NewKey, Router};
use streamsync_tls::{Authority, Subject};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the router is ready yet.
const READY_POLL: Duration = Duration::from_millis(50);
/// The client that there is, and its credit.
const CLIENT: &str = "dev";
const CREDIT: Amount = Amount(1_000 * Amount::STRM.0);

/// Flags of `streamsync dev`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync dev --key-out dev.json
  streamsync dev --bucket ./lake --workers 3 --listen 127.0.0.1:9000
  streamsync dev --insecure-no-auth    # requests need no signature, and nobody pays")]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    race: RaceArgs,
    #[command(flatten)]
    auth: AuthArgs,
    /// Where to write the API key of the client `dev`, which may do everything and has 1,000 STRM;
    /// without it, to a temporary folder.
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,
    /// How many workers to run, each a process of its own.
    #[arg(long, default_value_t = 5)]
    workers: usize,
}

/// What is made anew each time: secrets, certificates, receipts on their way.
struct Secrets {
    folder: TempDir,
    authority: Authority,
}

impl Secrets {
    fn make() -> Result<Self, Failure> {
        let folder = TempDir::with_prefix("streamsync-dev-")?;
        let now = SystemClock.unix_millis() / 1_000;
        let authority = Authority::init(&folder.path().join("authority"), now)?;
        let router = folder.path().join("router");
        authority.issue(Subject::Router, &router, now, CERTIFICATES_HOLD)?;
        Ok(Self { folder, authority })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The settings that point to them, where nothing else is set.
    fn flags(&self, config: &Config) -> Result<Vec<Option<Flag>>, Failure> {
        let path = |name: &str| Some(quoted(self.path(name).display()));
        let auth = &config.auth;
        let needs_master = auth.master_secrets.is_none() && !auth.insecure_no_auth;
        if needs_master {
            keys::init(&self.path("master"))?;
        }
        Ok(vec![
            flag("tls.folder", path("router")),
            flag(
                "auth.master_secrets",
                path("master").filter(|_| needs_master),
            ),
            flag(
                "router.spool_folder",
                path("spool").filter(|_| config.router.spool_folder.is_none()),
            ),
        ])
    }
}

/// Runs a Redis of its own (unless one is named), workers and a router, until told to stop.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut settings = args.settings.clone();
    let mut flags = [args.race.flags(), args.auth.flags()].concat();
    let mut config = settings.load(flags.clone())?;
    let telemetry = streamsync_telemetry::start(&config.telemetry, "dev")?;
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;

    // First, so that a port in use is told before anything is started.
    let (listener, address) = serve::listen(config.router.listen).await?;
    let lake = Lake::open(&config.bucket)?;
    lake.create_tables().await?;
    let secrets = Secrets::make()?;
    flags.extend(secrets.flags(&config)?);
    let mut redis = None;
    if settings.redis_url.is_none() && std::env::var_os("STREAMSYNC_REDIS__URL").is_none() {
        let local = LocalRedis::start().await?;
        settings.redis_url = Some(local.url());
        redis = Some(local);
    }
    config = settings.load(flags)?;
    let key = match config.auth.insecure_no_auth {
        true => None,
        false => {
            let path = args
                .key_out
                .clone()
                .unwrap_or_else(|| secrets.path("key.json"));
            make_client(&config, &path).await?;
            Some(path)
        }
    };
    let workers = Workers::start(
        &settings,
        args.workers,
        secrets.folder.path(),
        &secrets.authority,
    )?;
    let serving = Serving::prepare(&config, &stop).await?;
    tokio::spawn(announce(
        serving.router.clone(),
        format!("http://{address}"),
        format!("{}, with {}", lake.url(), config.redis.url),
        key,
    ));
    let served = serving
        .serve(&config, listener, telemetry.metrics(), stop)
        .await;
    workers
        .stop(Duration::from_millis(config.worker.drain_ms))
        .await;
    if let Some(redis) = redis {
        redis.stop().await;
    }
    served.map(|()| ExitCode::SUCCESS)
}

/// Makes a client that may do everything, with credit, and writes its key to a file.
async fn make_client(config: &Config, path: &Path) -> Result<(), Failure> {
    let file = config
        .auth
        .master_secrets
        .as_deref()
        .ok_or("there are no master secrets")?;
    let registry = Registry::connect(&config.redis).await?;
    let masters = MasterSecrets::read(file)?;
    let administration = Administration::new(registry, masters, Arc::new(SystemClock));
    let new = NewKey {
        client: CLIENT.parse()?,
        scopes: [Scope::Query, Scope::Operate, Scope::Admin].into(),
        limits: Default::default(),
    };
    let actor = keys::actor();
    let issued = administration.create_key(new, &actor).await?;
    let client = issued.key.client.clone();
    administration
        .add_credit(&client, CREDIT, issued.key.id.as_str(), &actor)
        .await?;
    let key = SigningKey {
        id: issued.key.id,
        secret: issued.secret,
    };
    Ok(key.write_new(path)?)
}

async fn announce(router: Router, url: String, lake: String, key: Option<PathBuf>) {
    while !router.is_ready() {
        tokio::time::sleep(READY_POLL).await;
    }
    match key {
        Some(key) => println!("ready: {url} over {lake}, key {}", key.display()),
        None => println!("ready: {url} over {lake}, open to everyone on this machine"),
    }
}
