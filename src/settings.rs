//! Flags that most subcommands share, and the configuration that they end in.

use clap::Args;
use std::{fmt::Display, path::PathBuf};
use streamsync_core::config::{Config, ConfigError, Flag};

/// Where the lake and Redis are.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// A TOML file; `streamsync config check` shows what can stand in it.
    #[arg(long, env = "STREAMSYNC_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The lake: `s3://bucket/prefix`, or a folder.
    #[arg(long, value_name = "URL")]
    pub bucket: Option<String>,
    /// The S3 endpoint, for MinIO, LocalStack and the like.
    #[arg(long, value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// Redis: `redis://[user:password@]host:port`.
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// What to log: `info`, `debug`, `warn,streamsync_router=debug`.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

impl Settings {
    /// The configuration, with these flags and those of the subcommand on top.
    pub fn load(&self, more: Vec<Option<Flag>>) -> Result<Config, ConfigError> {
        let mut flags = vec![
            flag("bucket.url", self.bucket.as_ref().map(quoted)),
            flag("bucket.endpoint", self.s3_endpoint.as_ref().map(quoted)),
            flag("redis.url", self.redis_url.as_ref().map(quoted)),
            flag("telemetry.log", self.log.as_ref().map(quoted)),
        ];
        flags.extend(more);
        let flags: Vec<Flag> = flags.into_iter().flatten().collect();
        Config::load(self.config.as_deref(), &flags)
    }
}

/// A flag, if it was given.
pub fn flag(path: &'static str, value: Option<impl Display>) -> Option<Flag> {
    value.map(|value| (path, value.to_string()))
}

/// Text that must stay text, whatever it looks like.
pub fn quoted(text: impl Display) -> String {
    format!("{:?}", text.to_string())
}
