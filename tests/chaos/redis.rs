//! A Redis that keeps what it was told over a SIGKILL, as one that holds accounts has to.

use crate::process::{PATIENCE, signal};
use std::{path::PathBuf, process::Stdio};
use streamsync_core::config::RedisConfig;
use streamsync_registry::Registry;
use streamsync_testing::eventually;
use tokio::process::{Child, Command};

pub struct RedisServer {
    port: u16,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    child: Child,
}

impl RedisServer {
    /// Starts one in an empty folder, and waits until it answers.
    pub async fn start(port: u16, folder: PathBuf, environment: Vec<(String, String)>) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let child = launch(port, &folder, &environment);
        let server = Self {
            port,
            folder,
            environment,
            child,
        };
        server.await_up().await;
        server
    }

    fn config(&self) -> RedisConfig {
        RedisConfig {
            url: self.url().parse().unwrap(),
            ..RedisConfig::default()
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What is in it; it has to be up.
    pub async fn registry(&self) -> Registry {
        Registry::connect(&self.config()).await.unwrap()
    }

    async fn await_up(&self) {
        eventually(PATIENCE, async || {
            Registry::connect(&self.config()).await.is_ok()
        })
        .await;
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id().unwrap(), name);
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts a killed one again, with what it held.
    pub async fn restart(&mut self) {
        self.child = launch(self.port, &self.folder, &self.environment);
        self.await_up().await;
    }

    /// Lets a killed one forget everything.
    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.folder.join("appendonlydir")).unwrap();
    }
}

fn launch(port: u16, folder: &PathBuf, environment: &[(String, String)]) -> Child {
    // Each command is in the file before it is answered; a machine that loses its power is not tried here.
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "yes", "--appendfsync", "no"])
        .args(["--auto-aof-rewrite-percentage", "0", "--dir"])
        .arg(folder)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("start redis-server; `make setup` installs it")
}
