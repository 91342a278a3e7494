//! `streamsync keys`.

use crate::{Failure, security::AuthArgs, settings::Settings};
use rand::Rng;
use serde_json::json;
use std::{path::PathBuf, process::ExitCode, sync::Arc};
use streamsync_access::{MasterSecrets, SigningKey};
use streamsync_core::{
    ApiKey, ClientId, Identity, KeyId, Limits, Scope, clock::SystemClock, config::Config,
};
use streamsync_registry::Registry;
use streamsync_router::{Actor, Administration, Issued, NewKey};

/// Subcommands of `streamsync keys`.
#[derive(clap::Subcommand)]
pub enum KeysCommand {
    /// Make the master secrets that all routers need and nobody else may have.
    #[command(
        after_help = "Example:\n  streamsync keys init --master-secrets /etc/streamsync/master"
    )]
    Init {
        /// The file to write. It is never replaced.
        #[arg(long, value_name = "FILE")]
        master_secrets: PathBuf,
    },
    /// Make a key pair for a wallet, an operator or a worker, and print its address.
    #[command(after_help = "Example:\n  streamsync keys pair --out operator.json")]
    Pair {
        /// The file to write, as solana-keygen would. It is never replaced.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Make a key, and show its secret once.
    #[command(after_help = "Examples:
  streamsync keys create --client acme --scope query --out acme.json
  streamsync keys create --client ops --scope operate --scope admin --out ops.json")]
    Create {
        #[command(flatten)]
        access: Access,
        /// Who pays: 1 to 64 of a-z, 0-9 and -.
        #[arg(long)]
        client: ClientId,
        /// What it may be used for: query, operate or admin; may be given several times.
        #[arg(long = "scope", required = true)]
        scopes: Vec<Scope>,
        #[command(flatten)]
        limits: LimitArgs,
        /// Write the key and its secret to this new file instead of printing them.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the keys.
    List {
        #[command(flatten)]
        access: Access,
    },
    /// Give a key a new secret; the old one holds for a while still.
    Rotate {
        #[command(flatten)]
        access: Access,
        /// The key.
        key: KeyId,
        /// For how many seconds the old secret holds.
        #[arg(long, default_value_t = 24 * 3_600, value_name = "SECONDS")]
        overlap: u64,
        /// Write the key and its new secret to this new file instead of printing them.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Set the limits of a key; those that are not given are lifted.
    Limit {
        #[command(flatten)]
        access: Access,
        /// The key.
        key: KeyId,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// Revoke a key, for ever. All routers know within two seconds.
    Revoke {
        #[command(flatten)]
        access: Access,
        /// The key.
        key: KeyId,
    },
}

/// Where keys are kept and what their secrets are derived from.
#[derive(clap::Args)]
pub struct Access {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    auth: AuthArgs,
}

impl Access {
    /// The configuration.
    pub fn config(&self) -> Result<Config, Failure> {
        Ok(self.settings.load(self.auth.flags())?)
    }

    /// The registry and the right to change it.
    pub async fn open(&self) -> Result<(Config, Registry, Administration), Failure> {
        let config = self.config()?;
        let file = config.auth.master_secrets.as_deref();
        let masters =
            MasterSecrets::read(file.ok_or("name the master secrets with --master-secrets FILE")?)?;
        let registry = Registry::connect(&config.redis).await?;
        let administration = Administration::new(registry.clone(), masters, Arc::new(SystemClock));
        Ok((config, registry, administration))
    }
}

/// Limits of a key. A limit that is not given is none.
#[derive(clap::Args)]
pub struct LimitArgs {
    /// Requests a minute.
    #[arg(long, value_name = "COUNT")]
    requests: Option<u64>,
    /// Queries at the same time.
    #[arg(long, value_name = "COUNT")]
    concurrent: Option<u64>,
    /// Rows of answers a minute.
    #[arg(long, value_name = "COUNT")]
    rows: Option<u64>,
    /// Bytes of answers a minute.
    #[arg(long, value_name = "COUNT")]
    bytes: Option<u64>,
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            requests_per_minute: self.requests,
            concurrent: self.concurrent,
            rows_per_minute: self.rows,
            bytes_per_minute: self.bytes,
        }
    }
}

/// Who runs the command, as the log of administrators says it.
pub fn actor() -> Actor {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".to_owned());
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "unknown",
        host => host,
    };
    Actor {
        name: format!("{}@{host}", variable("USER")),
        from: "command".to_owned(),
    }
}

/// New master secrets, written to a new file.
pub fn init(file: &std::path::Path) -> Result<MasterSecrets, Failure> {
    #[allow(clippy::disallowed_methods)]
    let masters = MasterSecrets::new(rand::rng().random());
    masters.write_new(file)?;
    Ok(masters)
}

fn hand_over(issued: &Issued, out: Option<PathBuf>) -> Result<(), Failure> {
    let (id, secret) = (issued.key.id.clone(), issued.secret.clone());
    match out {
        Some(path) => {
            SigningKey {
                id: id.clone(),
                secret,
            }
            .write_new(&path)?;
            println!(
                "{id} with its secret is in {}; the secret is nowhere else",
                path.display()
            );
        }
        None => {
            println!("{}", json!({ "key": id, "secret": secret.expose() }));
            eprintln!("the secret is not shown again; keep it where only its client can read it");
        }
    }
    Ok(())
}

fn line(key: &ApiKey) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.name()).collect();
    let state = match key.revoked_ms {
        Some(_) => "revoked",
        None => "active",
    };
    let limits = serde_json::to_string(&key.limits).unwrap_or_default();
    let secrets = key.salts.len();
    format!(
        "{}  {}  {}  {state}  {secrets} secret(s)  {limits}",
        key.id,
        key.client,
        scopes.join(",")
    )
}

/// Makes, lists and changes keys.
pub async fn run(command: KeysCommand) -> Result<ExitCode, Failure> {
    match command {
        KeysCommand::Init { master_secrets } => {
            init(&master_secrets)?;
            println!(
                "the master secrets are in {}; give them to routers only",
                master_secrets.display()
            );
        }
        KeysCommand::Pair { out } => {
            #[allow(clippy::disallowed_methods, reason = "nobody may guess it")]
            let pair = Identity::from_seed(rand::rng().random());
            pair.write_new(&out)?;
            println!("{}", pair.id());
        }
        KeysCommand::Create {
            access,
            client,
            scopes,
            limits,
            out,
        } => {
            let (_, _, administration) = access.open().await?;
            let scopes = scopes.into_iter().collect();
            let new = NewKey {
                client,
                scopes,
                limits: limits.limits(),
            };
            hand_over(&administration.create_key(new, &actor()).await?, out)?;
        }
        KeysCommand::List { access } => {
            let (_, registry, _) = access.open().await?;
            for key in registry.api_keys().await? {
                println!("{}", line(&key));
            }
        }
        KeysCommand::Rotate {
            access,
            key,
            overlap,
            out,
        } => {
            let (_, _, administration) = access.open().await?;
            hand_over(
                &administration.rotate_key(&key, overlap, &actor()).await?,
                out,
            )?;
        }
        KeysCommand::Limit {
            access,
            key,
            limits,
        } => {
            let (_, _, administration) = access.open().await?;
            println!(
                "{}",
                line(
                    &administration
                        .limit_key(&key, limits.limits(), &actor())
                        .await?
                )
            );
        }
        KeysCommand::Revoke { access, key } => {
            let (_, _, administration) = access.open().await?;
            println!(
                "{}",
                line(&administration.revoke_key(&key, &actor()).await?)
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
