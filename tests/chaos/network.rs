//! The network: Redis, a bucket, workers of several operators, routers and compactors, each a process.

use crate::{
    accounts::Accounts,
    bucket::Bucket,
    ingest,
    ledger::Ledger,
    load::ACCOUNTS,
    outage::Outages,
    process::{Process, Recipe, Up},
    redis::RedisServer,
    schedule::Crew,
    violation::Violations,
};
use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};
use streamsync_access::MasterSecrets;
use streamsync_core::{
    Identity, OperatorGrant,
    clock::{Clock, SystemClock},
};
use streamsync_registry::Registry;
use streamsync_tls::{Authority, Subject};
use tempfile::TempDir;
use tokio::sync::Mutex;

const WORKERS: usize = 6;
/// How many operators run them: the last two workers have the same.
const OPERATORS: u8 = 5;
const ROUTERS: usize = 2;
/// One of them works on after it was stalled, when the other has done its work.
const COMPACTORS: usize = 2;

/// What a worker may use.
pub const WORKER_MEMORY: u64 = 128 << 20;
const WORKER_DISK: u64 = 64 << 20;

const DAY: Duration = Duration::from_secs(86_400);

/// Settings of all processes. The compactor promises versions for as long as the checker may be late on a
/// busy machine, and no longer: in a long storm, what nobody needs is deleted.
const SETTINGS: [(&str, &str); 10] = [
    ("ROUTER__MAX_DEADLINE_MS", "10000"),
    ("WORKER__DRAIN_MS", "10000"),
    ("COMPACTOR__FAN_IN", "2"),
    ("COMPACTOR__EVERY_S", "2"),
    ("COMPACTOR__LEASE_S", "1"),
    ("COMPACTOR__PROMISE_S", "180"),
    ("COMPACTOR__VACUUM_EVERY_S", "10"),
    ("COMPACTOR__ACCOUNTS_EVERY_S", "5"),
    ("COMPACTOR__CHECKPOINT_COMMITS", "10"),
    ("COMPACTOR__MEMORY_BYTES", "134217728"),
];

pub struct Network {
    pub bucket: Bucket,
    pub redis: Mutex<RedisServer>,
    pub workers: Vec<Mutex<Process>>,
    pub routers: Vec<Mutex<Process>>,
    pub compactors: Vec<Mutex<Process>>,
    /// The routers' addresses for clients.
    pub urls: Vec<String>,
    /// Their addresses for scrapers.
    pub metrics: Vec<String>,
    pub accounts: Accounts,
    pub ledger: Ledger,
    pub outages: Outages,
    pub violations: Violations,
    /// What every process has in its environment.
    pub mark: String,
    folder: PathBuf,
    /// Ends with the network; nothing where the folder is to be kept.
    _temporary: Option<TempDir>,
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn path(name: &str, path: &Path) -> [String; 2] {
    [name.to_owned(), path.display().to_string()]
}

impl Network {
    /// A network over the first blocks.
    pub async fn start(seed: u64) -> Self {
        let kept = std::env::var_os("STREAMSYNC_CHAOS_FOLDER").map(PathBuf::from);
        let temporary = kept.is_none().then(|| TempDir::new().unwrap());
        let folder = kept.or_else(|| Some(temporary.as_ref()?.path().to_owned()));
        let folder = folder.unwrap();
        std::fs::create_dir_all(folder.join("logs")).unwrap();
        let (process, now) = (std::process::id(), SystemClock.unix_millis());
        let mark = format!("STREAMSYNC_CHAOS_RUN={process}.{now}");
        let marked = mark.split_once('=').unwrap();
        let marked = vec![(marked.0.to_owned(), marked.1.to_owned())];
        let (bucket, redis_folder) = (Bucket::new(&folder).await, folder.join("redis"));
        let redis = RedisServer::start(free_address().port(), redis_folder, marked).await;
        let mut network = Self {
            bucket,
            redis: Mutex::new(redis),
            workers: Vec::new(),
            routers: Vec::new(),
            compactors: Vec::new(),
            urls: Vec::new(),
            metrics: Vec::new(),
            accounts: Accounts::new(ACCOUNTS),
            ledger: Ledger::default(),
            outages: Outages::default(),
            violations: Violations::default(),
            mark,
            folder,
            _temporary: temporary,
        };
        network.fill(seed).await;
        MasterSecrets::new([7; 32])
            .write_new(&network.master())
            .unwrap();
        let registry = network.redis.lock().await.registry().await;
        network.open_accounts(registry).await;
        let now_s = SystemClock.unix_millis() / 1_000;
        let authority = Authority::init(&network.folder.join("authority"), now_s).unwrap();
        for number in 0..WORKERS {
            network.start_worker(number, &authority, now_s).await;
        }
        let router_tls = network.folder.join("router-tls");
        authority
            .issue(Subject::Router, &router_tls, now_s, DAY)
            .unwrap();
        for number in 0..ROUTERS {
            network.start_router(number, &router_tls).await;
        }
        for number in 0..COMPACTORS {
            network.start_compactor(number).await;
        }
        network
    }

    pub fn crew(&self) -> Crew {
        Crew {
            workers: WORKERS,
            routers: ROUTERS,
            compactors: COMPACTORS,
            bucket: self.bucket.can_fail(),
        }
    }

    /// A folder of the run.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a process logs to.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(name)
    }

    /// All logs.
    pub fn logs(&self) -> Vec<PathBuf> {
        let logs = std::fs::read_dir(self.folder.join("logs")).unwrap();
        logs.map(|log| log.unwrap().path()).collect()
    }

    fn master(&self) -> PathBuf {
        self.folder.join("master")
    }

    /// Opens the clients' accounts in a Redis that is up and knows nothing.
    pub async fn open_accounts(&self, registry: Registry) {
        self.accounts.open(registry, &self.master()).await;
    }

    /// What every process has in its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut all = self.bucket.environment();
        let settings =
            SETTINGS.map(|(name, value)| (format!("STREAMSYNC_{name}"), value.to_owned()));
        all.extend(settings);
        let (name, value) = self.mark.split_once('=').unwrap();
        all.push((name.to_owned(), value.to_owned()));
        if std::env::var_os("STREAMSYNC_TELEMETRY__LOG").is_none() {
            all.push(("STREAMSYNC_TELEMETRY__LOG".to_owned(), "info".to_owned()));
        }
        all
    }

    /// The first blocks, and what the compactor makes of them, so that there are rollups.
    async fn fill(&self, seed: u64) {
        let (flags, log) = (self.bucket.flags(), self.log("ingest"));
        let first = ingest::blocks(seed, ingest::BASE);
        let ingest = ingest::recipe(&flags, self.environment(), &first, &log);
        assert!(ingest.command().status().await.unwrap().success());
        assert!(
            self.compact_once(&flags)
                .await
                .starts_with(|first: char| first.is_ascii_digit())
        );
    }

    /// Has a compactor do all there is to do in a bucket, alone, and returns what it says of that.
    pub async fn compact_once(&self, bucket: &[String]) -> String {
        let mut arguments = ["compactor", "once", "--alone"].map(str::to_owned).to_vec();
        arguments.extend(bucket.iter().cloned());
        let recipe = Recipe {
            name: "compactor once".to_owned(),
            arguments,
            environment: self.environment(),
            log: self.log("compactor-once"),
        };
        let mut command = recipe.command();
        let output = command.stdout(std::process::Stdio::piped()).output();
        let output = output.await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "compactor once: {said}");
        said
    }

    /// Starts a process, with its own flags and where it serves metrics.
    async fn process(
        &self,
        role: &str,
        number: usize,
        own: Vec<String>,
        up: Up,
        metrics: Option<SocketAddr>,
    ) -> Mutex<Process> {
        let mut arguments: Vec<String> = role.split(' ').map(str::to_owned).collect();
        let section = arguments[0].clone();
        let redis = self.redis.lock().await.url();
        arguments.extend(["--redis-url".to_owned(), redis]);
        arguments.extend(self.bucket.flags());
        arguments.extend(own);
        let mut environment = self.environment();
        if let Some(address) = metrics {
            let name = format!("STREAMSYNC_{}__METRICS_LISTEN", section.to_uppercase());
            environment.push((name, address.to_string()));
        }
        let name = format!("{section}-{number}");
        let log = self.log(&name);
        let recipe = Recipe {
            name,
            arguments,
            environment,
            log,
        };
        Mutex::new(Process::start(recipe, up).await)
    }

    async fn start_worker(&mut self, number: usize, authority: &Authority, now_s: u64) {
        let place = u8::try_from(number).unwrap();
        let identity = Identity::from_seed([100 + place; 32]);
        let operator = Identity::from_seed([200 + place.min(OPERATORS - 1); 32]);
        let (keypair, tls) = (
            self.folder(&format!("worker-{number}.json")),
            self.folder(&format!("worker-{number}-tls")),
        );
        identity.write_new(&keypair).unwrap();
        let subject = Subject::Worker(identity.id());
        authority.issue(subject, &tls, now_s, DAY).unwrap();
        let grant = self.folder(&format!("grant-{number}.json"));
        let signed = OperatorGrant::new(&operator, identity.id());
        std::fs::write(&grant, serde_json::to_vec(&signed).unwrap()).unwrap();
        let address = free_address();
        let mut own = vec!["--listen".to_owned(), address.to_string()];
        own.extend(path("--keypair", &keypair));
        own.extend(path("--tls", &tls));
        own.extend(path("--operator-grant", &grant));
        own.extend(path("--cache", &self.folder(&format!("cache-{number}"))));
        own.extend(["--memory".to_owned(), WORKER_MEMORY.to_string()]);
        own.extend(["--disk".to_owned(), WORKER_DISK.to_string()]);
        let worker = self.process("worker", number, own, Up::Listens(address), None);
        let worker = worker.await;
        self.workers.push(worker);
    }

    async fn start_router(&mut self, number: usize, tls: &Path) {
        let (address, metrics) = (free_address(), free_address());
        let mut own = vec!["--listen".to_owned(), address.to_string()];
        own.extend(path("--master-secrets", &self.master()));
        own.extend(path("--tls", tls));
        own.extend(path("--spool", &self.folder(&format!("spool-{number}"))));
        let up = Up::Answers(format!("http://{address}/healthz"));
        let router = self.process("router", number, own, up, Some(metrics));
        let router = router.await;
        self.routers.push(router);
        self.urls.push(format!("http://{address}"));
        self.metrics.push(format!("http://{metrics}/metrics"));
    }

    async fn start_compactor(&mut self, number: usize) {
        let metrics = free_address();
        let mut own = Vec::new();
        own.extend(path(
            "--scratch",
            &self.folder(&format!("scratch-{number}")),
        ));
        let up = Up::Listens(metrics);
        let compactor = self.process("compactor run", number, own, up, Some(metrics));
        let compactor = compactor.await;
        self.compactors.push(compactor);
    }
}
