//! A network of single processes: workers and routers that can be killed one by one.

use crate::cluster::{PATIENCE, run, streamsync, streamsync_of, text};
use reqwest::Client;
use serde_json::{Value, json};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use streamsync_access::{MasterSecrets, SigningKey};
use streamsync_core::{
    Amount, Identity, Limits, Scope,
    clock::{Clock, SystemClock},
    config::RedisConfig,
};
use streamsync_registry::Registry;
use streamsync_router::{Actor, Administration, NewKey};
use streamsync_testing::{Redis, eventually};
use streamsync_tls::{Authority, Subject};
use tempfile::TempDir;
use tokio::process::Child;

pub struct Network {
    pub redis: Redis,
    pub client: Client,
    pub workers: Vec<WorkerProcess>,
    pub routers: Vec<RouterProcess>,
    bucket: Vec<String>,
    folder: TempDir,
    /// Who signs certificates; `None` where nobody has to show who he is.
    authority: Option<Authority>,
}

pub struct WorkerProcess {
    pub endpoint: String,
    arguments: Vec<String>,
    child: Child,
}

pub struct RouterProcess {
    pub url: String,
    arguments: Vec<String>,
    child: Child,
}

/// Who may ask has tests of its own.
const INSECURE: [&str; 2] = ["--insecure-no-auth", "--insecure-no-tls"];

/// For how long certificates hold.
const HOLDS: Duration = Duration::from_secs(30 * 86_400);

pub fn now_s() -> u64 {
    SystemClock.unix_millis() / 1_000
}

pub fn actor() -> Actor {
    Actor {
        name: "test@host".to_owned(),
        from: "command".to_owned(),
    }
}

fn path_flag(name: &str, path: &Path) -> [String; 2] {
    [name.to_owned(), path.display().to_string()]
}

/// A port that nobody listens on. It is none of those that the kernel gives away, and other processes of
/// tests begin elsewhere, so that it is still free when its server starts.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let begin = std::process::id() % 200 * 100;
        let port = 10_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The checkout that the tests are run in; it may share what was built with others.
pub fn checkout() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// A client that has closed a connection before a router does, which does so after ten idle seconds.
pub fn client() -> Client {
    let client = Client::builder().no_proxy();
    let client = client.pool_idle_timeout(Duration::from_secs(5));
    client.build().unwrap()
}

/// A request with the longest deadline, if it has none of its own: the machine may be busy.
pub fn patient(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.entry("deadline_ms").or_insert(json!(60_000));
    }
    body
}

impl Network {
    /// A network over a few synthetic blocks in a folder.
    pub async fn synthetic() -> Self {
        let folder = TempDir::new().unwrap();
        let lake = folder.path().join("lake").display().to_string();
        Self::over(folder, vec!["--bucket".to_owned(), lake]).await
    }

    /// A network over a bucket, given as flags; a few synthetic blocks are put there.
    pub async fn over(folder: TempDir, bucket: Vec<String>) -> Self {
        let mut ingest = vec!["ingest", "--synthetic", "7,20,200"];
        ingest.extend(bucket.iter().map(String::as_str));
        let ingest = run(&ingest).await;
        assert!(ingest.status.success(), "{}", text(&ingest.stderr));
        Self {
            redis: Redis::start().await,
            client: client(),
            workers: Vec::new(),
            routers: Vec::new(),
            bucket,
            folder,
            authority: None,
        }
    }

    /// The same with keys, credit, receipts and TLS, as it is without flags that say otherwise.
    pub async fn secured() -> Self {
        let mut network = Self::synthetic().await;
        let folder = network.folder();
        let authority = Authority::init(&folder.join("authority"), now_s()).unwrap();
        authority
            .issue(Subject::Router, &folder.join("router-tls"), now_s(), HOLDS)
            .unwrap();
        network.authority = Some(authority);
        MasterSecrets::new([7; 32])
            .write_new(&network.master())
            .unwrap();
        network
    }

    pub fn master(&self) -> PathBuf {
        self.folder().join("master")
    }

    /// Keys and credit, as the commands change them.
    pub async fn administration(&self) -> Administration {
        let masters = MasterSecrets::read(&self.master()).unwrap();
        Administration::new(self.registry().await, masters, Arc::new(SystemClock))
    }

    /// A key of a client, with these scopes and limits.
    pub async fn key(&self, client: &str, scopes: &[Scope], limits: Limits) -> SigningKey {
        let new = NewKey {
            client: client.parse().unwrap(),
            scopes: scopes.iter().copied().collect(),
            limits,
        };
        let issued = self
            .administration()
            .await
            .create_key(new, &actor())
            .await
            .unwrap();
        SigningKey {
            id: issued.key.id,
            secret: issued.secret,
        }
    }

    pub async fn add_credit(&self, client: &str, amount: u64, name: &str) {
        let client = client.parse().unwrap();
        let administration = self.administration().await;
        let actor = actor();
        let added = administration.add_credit(&client, Amount(amount), name, &actor);
        assert!(added.await.unwrap());
    }

    pub async fn registry(&self) -> Registry {
        let config = RedisConfig {
            url: self.redis.url().parse().unwrap(),
            timeout_ms: 30_000,
            ..Default::default()
        };
        Registry::connect(&config).await.unwrap()
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn flags(&self, role: &str) -> Vec<String> {
        let mut flags = vec![role.to_owned(), "--redis-url".to_owned(), self.redis.url()];
        flags.extend(self.bucket.iter().cloned());
        flags
    }

    /// Starts a worker; with its flags besides the bucket, Redis and its address.
    pub fn start_worker(&mut self, flags: &[&str]) {
        let address = format!("127.0.0.1:{}", free_port());
        let mut arguments = self.flags("worker");
        arguments.extend(["--listen".to_owned(), address.clone()]);
        let mut scheme = "http";
        match &self.authority {
            None => arguments.push("--insecure-no-tls".to_owned()),
            Some(authority) => {
                let number = u8::try_from(self.workers.len()).unwrap();
                let identity = Identity::from_seed([100 + number; 32]);
                let folder = self.folder().join(format!("worker-{number}"));
                let keypair = folder.with_extension("json");
                identity.write_new(&keypair).unwrap();
                let subject = Subject::Worker(identity.id());
                authority.issue(subject, &folder, now_s(), HOLDS).unwrap();
                arguments.extend(path_flag("--keypair", &keypair));
                arguments.extend(path_flag("--tls", &folder));
                scheme = "https";
            }
        }
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let child = spawn(&arguments);
        self.workers.push(WorkerProcess {
            endpoint: format!("{scheme}://{address}"),
            arguments,
            child,
        });
    }

    /// Starts a router, and waits until it can answer.
    pub async fn start_router(&mut self, flags: &[&str]) {
        let address = format!("127.0.0.1:{}", free_port());
        let mut arguments = self.flags("router");
        arguments.extend(["--listen".to_owned(), address.clone()]);
        if self.authority.is_some() {
            let spool = self.folder().join(format!("spool-{}", self.routers.len()));
            arguments.extend(path_flag("--master-secrets", &self.master()));
            arguments.extend(path_flag("--tls", &self.folder().join("router-tls")));
            arguments.extend(path_flag("--spool", &spool));
        } else {
            arguments.extend(INSECURE.map(str::to_owned));
        }
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let child = spawn(&arguments);
        let router = RouterProcess {
            url: format!("http://{address}"),
            arguments,
            child,
        };
        router.await_ready(&self.client).await;
        self.routers.push(router);
    }

    pub async fn get(&self, router: usize, path: &str) -> Value {
        let url = format!("{}{path}", self.routers[router].url);
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// What a router says of a worker, if it knows it.
    pub async fn worker(&self, router: usize, id: &str) -> Option<Value> {
        let listed = self.get(router, "/v1/workers").await;
        let workers = listed["workers"].as_array().unwrap().clone();
        workers.into_iter().find(|worker| worker["worker"] == id)
    }

    pub async fn await_healthy(&self, router: usize, count: usize) {
        eventually(PATIENCE, async || self.healthy(router).await == count).await;
    }

    /// How many workers a router knows to live.
    pub async fn healthy(&self, router: usize) -> usize {
        let listed = self.get(router, "/v1/workers").await;
        let workers = listed["workers"].as_array().unwrap();
        let healthy = workers
            .iter()
            .filter(|worker| worker["health"] == "healthy");
        healthy.count()
    }

    /// How many queries the workers say to have under way.
    pub async fn running(&self, router: usize) -> u64 {
        let listed = self.get(router, "/v1/workers").await;
        let workers = listed["workers"].as_array().unwrap();
        workers
            .iter()
            .map(|worker| worker["running"].as_u64().unwrap())
            .sum()
    }

    /// Asks, patiently unless the query has its own deadline.
    pub async fn ask(&self, router: usize, body: Value) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}/v1/query", self.routers[router].url);
        self.client.post(url).json(&patient(&body)).send().await
    }

    pub async fn rows(&self, router: usize, sql: &str) -> Value {
        let response = self.ask(router, json!({ "sql": sql })).await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{sql}: {body}");
        body["rows"].clone()
    }
}

/// Starts a process. Two of the flags are none of the product: where a test wants to read what is logged,
/// and which binary it wants to run.
fn spawn(arguments: &[String]) -> Child {
    let mut arguments = arguments.to_vec();
    let mut own = |flag: &str| {
        let place = arguments.iter().position(|other| other == flag)?;
        arguments.drain(place..place + 2).nth(1)
    };
    let (log, binary) = (own("--log-to"), own("--binary"));
    let mut command = match binary {
        Some(binary) => streamsync_of(&binary),
        None => streamsync(),
    };
    command.args(arguments).stdout(Stdio::null());
    if let Some(log) = log {
        let mut options = std::fs::OpenOptions::new();
        let file = options.append(true).create(true).open(log);
        command
            .env("STREAMSYNC_TELEMETRY__LOG", "debug")
            .stderr(file.unwrap());
    }
    command.spawn().unwrap()
}

impl WorkerProcess {
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub fn restart(&mut self) {
        self.child = spawn(&self.arguments);
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(&mut self) {
        stop(&mut self.child).await;
    }
}

/// Tells a process to stop, and waits until it has.
async fn stop(child: &mut Child) {
    let process = child.id().unwrap().to_string();
    let told = std::process::Command::new("kill").arg(process).status();
    assert!(told.unwrap().success());
    assert!(child.wait().await.unwrap().success());
}

impl RouterProcess {
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub async fn restart(&mut self, client: &Client) {
        self.child = spawn(&self.arguments);
        self.await_ready(client).await;
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(&mut self) {
        stop(&mut self.child).await;
    }

    async fn await_ready(&self, client: &Client) {
        eventually(PATIENCE, async || {
            let ready = client.get(format!("{}/readyz", self.url)).send().await;
            ready.is_ok_and(|ready| ready.status() == 200)
        })
        .await;
    }
}
