//! A process of the network that can be killed, stalled and started again.

use crate::footprint::Footprint;
use std::{
    fs::OpenOptions,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use streamsync_testing::eventually;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

/// How long anything may take to be up, or to be well again, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a process may take to end once it is told to. Routers and workers let queries end, which may
/// take the longest deadline, 10 s; then a router waits 5 s more for connections and 3 s for Redis to take
/// the last receipts.
pub const DRAIN: Duration = Duration::from_secs(30);
/// How long is waited before a process that could not start is started again.
const AGAIN: Duration = Duration::from_millis(200);

/// How a process is started.
pub struct Recipe {
    pub name: String,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Where its standard error goes.
    pub log: PathBuf,
}

impl Recipe {
    /// The command of this product, not started yet.
    pub fn command(&self) -> Command {
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.log)
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamsync"));
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        command
    }
}

/// How it is told that a process is up.
#[derive(Clone)]
pub enum Up {
    /// It listens.
    Listens(SocketAddr),
    /// This address answers with 200.
    Answers(String),
}

impl Up {
    async fn is_so(&self) -> bool {
        match self {
            Self::Listens(address) => TcpStream::connect(address).await.is_ok(),
            Self::Answers(url) => {
                let client = reqwest::Client::builder().no_proxy();
                let client = client.timeout(Duration::from_secs(1)).build().unwrap();
                let answer = client.get(url).send().await;
                answer.is_ok_and(|answer| answer.status() == 200)
            }
        }
    }
}

/// A process that runs, but for when something is done to it.
pub struct Process {
    pub recipe: Recipe,
    up: Up,
    child: Child,
}

impl Process {
    /// Starts it, and waits until it is up.
    pub async fn start(recipe: Recipe, up: Up) -> Self {
        let child = recipe.command().spawn().unwrap();
        let mut process = Self { recipe, up, child };
        process.await_up().await;
        process
    }

    /// Waits until it is up. As whoever supervises processes does, it starts one again that ended on
    /// its way: without Redis or the bucket none starts.
    async fn await_up(&mut self) {
        let up = async {
            while !self.up.is_so().await {
                if self.child.try_wait().unwrap().is_some() {
                    self.child = self.recipe.command().spawn().unwrap();
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        if tokio::time::timeout(PATIENCE, up).await.is_err() {
            panic!("{} did not start within {PATIENCE:?}", self.recipe.name);
        }
    }

    /// Starts one that has ended.
    pub async fn restart(&mut self) {
        self.child = self.recipe.command().spawn().unwrap();
        self.await_up().await;
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and the end awaited: an error if that is late, or the process says it failed.
    pub async fn drain(&mut self) -> Result<(), String> {
        self.signal("TERM");
        let name = self.recipe.name.clone();
        match tokio::time::timeout(DRAIN, self.child.wait()).await {
            Ok(status) => match status.unwrap() {
                status if status.success() => Ok(()),
                status => Err(format!("{name} was told to stop and ended with {status}")),
            },
            Err(_) => {
                self.kill().await;
                Err(format!(
                    "{name} was told to stop and still ran after {DRAIN:?}"
                ))
            }
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        if let Some(id) = self.child.id() {
            signal(id, name);
        }
    }

    /// How it ended, if nobody made it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// What it takes of the machine; nothing if it has ended.
    pub fn footprint(&self) -> Footprint {
        self.child.id().map(Footprint::of).unwrap_or_default()
    }
}

/// Sends a process a signal by its name.
pub fn signal(process: u32, name: &str) {
    let mut kill = std::process::Command::new("kill");
    let sent = kill.args([&format!("-{name}"), &process.to_string()]);
    assert!(sent.status().unwrap().success(), "kill -{name} {process}");
}

/// Processes that carry a mark in their environment, as their command lines.
fn marked(mark: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let folders = entries.map(|entry| entry.path());
    let carries = |folder: &PathBuf| {
        let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| variable == mark.as_bytes())
    };
    let command = |folder: PathBuf| {
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ")
    };
    folders.filter(carries).map(command).collect()
}

/// Waits until no process with this mark in its environment is left, and says which are.
pub async fn left_over(mark: &str) -> Vec<String> {
    let gone = eventually(DRAIN, async || marked(mark).is_empty());
    match tokio::time::timeout(DRAIN / 2, gone).await {
        Ok(()) => Vec::new(),
        Err(_) => marked(mark),
    }
}

/// Lines of a log that tell of a panic, and in which log.
pub fn panics(log: &Path) -> Vec<String> {
    let text = std::fs::read(log).unwrap();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| line.contains("panicked"));
    lines
        .map(|line| format!("{}: {line}", log.display()))
        .collect()
}
