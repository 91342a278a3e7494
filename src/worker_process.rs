//! Worker processes that another process starts, and ends.

use crate::{Failure, settings::Settings};
use rand::Rng;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use streamsync_core::{
    Identity, OperatorGrant,
    clock::{Clock, SystemClock},
};
use streamsync_tls::{Authority, Subject};
use tokio::process::{Child, Command};

/// For how long the certificates of workers hold that a process of this machine starts.
pub const CERTIFICATES_HOLD: Duration = Duration::from_secs(30 * 86_400);

/// Why a process could not be started: it is not there, or may not be run.
#[derive(Debug, thiserror::Error)]
#[error("could not start {program}")]
pub struct SpawnError {
    program: String,
    source: io::Error,
}

/// Who a worker is: its key pair, and what others know it by. Kept in files of one folder, made when they
/// are absent, and so the same each time.
#[derive(Clone, Debug)]
pub struct WorkerFiles {
    keypair: PathBuf,
    /// `None` where nobody has to show who he is.
    tls: Option<PathBuf>,
    /// `None` where the worker is its own operator.
    grant: Option<PathBuf>,
}

impl WorkerFiles {
    /// Those of the worker of a number, with a new certificate if there is an authority.
    pub fn make(
        folder: &Path,
        number: usize,
        authority: Option<&Authority>,
        operator: Option<&Identity>,
    ) -> Result<Self, Failure> {
        let name = folder.join(format!("worker-{number}"));
        let keypair = name.with_extension("json");
        let identity = match keypair.exists() {
            true => Identity::read(&keypair)?,
            false => {
                #[allow(clippy::disallowed_methods)]
                let identity = Identity::from_seed(rand::rng().random());
                identity.write_new(&keypair)?;
                identity
            }
        };
        if let Some(authority) = authority {
            let now = SystemClock.unix_millis() / 1_000;
            authority.issue(
                Subject::Worker(identity.id()),
                &name,
                now,
                CERTIFICATES_HOLD,
            )?;
        }
        let grant = match operator {
            None => None,
            Some(operator) => {
                let path = name.with_extension("grant");
                let grant = OperatorGrant::new(operator, identity.id());
                std::fs::write(&path, serde_json::to_string_pretty(&grant)?)?;
                Some(path)
            }
        };
        Ok(Self {
            keypair,
            tls: authority.map(|_| name),
            grant,
        })
    }
}

/// A worker in a process of its own. It ends by itself when this process does, as its standard input ends
/// with it.
pub struct WorkerProcess {
    child: Child,
    killed: bool,
}

impl WorkerProcess {
    /// Starts one on a free port of an address of this machine, with more flags than are needed.
    pub fn start(
        settings: &Settings,
        files: &WorkerFiles,
        host: IpAddr,
        more: &[String],
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        command.args(["worker", "--stop-with-stdin"]);
        if !more.iter().any(|flag| flag.starts_with("--listen")) {
            let listen = SocketAddr::new(host, 0).to_string();
            command.args(["--listen", &listen]);
        }
        command.arg("--keypair").arg(&files.keypair);
        match &files.tls {
            Some(tls) => command.arg("--tls").arg(tls),
            None => command.arg("--insecure-no-tls"),
        };
        if let Some(grant) = &files.grant {
            command.arg("--operator-grant").arg(grant);
        }
        let config = settings.config.as_ref();
        let flags = [
            ("--config", config.map(|path| path.display().to_string())),
            ("--bucket", settings.bucket.clone()),
            ("--s3-endpoint", settings.s3_endpoint.clone()),
            ("--log", settings.log.clone()),
        ];
        for (flag, value) in flags {
            if let Some(value) = value {
                command.arg(flag).arg(value);
            }
        }
        // Not as a flag: it may hold a password, and flags can be seen by others.
        if let Some(url) = &settings.redis_url {
            command.env("STREAMSYNC_REDIS__URL", url);
        }
        let child = command
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| SpawnError {
                program: program.display().to_string(),
                source,
            })?;
        Ok(Self {
            child,
            killed: false,
        })
    }

    /// Tells it to take no more queries, to end those that it has, and then itself.
    pub fn drain(&mut self) {
        drop(self.child.stdin.take());
    }

    /// How it has ended, if it has.
    pub fn has_ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Ends it at once. True the first time.
    pub fn kill(&mut self) -> bool {
        !std::mem::replace(&mut self.killed, true) && self.child.start_kill().is_ok()
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) {
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "could not wait for a worker");
        }
    }
}
