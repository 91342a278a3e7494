//! `streamsync backup`.

use crate::{Failure, keys::Access};
use clap::Subcommand;
use std::process::ExitCode;
use streamsync_access::MasterSecrets;
use streamsync_core::{config::Config, with_causes};
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use streamsync_router::{Backups, StoredBackup, acts_since, put_back};

/// `streamsync backup ...`.
#[derive(Subcommand)]
#[command(after_help = "Examples:
  streamsync backup create --bucket s3://lake --redis-url redis://redis --master-secrets master
  streamsync backup list --bucket s3://lake --master-secrets master
  streamsync backup restore --bucket s3://lake --redis-url redis://redis --master-secrets master

Routers make backups by themselves; docs/OPERATIONS.md says what is in them, and how to restore.")]
pub enum BackupCommand {
    /// Make a copy of what only Redis knows, in the bucket.
    Create(Access),
    /// List the copies in the bucket, oldest first.
    List(Access),
    /// Put a copy into an empty Redis, with what was settled since. Routers and the settlement must not
    /// run meanwhile.
    Restore {
        #[command(flatten)]
        access: Access,
        /// Which copy, as `list` names it; without one, the newest.
        #[arg(long, value_name = "NAME")]
        from: Option<String>,
    },
}

/// Does what is asked.
pub async fn run(command: BackupCommand) -> Result<ExitCode, Failure> {
    match command {
        BackupCommand::Create(access) => {
            let (config, _, backups) = open(&access)?;
            let registry = Registry::connect(&config.redis).await?;
            let backup = registry.back_up().await?;
            let stored = backups.write(&backup).await?;
            println!(
                "{}: {} keys, {} accounts, {} workers",
                stored.file(),
                backup.keys.len(),
                backup.accounts.len(),
                backup.standings.len()
            );
        }
        BackupCommand::List(access) => {
            let (_, _, backups) = open(&access)?;
            for stored in backups.list().await? {
                println!("{}", stored.file());
            }
        }
        BackupCommand::Restore { access, from } => {
            let (config, lake, backups) = open(&access)?;
            restore(&config, &lake, &backups, from).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(access: &Access) -> Result<(Config, Lake, Backups), Failure> {
    let config = access.config()?;
    let file = config.auth.master_secrets.as_deref();
    let file = file.ok_or("name the master secrets with --master-secrets FILE")?;
    let lake = Lake::open(&config.bucket)?;
    let backups = Backups::new(lake.clone(), MasterSecrets::read(file)?);
    Ok((config, lake, backups))
}

async fn restore(
    config: &Config,
    lake: &Lake,
    backups: &Backups,
    from: Option<String>,
) -> Result<(), Failure> {
    let stored = match from {
        Some(name) => StoredBackup::of(&name).ok_or("that is no name of a backup")?,
        None => backups.list().await?.pop().ok_or("there is no backup")?,
    };
    let backup = backups.read(&stored).await?;
    let registry = Registry::connect(&config.redis).await?;
    // Before anything is put back: it cannot be asked for again.
    let acts = acts_since(lake, backup.taken_ms).await?;
    let restored = put_back(lake, &registry, backup).await?;
    println!(
        "restored {}: {} keys, {} accounts, {} workers; {} receipts settled since are charged",
        stored.file(),
        restored.backup.keys.len(),
        restored.backup.accounts.len(),
        restored.backup.standings.len(),
        restored.receipts
    );
    if !acts.is_empty() {
        println!("done at or after the time of the backup, and perhaps not in it:");
        acts.iter().for_each(|act| println!("  {act}"));
    }
    // From here on: routers make no copy of a Redis that is not what the newest one is of.
    let backup = registry.back_up().await?;
    let kept = backups.write(&backup).await;
    let kept = kept.map_err(|error| {
        format!(
            "all is put back, but no backup of it could be kept, and routers make none until `streamsync \
             backup create` has: {}",
            with_causes(&error)
        )
    })?;
    println!("kept as {}", kept.file());
    println!("start the routers: they tell of the receipts that are not settled yet");
    Ok(())
}
