//! The processes that `streamsync dev` starts, and ends.

use crate::{
    Failure,
    settings::Settings,
    worker_process::{WorkerFiles, WorkerProcess},
};
use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};
use streamsync_tls::Authority;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not there, or may not be run.
    #[error("could not start {program}; is it installed? `make setup` installs it")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// There is no free port.
    #[error("could not find a free port for redis-server")]
    Port(#[source] io::Error),
    /// It ended at once.
    #[error("redis-server ended before it was ready; it said: {0}")]
    Ended(String),
}

/// A Redis of one's own, without persistence, on a free port of the loopback interface.
pub struct LocalRedis {
    child: Child,
    port: u16,
}

impl LocalRedis {
    /// Starts it and waits until it takes connections.
    pub async fn start() -> Result<Self, StartError> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(StartError::Port)?
            .port();
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| StartError::Spawn {
                program: "redis-server".to_owned(),
                source,
            })?;
        let Some(output) = child.stdout.take() else {
            return Err(StartError::Ended(String::new()));
        };
        let mut lines = BufReader::new(output).lines();
        let mut said = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("Ready to accept connections") {
                // Read on, so that it never waits for somebody to take what it prints.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { child, port });
            }
            said.push_str(&line);
            said.push('\n');
        }
        Err(StartError::Ended(said))
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it. It keeps nothing, so it needs no farewell.
    pub async fn stop(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "could not end redis-server");
        }
    }
}

/// Worker processes.
pub struct Workers(Vec<WorkerProcess>);

impl Workers {
    /// Starts so many.
    pub fn start(
        settings: &Settings,
        count: usize,
        folder: &Path,
        authority: &Authority,
    ) -> Result<Self, Failure> {
        let start = |number| {
            let files = WorkerFiles::make(folder, number, Some(authority), None)?;
            WorkerProcess::start(settings, &files, Ipv4Addr::LOCALHOST.into(), &[])
        };
        Ok(Self((0..count).map(start).collect::<Result<_, _>>()?))
    }

    /// Lets all of them drain at once, and ends those that take longer.
    pub async fn stop(mut self, drain: Duration) {
        self.0.iter_mut().for_each(WorkerProcess::drain);
        let all = async {
            for worker in &mut self.0 {
                worker.ended().await;
            }
        };
        if tokio::time::timeout(drain, all).await.is_err() {
            tracing::warn!("workers still run after the time for draining; ending them");
        }
    }
}
