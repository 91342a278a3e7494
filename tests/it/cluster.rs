//! A whole StreamSync of its own for a test: folder, Redis, workers, router.

use crate::network::{client, patient};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// How long set-up may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Cluster {
    pub url: String,
    pub client: Client,
    /// Ends with the cluster.
    _redis: streamsync_testing::Redis,
    pub process: Child,
    folder: TempDir,
}

/// The command, with a quiet log.
pub fn streamsync() -> Command {
    let mut command = streamsync_of(env!("CARGO_BIN_EXE_streamsync"));
    // Tests share the machine with others, beside which scans would wait until they are over.
    command.env("STREAMSYNC_WORKER__SCANS_GIVE_WAY", "false");
    command
}

/// The same of another build.
pub fn streamsync_of(binary: &str) -> Command {
    let mut command = Command::new(binary);
    // Another build looks for DuckDB where that was when it was built.
    if let Some(folder) = option_env!("DUCKDB_LIB_DIR") {
        command.env("LD_LIBRARY_PATH", folder);
    }
    command
        .env("STREAMSYNC_TELEMETRY__LOG", "error")
        // Of the S3 server for tests; a folder needs none.
        .env("STREAMSYNC_BUCKET__ACCESS_KEY_ID", "test")
        .env("STREAMSYNC_BUCKET__SECRET_ACCESS_KEY", "test")
        .kill_on_drop(true)
        .stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub async fn run(arguments: &[&str]) -> Output {
    streamsync().args(arguments).output().await.unwrap()
}

/// Text of an output, for assertions.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Cluster {
    /// A cluster over a few synthetic blocks.
    pub async fn synthetic(workers: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let lake = folder.path().join("lake");
        let ingest = run(&[
            "ingest",
            "--synthetic",
            "7,20,200",
            "--bucket",
            lake.to_str().unwrap(),
        ])
        .await;
        assert!(ingest.status.success(), "{}", text(&ingest.stderr));
        Self::start(folder, workers).await
    }

    /// A cluster over the folder `lake` in a folder.
    pub async fn start(folder: TempDir, workers: usize) -> Self {
        Self::start_in("UTC", folder, workers).await
    }

    /// A cluster over these block files.
    pub async fn over(blocks: &[PathBuf], workers: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let lake = folder.path().join("lake");
        let mut command = streamsync();
        command
            .arg("ingest")
            .args(blocks)
            .arg("--bucket")
            .arg(&lake);
        let ingest = command.output().await.unwrap();
        assert!(ingest.status.success(), "{}", text(&ingest.stderr));
        Self::start(folder, workers).await
    }

    /// As [`Cluster::start`], on machines in a time zone.
    pub async fn start_in(zone: &str, folder: TempDir, workers: usize) -> Self {
        let redis = streamsync_testing::Redis::start().await;
        let mut process = streamsync()
            .env("TZ", zone)
            .args([
                "dev",
                "--insecure-no-auth",
                "--listen",
                "127.0.0.1:0",
                "--bucket",
            ])
            .arg(folder.path().join("lake"))
            .args([
                "--redis-url",
                &redis.url(),
                "--workers",
                &workers.to_string(),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let ready = ready
            .expect("it is ready in time")
            .unwrap()
            .expect("it says that it is ready");
        let url = ready.split_whitespace().nth(1).unwrap().to_owned();
        let cluster = Self {
            url,
            client: client(),
            _redis: redis,
            process,
            folder,
        };
        cluster.await_workers(workers).await;
        cluster
    }

    pub fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    pub async fn await_workers(&self, count: usize) {
        streamsync_testing::eventually(PATIENCE, async || {
            let workers = self.workers().await;
            workers
                .iter()
                .filter(|worker| worker["health"] == "healthy")
                .count()
                == count
        })
        .await;
    }

    pub async fn workers(&self) -> Vec<Value> {
        let listed = self.get("/v1/workers").await;
        listed["workers"].as_array().unwrap().clone()
    }

    pub async fn get(&self, path: &str) -> Value {
        self.client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    pub async fn post(&self, body: &Value, accept: &str) -> Response {
        let request = self.client.post(format!("{}/v1/query", self.url));
        request
            .header("accept", accept)
            .json(&patient(body))
            .send()
            .await
            .unwrap()
    }

    pub async fn ask(&self, sql: &str) -> Response {
        self.post(&json!({ "sql": sql }), "application/json").await
    }

    /// The rows of an answer, which has to be one.
    pub async fn rows(&self, sql: &str) -> Vec<Value> {
        let response = self.ask(sql).await;
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{sql}: {body}");
        body["rows"].as_array().unwrap().clone()
    }

    /// The one number that a query answers.
    pub async fn number(&self, sql: &str) -> i64 {
        let rows = self.rows(sql).await;
        let row = rows[0].as_object().unwrap();
        row.values().next().unwrap().as_i64().unwrap()
    }
}
