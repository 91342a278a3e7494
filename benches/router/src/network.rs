//! The processes that are measured.

use crate::{Fallible, Settings, load::Request, security::Security};
use reqwest::Client;
use serde_json::{Value, json};
use std::{net::TcpListener, path::Path, process::Stdio, time::Duration};
use streamsync_access::SigningKey;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long all of it may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// Redis, workers, and a router, over a lake of made-up blocks.
pub struct Network {
    pub router: String,
    pub workers: Vec<String>,
    /// What requests are signed with, if they are.
    pub key: Option<SigningKey>,
    router_process: Child,
    _others: Vec<Child>,
    _folder: TempDir,
}

/// Makes the address of a worker into another that leads there.
pub type Detour = dyn Fn(&str) -> Fallible<String>;

/// How a network differs from the usual one.
#[derive(Default)]
pub struct Shape<'a> {
    /// Workers that race; 5 if 0.
    pub racers: usize,
    /// How many confirm; 2 if `None`.
    pub confirmations: Option<usize>,
    /// Where one worker says that it is, instead of where it is.
    pub detour: Option<&'a Detour>,
    /// Whether clients and workers show who they are.
    pub security: Security,
}

pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("STREAMSYNC_TELEMETRY__LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

impl Network {
    pub async fn start(settings: &Settings, shape: Shape<'_>) -> Fallible<Self> {
        let folder = TempDir::new()?;
        let lake = folder.path().join("lake");
        let synthetic = format!("7,{},200", settings.blocks);
        let mut ingest = command(&settings.command);
        ingest
            .args(["ingest", "--synthetic", &synthetic, "--bucket"])
            .arg(&lake);
        if !ingest.status().await?.success() {
            return Err("the blocks could not be ingested".into());
        }
        let redis_port = free_port()?.to_string();
        let mut redis = command(Path::new("redis-server"));
        redis.args(["--bind", "127.0.0.1", "--save", "", "--port", &redis_port]);
        let mut others = vec![redis.spawn()?];
        let redis = format!("redis://127.0.0.1:{redis_port}");
        // Whoever connects first waits until it is there.
        while tokio::net::TcpStream::connect(format!("127.0.0.1:{redis_port}"))
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut workers = Vec::new();
        for number in 0..5_u8 {
            let address = format!("127.0.0.1:{}", free_port()?);
            let endpoint = format!("http://{address}");
            let mut worker = command(&settings.command);
            worker
                .args([
                    "worker",
                    "--redis-url",
                    &redis,
                    "--listen",
                    &address,
                    "--bucket",
                ])
                .arg(&lake);
            worker.args(["--profile", "speed"]);
            shape.security.worker(&mut worker, folder.path(), number)?;
            if let Some(detour) = shape.detour.filter(|_| number == 0) {
                worker.args(["--advertise", &detour(&endpoint)?]);
            }
            others.push(worker.spawn()?);
            workers.push(endpoint);
        }
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut router = command(&settings.command);
        let racers = if shape.racers == 0 { 5 } else { shape.racers };
        let confirmations = shape.confirmations.unwrap_or(2);
        router
            .env("STREAMSYNC_RACE__LOOKUP", &settings.policy)
            .args(["router", "--redis-url", &redis, "--listen", &address])
            .args(["--racers", &racers.to_string()])
            .args(["--confirmations", &confirmations.to_string(), "--bucket"])
            .arg(&lake);
        let key = shape
            .security
            .router(&mut router, folder.path(), &redis)
            .await?;
        let network = Self {
            key,
            router: format!("http://{address}"),
            workers,
            router_process: router.spawn()?,
            _others: others,
            _folder: folder,
        };
        tokio::time::timeout(PATIENCE, network.ready()).await?;
        Ok(network)
    }

    async fn ready(&self) {
        let client = Client::new();
        loop {
            let request = Request::get(format!("{}/v1/workers", self.router));
            let listed = request.send(&client, self.key.as_ref()).await;
            if let Ok(listed) = listed
                && let Ok(listed) = listed.json::<Value>().await
                && listed["workers"]
                    .as_array()
                    .is_some_and(|workers| workers.len() == 5)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Lookups by signature, of signatures that are there.
    pub async fn lookups(&self, client: &Client) -> Fallible<Vec<Value>> {
        let sql = "select signature from signatures order by signature limit 2000";
        let url = format!("{}/v1/query", self.router);
        let request = Request::post(url, &json!({ "sql": sql }));
        let answer = request.send(client, self.key.as_ref()).await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let rows = answer["rows"].as_array().ok_or("no rows")?;
        let lookups = rows.iter().map(|row| {
            let sql = "select slot, transaction_index from signatures where signature = $1";
            json!({ "sql": sql, "params": [row["signature"]] })
        });
        Ok(lookups.collect())
    }

    /// The CPU time that the router has taken, user and system, from `/proc`.
    pub fn router_cpu(&self) -> Fallible<Duration> {
        let process = self.router_process.id().ok_or("the router has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        // Fields 14 and 15 of proc(5), in ticks of 10 ms; the first two were cut off.
        let ticks = |place: usize| {
            fields
                .get(place)
                .and_then(|field| field.parse::<u64>().ok())
        };
        let ticks = ticks(11).zip(ticks(12)).ok_or("no CPU time in /proc")?;
        Ok(Duration::from_millis(10 * (ticks.0 + ticks.1)))
    }
}
