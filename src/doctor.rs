//! `streamsync doctor`.

use crate::{
    Failure,
    chain::{NetworkArgs, chain, node},
    security::TlsArgs,
};
use std::{collections::BTreeMap, path::Path, process::ExitCode, time::Duration};
use streamsync_core::{
    clock::{Clock, SystemClock},
    config::Config,
    with_causes,
};
use streamsync_lake::Lake;
use streamsync_registry::{Health, Registry};
use streamsync_settlement::Rpc;
use streamsync_tls::Credentials;

/// How far clocks may be apart: half of what a signed request may be off.
const MOST_SKEW: Duration = Duration::from_secs(15);
/// How long certificates should hold at the least, in seconds: a week.
const LEAST_VALIDITY_S: i64 = 7 * 86_400;
/// An object that is written once, and is in the bucket from then on.
const WRITTEN_ONCE: &str = "doctor/written-once";

/// Flags of `streamsync doctor`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync doctor --bucket s3://lake --redis-url redis://redis
  streamsync doctor --config streamsync.toml --tls worker-tls --network 6Nk…")]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

/// What was found out.
enum Finding {
    Good(String),
    /// What works, and should be otherwise.
    Doubtful(String),
    /// Something that need not be there.
    Absent(&'static str),
    /// What is wrong; the error says what to do.
    Bad(String),
}

/// Looks at everything that a StreamSync stands on, and says what is wrong with it.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = args.network.load(args.tls.flags())?;
    let mut sound = true;
    let mut tell = |what: &str, finding: Finding| match finding {
        Finding::Good(said) => println!("ok      {what:<18} {said}"),
        Finding::Doubtful(why) => println!("CHECK   {what:<18} {why}"),
        Finding::Absent(why) => println!("-       {what:<18} {why}"),
        Finding::Bad(why) => {
            sound = false;
            println!("WRONG   {what:<18} {why}");
        }
    };
    tell(
        "version",
        Finding::Good(env!("CARGO_PKG_VERSION").to_owned()),
    );
    tell("bucket", found(bucket(&config).await));
    tell("conditional puts", found(conditional_puts(&config).await));
    match Registry::connect(&config.redis).await {
        Err(error) => tell("Redis", Finding::Bad(with_causes(&error))),
        Ok(registry) => {
            tell("Redis", Finding::Good(config.redis.url.to_string()));
            tell("Redis keeps", durability(&registry).await);
            tell("clock", found(clock(&registry).await));
            tell("workers", workers(&registry, &config).await);
        }
    }
    tell("certificates", certificates(&config));
    tell("Solana", solana(&config).await);
    Ok(match sound {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn found(outcome: Result<String, Failure>) -> Finding {
    match outcome {
        Ok(said) => Finding::Good(said),
        Err(error) => Finding::Bad(with_causes(error.as_ref())),
    }
}

async fn bucket(config: &Config) -> Result<String, Failure> {
    let lake = Lake::open(&config.bucket)?;
    lake.check().await?;
    let tables = lake.table_names().await?.len();
    Ok(format!("{}, {tables} tables", lake.url()))
}

/// All that is committed to the lake relies on this: of two who create an object one succeeds.
async fn conditional_puts(config: &Config) -> Result<String, Failure> {
    let lake = Lake::open(&config.bucket)?;
    let put = async || {
        lake.put_object_once(WRITTEN_ONCE, "streamsync".into())
            .await
    };
    put().await?;
    if put().await? {
        return Err("the bucket let the same object be created twice: commits would be lost; use a store with \
                    If-None-Match (S3, MinIO and Ceph of today have it)"
            .into());
    }
    Ok("the second of two is refused".to_owned())
}

/// What Redis must be set to, so that it keeps what is under way: settings, values, and what happens otherwise.
const DURABLE: [(&str, &str, &str); 2] = [
    (
        "appendonly",
        "yes",
        "what came since the newest backup is lost when Redis stops",
    ),
    (
        "maxmemory-policy",
        "noeviction",
        "Redis throws credit and keys away when its memory is full",
    ),
];

async fn durability(registry: &Registry) -> Finding {
    let mut faults = Vec::new();
    for (name, right, otherwise) in DURABLE {
        match registry.setting(name).await {
            Err(error) if error.is_refusal() => {
                return Finding::Absent(
                    "Redis does not tell its settings; look at the service's own",
                );
            }
            Err(error) => return Finding::Bad(with_causes(&error)),
            Ok(Some(value)) if value == right => {}
            Ok(value) => faults.push(format!(
                "{name} is {}, not {right}: {otherwise}",
                value.as_deref().unwrap_or("unknown")
            )),
        }
    }
    match faults.is_empty() {
        true => Finding::Good("what it is told, and throws nothing away".to_owned()),
        false => Finding::Doubtful(faults.join("; ")),
    }
}

async fn clock(registry: &Registry) -> Result<String, Failure> {
    let before = SystemClock.unix_millis();
    let (_, of_redis) = registry.changed_keys(u64::MAX).await?;
    let skew = Duration::from_millis(before.abs_diff(of_redis));
    if skew > MOST_SKEW {
        return Err(format!(
            "this machine and Redis are {skew:?} apart: let both follow a time server (chrony, \
             systemd-timesyncd); signed requests and leases go by the clock"
        )
        .into());
    }
    Ok(format!("within {skew:?} of Redis"))
}

async fn workers(registry: &Registry, config: &Config) -> Finding {
    let workers = match registry.workers().await {
        Ok(workers) => workers,
        Err(error) => return Finding::Bad(with_causes(&error)),
    };
    if workers.is_empty() {
        return Finding::Absent("none lives; who asks has to wait until some are started");
    }
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for worker in &workers {
        *versions.entry(&worker.heartbeat.version).or_default() += 1;
    }
    let healthy = workers
        .iter()
        .filter(|worker| worker.health() == Health::Healthy);
    let (healthy, all, quorum) = (healthy.count(), workers.len(), config.race.quorum());
    let versions: Vec<String> = versions
        .iter()
        .map(|(version, count)| format!("{count} of {version}"))
        .collect();
    let said = format!("{healthy} of {all} healthy; {}", versions.join(", "));
    if healthy < quorum {
        return Finding::Bad(format!(
            "{said}: an answer takes {quorum} that agree; look into the logs of the others, or start more"
        ));
    }
    if versions.len() > 1 {
        return Finding::Doubtful(format!("{said}: finish the upgrade"));
    }
    Finding::Good(said)
}

fn certificates(config: &Config) -> Finding {
    match &config.tls.folder {
        None if config.tls.insecure_no_tls => {
            Finding::Absent("plain text, as tls.insecure_no_tls says")
        }
        None => Finding::Absent("none configured; --tls FOLDER looks at those of a process"),
        Some(folder) => match Credentials::load(folder) {
            Ok(credentials) => expiry(folder, &credentials),
            Err(error) => Finding::Bad(with_causes(&error)),
        },
    }
}

/// Routers and workers take up new certificates while they run; somebody has to issue them.
fn expiry(folder: &Path, credentials: &Credentials) -> Finding {
    let now_s = i64::try_from(SystemClock.unix_millis() / 1_000).unwrap_or(i64::MAX);
    let left_s = credentials.expires_at_s() - now_s;
    let (folder, days) = (folder.display(), left_s / 86_400);
    if left_s > LEAST_VALIDITY_S {
        return Finding::Good(format!("{folder} holds for {days} more days"));
    }
    let state = match left_s > 0 {
        true => format!("holds for {days} more days"),
        false => "does not hold any more".to_owned(),
    };
    Finding::Bad(format!(
        "{folder} {state}: where the authority is, issue another into it with `streamsync certs issue \
         --authority FOLDER --out {folder}` if it is a router's, and with `--worker ID` besides if it is \
         that worker's; it is taken up without a restart"
    ))
}

async fn solana(config: &Config) -> Finding {
    if config.settlement.network.is_none() {
        if config.settlement.rpc_url.is_none() {
            return Finding::Absent("no network configured; nobody is paid");
        }
        let height = async {
            let height = node(config)?.block_height().await?;
            Ok(format!(
                "the node is at block {height}; no network is configured, so nobody is paid"
            ))
        };
        return found(height.await);
    }
    let state = async {
        let chain = chain(config).await?;
        let network = chain.network().await?;
        let paused = if network.paused { "paused, " } else { "" };
        Ok(format!("{paused}last batch {}", network.last_batch))
    };
    found(state.await)
}
