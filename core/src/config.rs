//! Configuration: its sections, one file each, and how they are loaded.
//!
//! Later sources win over earlier ones: the defaults, a TOML file, the environment
//! (`STREAMSYNC_ROUTER__LISTEN` is `listen` in `[router]`), and the flags of the command.

mod auth;
mod autoscale;
mod backup;
mod bucket;
mod compactor;
mod credit;
mod price;
mod race;
mod redis;
mod rollup;
mod router;
mod settlement;
mod storage_class;
mod telemetry;
mod tls;
mod worker;

pub use auth::AuthConfig;
pub use autoscale::AutoscaleConfig;
pub use backup::BackupConfig;
pub use bucket::BucketConfig;
pub use compactor::CompactorConfig;
pub use credit::CreditConfig;
pub use price::{ClassPrice, PriceConfig};
pub use race::{Policy, RaceConfig};
pub use redis::RedisConfig;
pub use rollup::{MeasureConfig, MeasureFunction, RollupConfig};
pub use router::RouterConfig;
pub use settlement::SettlementConfig;
pub use storage_class::StorageClass;
pub use telemetry::{LogFormat, TelemetryConfig};
pub use tls::TlsConfig;
pub use worker::{Profile, WorkerConfig};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
    value::Value,
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the lake lies.
    pub bucket: BucketConfig,
    /// Where Redis is.
    pub redis: RedisConfig,
    /// The router.
    pub router: RouterConfig,
    /// The race.
    pub race: RaceConfig,
    /// Who may ask.
    pub auth: AuthConfig,
    /// How credit is lent to routers.
    pub credit: CreditConfig,
    /// How workers are paid.
    pub settlement: SettlementConfig,
    /// What queries cost.
    pub price: PriceConfig,
    /// How routers and workers know each other.
    pub tls: TlsConfig,
    /// A worker.
    pub worker: WorkerConfig,
    /// The compactor.
    pub compactor: CompactorConfig,
    /// How many workers run on a machine.
    pub autoscale: AutoscaleConfig,
    /// Copies of what Redis holds.
    pub backup: BackupConfig,
    /// Logging and tracing.
    pub telemetry: TelemetryConfig,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file was named but is not there.
    #[error("there is no configuration file {path}", path = .0.display())]
    NoFile(PathBuf),
    /// A source holds what cannot be understood. Names the setting and where it came from.
    #[error("could not load the configuration: {0}")]
    Malformed(Box<figment::Error>),
    /// Settings do not fit together. All of them, one a line.
    #[error("the configuration cannot be used:\n  {}", .0.join("\n  "))]
    Unusable(Vec<String>),
}

/// A setting given by a flag: its path (`router.listen`) and its value, written as in the
/// environment.
pub type Flag = (&'static str, String);

impl Config {
    /// Loads the configuration from a file, the environment and flags, and checks it.
    pub fn load(file: Option<&Path>, flags: &[Flag]) -> Result<Self, ConfigError> {
        let mut sources = Figment::new();
        if let Some(path) = file {
            if !path.is_file() {
                return Err(ConfigError::NoFile(path.to_owned()));
            }
            sources = sources.merge(Toml::file_exact(path));
        }
        sources = sources.merge(Env::prefixed("STREAMSYNC_").filter(is_setting).split("__"));
        for (path, value) in flags {
            let Ok(value) = value.parse::<Value>();
            sources = sources.merge(Serialized::default(path, value));
        }
        let config: Self = sources
            .extract()
            .map_err(|error| ConfigError::Malformed(Box::new(error)))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        self.redis.faults(&mut faults);
        self.router.faults(&mut faults);
        let exposed = |address: std::net::SocketAddr| !address.ip().is_loopback();
        if self.auth.insecure_no_auth && exposed(self.router.listen) {
            faults.push(format!(
                "auth.insecure_no_auth lets everyone do everything, and router.listen is {}: it must \
                 be a loopback address",
                self.router.listen
            ));
        }
        if self.tls.insecure_no_tls && exposed(self.worker.listen) {
            faults.push(format!(
                "tls.insecure_no_tls shows everyone what is said, and worker.listen is {}: it must be \
                 a loopback address",
                self.worker.listen
            ));
        }
        self.race.faults(&mut faults);
        self.credit.faults(&mut faults);
        self.price.faults(&mut faults);
        self.worker.faults(&mut faults);
        let longest_query = Duration::from_millis(self.router.max_deadline_ms);
        self.compactor.faults(longest_query, &mut faults);
        self.settlement.faults(&mut faults);
        self.autoscale.faults(&mut faults);
        self.backup.faults(&mut faults);
        self.telemetry.faults(&mut faults);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Unusable(faults))
        }
    }
}

/// Variables such as `STREAMSYNC_CONFIG` or those of the tests are not settings: these name a section.
fn is_setting(name: &figment::value::UncasedStr) -> bool {
    name.as_str().contains("__")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::result_large_err)]
mod tests {
    use super::*;
    use figment::Jail;

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        Jail::expect_with(|jail| {
            jail.create_file(
                "streamsync.toml",
                "[race]\nracers = 3\n[router]\nmax_rows = 5\nmax_in_flight = 7\n",
            )?;
            jail.set_env("STREAMSYNC_ROUTER__MAX_ROWS", "6");
            jail.set_env("STREAMSYNC_ROUTER__MAX_IN_FLIGHT", "8");
            jail.set_env("STREAMSYNC_SETTLEMENT__DUST", "2");
            jail.set_env("STREAMSYNC_TEST_S3", "http://127.0.0.1:1");
            let flags = [("router.max_in_flight", "9".to_owned())];
            let config = Config::load(Some(Path::new("streamsync.toml")), &flags).unwrap();
            assert_eq!(config.race.racers, 3);
            assert_eq!(config.router.max_rows, 6);
            assert_eq!(config.settlement.dust, crate::Amount(2));
            assert_eq!(config.router.max_in_flight, 9);
            assert_eq!(config.race.confirmations, 2);
            Ok(())
        });
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        Jail::expect_with(|jail| {
            let load = |flags: &[Flag]| Config::load(None, flags).unwrap_err().to_string();
            assert!(load(&[("race.racers", "9".to_owned())]).contains("race.racers is 9"));
            assert!(load(&[("router.lsiten", "1".to_owned())]).contains("lsiten"));
            assert!(load(&[("router.listen", "nowhere".to_owned())]).contains("listen"));
            jail.create_file("bad.toml", "[router\n")?;
            let error = Config::load(Some(Path::new("bad.toml")), &[]).unwrap_err();
            assert!(error.to_string().contains("bad.toml"), "{error}");
            let error = Config::load(Some(Path::new("absent.toml")), &[]).unwrap_err();
            assert!(matches!(error, ConfigError::NoFile(_)));
            Ok(())
        });
    }

    #[test]
    fn secrets_are_loaded_whole_and_printed_masked() {
        Jail::expect_with(|jail| {
            jail.set_env("STREAMSYNC_BUCKET__SECRET_ACCESS_KEY", "hunter2");
            jail.set_env("STREAMSYNC_REDIS__URL", "redis://:hunter2@host:1");
            let config = Config::load(None, &[]).unwrap();
            let secret = config.bucket.secret_access_key.clone();
            assert_eq!(secret.as_ref().map(crate::Secret::expose), Some("hunter2"));
            assert_eq!(config.redis.url.expose().password(), Some("hunter2"));
            let printed = toml::to_string(&config).unwrap();
            assert!(!printed.contains("hunter2"), "{printed}");
            assert!(printed.contains("***"), "{printed}");
            Ok(())
        });
    }
}
