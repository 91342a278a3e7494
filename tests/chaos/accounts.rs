//! The clients: their keys and their credit.

use std::{
    path::Path,
    sync::{
        RwLock,
        atomic::{AtomicU32, Ordering},
    },
};
use streamsync_access::{MasterSecrets, SigningKey};
use streamsync_core::{Amount, ClientId, Limits, Scope, clock::SystemClock};
use streamsync_registry::Registry;
use streamsync_router::{Actor, Administration, NewKey};

/// What each client deposits, each time that accounts are opened.
pub const DEPOSIT: Amount = Amount(1_000 * Amount::STRM.0);

pub struct Accounts {
    clients: Vec<ClientId>,
    keys: RwLock<Vec<SigningKey>>,
    opened: AtomicU32,
}

impl Accounts {
    pub fn new(count: usize) -> Self {
        let name = |number| format!("client-{number}").parse().unwrap();
        Self {
            clients: (0..count).map(name).collect(),
            keys: RwLock::default(),
            opened: AtomicU32::new(0),
        }
    }

    /// Opens them in a Redis that does not know them: new keys, and credit.
    pub async fn open(&self, registry: Registry, master: &Path) {
        let masters = MasterSecrets::read(master).unwrap();
        let administration =
            Administration::new(registry, masters, std::sync::Arc::new(SystemClock));
        let actor = Actor {
            name: "chaos@test".to_owned(),
            from: "command".to_owned(),
        };
        let opened = self.opened.fetch_add(1, Ordering::SeqCst);
        let mut keys = Vec::new();
        for client in &self.clients {
            let new = NewKey {
                client: client.clone(),
                scopes: [Scope::Query].into(),
                limits: Limits::default(),
            };
            let issued = administration.create_key(new, &actor).await.unwrap();
            keys.push(SigningKey {
                id: issued.key.id,
                secret: issued.secret,
            });
            let deposit = format!("deposit-{opened}");
            let added = administration.add_credit(client, DEPOSIT, &deposit, &actor);
            assert!(added.await.unwrap());
        }
        *self.keys.write().unwrap() = keys;
    }

    pub fn clients(&self) -> &[ClientId] {
        &self.clients
    }

    /// A client's key as it is now.
    pub fn key(&self, client: usize) -> SigningKey {
        self.keys.read().unwrap()[client].clone()
    }
}
