//! Copies of the registry, and Redis emptied in between.

use super::{Identity, Redis, Registry, config, credit::act};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{collections::BTreeMap, time::Duration};
use streamsync_core::{Amount, ApiKey, ClientId, KeyId, Salt, Scope, WorkerId};
use streamsync_registry::{Debit, RegistryError, RestoreError, SettledReceipt};

const LONG: Duration = Duration::from_secs(600);
const DEPOSIT: u64 = 1_000_000;

fn router(seed: u8) -> WorkerId {
    Identity::from_seed([seed; 32]).id()
}

fn client(number: usize) -> ClientId {
    format!("client-{number}").parse().unwrap()
}

fn key(number: u8) -> ApiKey {
    ApiKey {
        id: KeyId::new([number; 16]),
        client: client(number.into()),
        scopes: [Scope::Query].into(),
        limits: Default::default(),
        salts: vec![Salt {
            salt: "00".repeat(32),
            master: "0123456789abcdef".to_owned(),
            until_ms: None,
        }],
        created_ms: 1,
        revoked_ms: None,
    }
}

async fn deposit(registry: &Registry, number: usize) -> bool {
    let (client, act) = (client(number), act("add-credit"));
    let added = registry.deposit(&client, Amount(DEPOSIT), "one", &act);
    added.await.unwrap()
}

/// A router with all the receipts that it has ever given, as its journal keeps them.
struct Journal {
    router: WorkerId,
    receipts: Vec<Debit>,
}

impl Journal {
    fn give(&mut self, random: &mut StdRng, clients: usize) {
        let number = self.receipts.len() + 1;
        self.receipts.push(Debit {
            client: client(random.random_range(0..clients)),
            charged: Amount(random.random_range(0..500)),
            receipt: format!("{}-{number}", self.router),
        });
    }

    /// Tells Redis of those after a number, in pieces.
    async fn tell(&self, registry: &Registry, after: usize) {
        let holder = format!("{}.1", self.router);
        for (place, piece) in self.receipts[after..].chunks(7).enumerate() {
            let first = (after + place * 7 + 1) as u64;
            let oldest = after as u64 + 1;
            let recorded = registry
                .record_receipts(self.router, &holder, oldest, first, piece)
                .await
                .unwrap();
            assert!(recorded >= first + piece.len() as u64 - 1);
        }
    }
}

/// Copies made at any moment: Redis is emptied later, the copy put back, and what routers know told
/// again. In the end each receipt is charged for once, and what was settled is charged for and gone.
pub async fn exact() {
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(seed);
        let redis = Redis::start().await;
        let registry = Registry::connect(&config(&redis)).await.unwrap();
        let clients = random.random_range(1..5);
        for number in 0..clients {
            assert!(deposit(&registry, number).await);
        }
        assert!(
            registry
                .put_key(None, &key(0), &act("create-key"))
                .await
                .unwrap()
        );
        let mut journals = [1, 2].map(|seed| Journal {
            router: router(seed),
            receipts: Vec::new(),
        });
        let mut settled = [0, 0];
        let mut copy = None;
        let copied_at = random.random_range(0..20);
        for step in 0..20 {
            if step == copied_at {
                copy = Some(registry.back_up().await.unwrap());
            }
            for (place, journal) in journals.iter_mut().enumerate() {
                let told = journal.receipts.len();
                for _ in 0..random.random_range(0..6) {
                    journal.give(&mut random, clients);
                }
                let holder = format!("{}.1", journal.router);
                let lent = client(random.random_range(0..clients));
                registry
                    .lease_credit(&holder, &lent, Amount(300), Amount(600), LONG)
                    .await
                    .unwrap();
                journal.tell(&registry, told).await;
                if random.random_bool(0.3) {
                    settled[place] = random.random_range(settled[place]..=journal.receipts.len());
                    let note = [(journal.router, settled[place] as u64)].into();
                    registry.note_settled(&note).await.unwrap();
                }
            }
        }
        let copy = copy.unwrap();

        let redis = Redis::start().await;
        let registry = Registry::connect(&config(&redis)).await.unwrap();
        let known: BTreeMap<WorkerId, u64> = journals
            .iter()
            .zip(settled)
            .map(|(journal, settled)| (journal.router, settled as u64))
            .collect();
        // The files of batches: what was settled, whether or not the copy charges for it.
        let since: Vec<SettledReceipt> = journals
            .iter()
            .zip(settled)
            .flat_map(|(journal, settled)| {
                let receipts = (1..).zip(&journal.receipts[..settled]);
                receipts.map(|(number, debit)| SettledReceipt {
                    router: journal.router,
                    number,
                    debit: debit.clone(),
                })
            })
            .collect();
        registry
            .restore_backup(&copy, &known, &since)
            .await
            .unwrap();
        let again = registry.restore_backup(&copy, &known, &since).await;
        assert!(
            matches!(again, Err(RestoreError::NotEmpty { .. })),
            "{again:?}"
        );
        // Routers tell twice, as they do when an answer is lost.
        for _ in 0..2 {
            for (journal, settled) in journals.iter().zip(settled) {
                journal.tell(&registry, settled).await;
            }
        }
        for number in 0..clients {
            let spent: u64 = journals
                .iter()
                .flat_map(|journal| &journal.receipts)
                .filter(|debit| debit.client == client(number))
                .map(|debit| debit.charged.0)
                .sum();
            let balance = registry.balance(&client(number)).await.unwrap();
            assert_eq!(balance.spent.0, spent, "seed {seed}: {balance:?}");
            assert_eq!(balance.deposited.0, DEPOSIT, "seed {seed}");
            assert_eq!(
                balance.deposited.0 + balance.debt.0,
                balance.balance.0 + balance.leased.0 + balance.spent.0,
                "seed {seed}: {balance:?}"
            );
            assert!(
                !deposit(&registry, number).await,
                "a deposit is not added again"
            );
        }
        let unsettled: usize = journals
            .iter()
            .zip(settled)
            .map(|(journal, settled)| journal.receipts.len() - settled)
            .sum();
        assert_eq!(
            registry.receipts(None, 10_000).await.unwrap().len(),
            unsettled
        );
        assert_eq!(registry.api_keys().await.unwrap(), [key(0)]);
        // A copy of what was put back says the same of what is charged.
        let next = registry.back_up().await.unwrap();
        for journal in &journals {
            let charged = next
                .charged
                .get(&journal.router)
                .copied()
                .unwrap_or_default();
            assert_eq!(charged, journal.receipts.len() as u64, "seed {seed}");
        }
    }
}

/// What is no copy, or comes from a later version, changes nothing.
pub async fn refused() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    assert_eq!(registry.newest_act().await.unwrap(), None);
    let copy = registry.back_up().await.unwrap();
    let mut later = copy.clone();
    later.format += 1;
    let none = BTreeMap::new();
    let refused = registry.restore_backup(&later, &none, &[]).await;
    assert!(
        matches!(refused, Err(RestoreError::Newer(2))),
        "{refused:?}"
    );
    let mut damaged = copy;
    let fields = BTreeMap::from([("balance".to_owned(), "much".to_owned())]);
    damaged.accounts.insert(client(1), fields);
    let refused = registry.restore_backup(&damaged, &none, &[]).await;
    assert!(
        matches!(refused, Err(RestoreError::Damaged { .. })),
        "{refused:?}"
    );
    assert!(
        registry
            .put_key(None, &key(1), &act("create-key"))
            .await
            .unwrap()
    );
    assert!(registry.newest_act().await.unwrap().is_some());
}

/// A copy follows another of the same Redis, and not one of what it was before it was emptied or put back.
pub async fn follows() {
    let mut redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let first = registry.back_up().await.unwrap();
    assert!(first.is_empty() && first.lineage.is_some());
    let put = registry.put_key(None, &key(1), &act("create-key")).await;
    assert!(put.unwrap());
    let second = registry.back_up().await.unwrap();
    assert!(!second.is_empty());
    assert!(second.follows(&first) && second.follows(&second));
    assert!(!first.follows(&second), "an act is missing");

    redis.kill().await;
    redis.restart().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let put = registry.put_key(None, &key(1), &act("create-key")).await;
    assert!(put.unwrap());
    let other = registry.back_up().await.unwrap();
    assert!(!other.follows(&second), "it was emptied");
    let mut earlier_version = second;
    earlier_version.lineage = None;
    assert!(other.follows(&earlier_version));
}

/// What is kept is of the latest format that has run; an earlier version does not start over it.
pub async fn formats() {
    let redis = Redis::start().await;
    let format = async |value: Option<u32>| -> u32 {
        let mut connection = redis.connection().await.unwrap();
        let name = "{streamsync}:format";
        if let Some(value) = value {
            let set = redis::cmd("SET").arg(name).arg(value).to_owned();
            set.query_async::<()>(&mut connection).await.unwrap();
        }
        redis::cmd("GET")
            .arg(name)
            .query_async(&mut connection)
            .await
            .unwrap()
    };
    for before in [None, Some(0)] {
        if let Some(before) = before {
            format(Some(before)).await;
        }
        Registry::connect(&config(&redis)).await.unwrap();
        assert_eq!(format(None).await, 1);
    }
    format(Some(2)).await;
    let refused = Registry::connect(&config(&redis)).await.map(|_| ());
    assert!(
        matches!(refused, Err(RegistryError::Newer { found: 2, .. })),
        "{refused:?}"
    );
    assert_eq!(format(None).await, 2);
}
