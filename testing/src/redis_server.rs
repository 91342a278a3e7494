//! A Redis of one's own.

use redis::{AsyncConnectionConfig, Client, RedisResult, aio::MultiplexedConnection};
use std::{net::TcpListener, path::Path, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// How many free ports to try, should others take them first.
const ATTEMPTS: usize = 5;

/// What Redis prints once it listens.
const READY: &str = "Ready to accept connections";

/// A real `redis-server` on a free port of the loopback interface, empty and without persistence.
/// It is killed when this is dropped.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    flags: Vec<String>,
    child: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts a server and waits until it takes connections.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// Starts a node of a Redis Cluster, which has no slots and knows no other nodes yet.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed or does not start.
    pub async fn start_cluster_node() -> Self {
        let flags = ["--cluster-enabled", "yes"].map(str::to_owned);
        Self::start_with(flags.into()).await
    }

    /// Starts a server that speaks TLS and nothing else, with a certificate and its key in PEM files.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed or does not start.
    pub async fn start_tls(certificate: &Path, key: &Path) -> Self {
        let flags = [
            "--tls-cert-file",
            &certificate.display().to_string(),
            "--tls-key-file",
            &key.display().to_string(),
            "--tls-auth-clients",
            "no",
            // With this the port that it is given is one for TLS.
            "--port",
            "0",
        ];
        Self::start_with(flags.iter().map(|flag| (*flag).to_owned()).collect()).await
    }

    async fn start_with(flags: Vec<String>) -> Self {
        let folder = TempDir::new().expect("create a folder for redis-server");
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            let port = free_port();
            match launch(port, &folder, &flags).await {
                Ok(child) => {
                    return Self {
                        port,
                        flags,
                        child,
                        folder,
                    };
                }
                Err(output) => said = output,
            }
        }
        panic!("redis-server did not start; the last of {ATTEMPTS} attempts said:\n{said}");
    }

    /// The URL for a client: `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection for commands of the test's own, which waits for as long as the test may take.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let client = Client::open(self.url())?;
        client
            .get_multiplexed_async_connection_with_config(&settings)
            .await
    }

    /// Kills the server (SIGKILL) and waits until it is gone: connections break, new ones are
    /// refused.
    ///
    /// # Panics
    ///
    /// When the system does not let the process be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("kill redis-server");
    }

    /// Starts a killed server again, empty, on the same port.
    ///
    /// # Panics
    ///
    /// When it does not start, or was never killed.
    pub async fn restart(&mut self) {
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            match launch(self.port, &self.folder, &self.flags).await {
                Ok(child) => {
                    self.child = child;
                    return;
                }
                Err(output) => said = output,
            }
            // The port may be that of a connection of somebody else's for a moment.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("redis-server did not start again; it said:\n{said}");
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("find a free port");
    let address = listener.local_addr().expect("read a socket's address");
    address.port()
}

/// Starts a server and waits until it says that it is ready, or ends; the error is what it printed.
/// To connect would not do: another server might have taken the port.
async fn launch(port: u16, folder: &TempDir, flags: &[String]) -> Result<Child, String> {
    let speaks_tls = flags.iter().any(|flag| flag.starts_with("--tls"));
    let port_flag = if speaks_tls { "--tls-port" } else { "--port" };
    let mut child = Command::new("redis-server")
        .args([port_flag, &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(folder.path())
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("start redis-server; `make setup` installs it");
    let output = child.stdout.take().expect("redis-server's output is piped");
    let mut lines = BufReader::new(output).lines();
    let mut said = String::new();
    while let Some(line) = next(&mut lines).await {
        if line.contains(READY) {
            // Read on, so that the server never waits for room in the pipe.
            tokio::spawn(async move { while next(&mut lines).await.is_some() {} });
            return Ok(child);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(said)
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    lines.next_line().await.expect("read redis-server's output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_says_so() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = taken.local_addr().expect("address").port();
        let folder = TempDir::new().expect("folder");
        let said = launch(port, &folder, &[])
            .await
            .expect_err("the port is taken");
        assert!(said.contains("Address already in use"), "{said}");
    }
}
