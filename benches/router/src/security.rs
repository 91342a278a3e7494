//! Keys, credit and certificates of a network that is measured.

use crate::Fallible;
use std::{path::Path, sync::Arc, time::Duration};
use streamsync_access::{MasterSecrets, SigningKey};
use streamsync_core::{
    Identity, Scope,
    clock::{Clock, SystemClock},
    config::RedisConfig,
};
use streamsync_registry::{MOST_CREDIT, Registry};
use streamsync_router::{Actor, Administration, NewKey};
use streamsync_tls::{Authority, Subject};
use tokio::process::Command;

const HOLDS: Duration = Duration::from_secs(86_400);

/// Which of it a network has.
#[derive(Clone, Copy, Default)]
pub struct Security {
    /// Signed requests, credit and receipts.
    pub accounts: bool,
    /// TLS between the router and its workers.
    pub tls: bool,
}

impl Security {
    /// Adds what a worker needs to its flags.
    pub fn worker(self, command: &mut Command, folder: &Path, number: u8) -> Fallible<()> {
        if !self.tls {
            command.arg("--insecure-no-tls");
            return Ok(());
        }
        let identity = Identity::from_seed([50 + number; 32]);
        let own = folder.join(format!("worker-{number}"));
        let keypair = own.with_extension("json");
        identity.write_new(&keypair)?;
        issue(Subject::Worker(identity.id()), folder, &own)?;
        command.arg("--keypair").arg(keypair).arg("--tls").arg(own);
        Ok(())
    }

    /// Adds what a router needs to its flags. Returns a key with credit, if it needs one.
    pub async fn router(
        self,
        command: &mut Command,
        folder: &Path,
        redis: &str,
    ) -> Fallible<Option<SigningKey>> {
        if self.tls {
            let own = folder.join("router");
            issue(Subject::Router, folder, &own)?;
            command.arg("--tls").arg(own);
        } else {
            command.arg("--insecure-no-tls");
        }
        if !self.accounts {
            command.arg("--insecure-no-auth");
            return Ok(None);
        }
        let file = folder.join("master");
        let masters = MasterSecrets::new([3; 32]);
        masters.write_new(&file)?;
        command.arg("--master-secrets").arg(file);
        command.arg("--spool").arg(folder.join("spool"));
        let config = RedisConfig {
            url: redis.parse::<url::Url>()?.into(),
            ..RedisConfig::default()
        };
        let registry = Registry::connect(&config).await?;
        let administration = Administration::new(registry, masters, Arc::new(SystemClock));
        let actor = Actor {
            name: "benchmark".to_owned(),
            from: "command".to_owned(),
        };
        let new = NewKey {
            client: "benchmark".parse()?,
            scopes: [Scope::Query, Scope::Operate].into(),
            limits: streamsync_core::Limits {
                requests_per_minute: Some(1_000_000),
                ..Default::default()
            },
        };
        let issued = administration.create_key(new, &actor).await?;
        let client = issued.key.client.clone();
        administration
            .add_credit(&client, MOST_CREDIT, "one", &actor)
            .await?;
        Ok(Some(SigningKey {
            id: issued.key.id,
            secret: issued.secret,
        }))
    }
}

fn issue(subject: Subject, folder: &Path, own: &Path) -> Fallible<()> {
    let now = SystemClock.unix_millis() / 1_000;
    let authority = folder.join("authority");
    let authority = match Authority::open(&authority) {
        Ok(authority) => authority,
        Err(_absent) => Authority::init(&authority, now)?,
    };
    Ok(authority.issue(subject, own, now, HOLDS)?)
}
