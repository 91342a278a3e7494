//! The processes that `streamsync dev` starts, and ends.

use super::CERTIFICATES_HOLD;
use crate::{Failure, settings::Settings};
use rand::Rng;
use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use streamsync_core::{
    Identity,
    clock::{Clock, SystemClock},
};
use streamsync_tls::{Authority, Subject};
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

/// Makes a worker's key pair and certificate.
fn identify(
    folder: &Path,
    number: usize,
    authority: &Authority,
) -> Result<(PathBuf, PathBuf), Failure> {
    #[allow(clippy::disallowed_methods)]
    let identity = Identity::from_seed(rand::rng().random());
    let tls = folder.join(format!("worker-{number}"));
    let keypair = tls.with_extension("json");
    let now = SystemClock.unix_millis() / 1_000;
    identity.write_new(&keypair)?;
    authority.issue(Subject::Worker(identity.id()), &tls, now, CERTIFICATES_HOLD)?;
    Ok((keypair, tls))
}

/// Worker processes. They end by themselves when this process does, as their standard input ends
/// with it.
pub struct Workers(Vec<Child>);

impl Workers {
    /// Starts so many.
    pub fn start(
        settings: &Settings,
        count: usize,
        folder: &Path,
        authority: &Authority,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe()?;
        let mut children = Vec::new();
        for number in 0..count {
            let (keypair, tls) = identify(folder, number, authority)?;
            let mut command = Command::new(&program);
            command.args(["worker", "--stop-with-stdin", "--listen", "127.0.0.1:0"]);
            command.arg("--keypair").arg(keypair).arg("--tls").arg(tls);
            let flags = [
                (
                    "--config",
                    settings
                        .config
                        .as_ref()
                        .map(|path| path.display().to_string()),
                ),
                ("--bucket", settings.bucket.clone()),
                ("--s3-endpoint", settings.s3_endpoint.clone()),
                ("--log", settings.log.clone()),
            ];
            for (flag, value) in flags {
                command.args(
                    value
                        .map(|value| [flag.to_owned(), value])
                        .into_iter()
                        .flatten(),
                );
            }
            // Not as a flag: it may hold a password, and flags can be seen by others.
            if let Some(url) = &settings.redis_url {
                command.env("STREAMSYNC_REDIS__URL", url);
            }
            let child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .map_err(|source| {
                    let program = program.display().to_string();
                    StartError::Spawn { program, source }
                })?;
            children.push(child);
        }
        Ok(Self(children))
    }

    /// Lets all of them drain at once, and ends those that take longer.
    pub async fn stop(mut self, drain: Duration) {
        self.0.iter_mut().for_each(|child| drop(child.stdin.take()));
        let all = async {
            for child in &mut self.0 {
                if let Err(error) = child.wait().await {
                    tracing::warn!(%error, "could not wait for a worker");
                }
            }
        };
        if tokio::time::timeout(drain, all).await.is_err() {
            tracing::warn!("workers still run after the time for draining; ending them");
        }
    }
}
