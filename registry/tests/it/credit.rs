//! Credit, its leases, and receipts.

use super::{Identity, Redis, Registry, config};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use std::time::Duration;
use streamsync_core::{Amount, ClientId, WorkerId};
use streamsync_registry::{Act, Balance, Debit, DepositRefused, MOST_CREDIT};

const LONG: Duration = Duration::from_secs(600);

pub fn act(action: &str) -> Act {
    Act {
        at_ms: 1,
        actor: "key_1".to_owned(),
        from: "127.0.0.1".to_owned(),
        action: action.to_owned(),
        subject: "acme".to_owned(),
        detail: serde_json::json!({}),
    }
}

fn sound(balance: Balance) -> Balance {
    assert_eq!(
        balance.deposited.0 + balance.debt.0,
        balance.balance.0 + balance.leased.0 + balance.spent.0,
        "{balance:?}"
    );
    balance
}

fn debit(client: &ClientId, charged: u64) -> Debit {
    Debit {
        client: client.clone(),
        charged: Amount(charged),
        receipt: format!("{{\"charged\":{charged}}}"),
    }
}

fn router(seed: u8) -> WorkerId {
    Identity::from_seed([seed; 32]).id()
}

fn holder(seed: u8) -> String {
    format!("{}.1", router(seed))
}

pub async fn deposits() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let client: ClientId = "acme".parse().unwrap();
    let add = async |amount, name| {
        registry
            .deposit(&client, Amount(amount), name, &act("add-credit"))
            .await
    };
    assert!(add(1_000, "one").await.unwrap());
    assert!(!add(1_000, "one").await.unwrap(), "the same again");
    assert!(add(500, "two").await.unwrap());
    assert!(matches!(
        add(0, "three").await,
        Err(DepositRefused::Nothing)
    ));
    assert!(matches!(
        add(u64::MAX, "four").await,
        Err(DepositRefused::TooMuch { .. })
    ));
    assert!(matches!(
        add(MOST_CREDIT.0, "five").await,
        Err(DepositRefused::TooMuch { .. })
    ));
    let balance = sound(registry.balance(&client).await.unwrap());
    assert_eq!(
        (balance.deposited, balance.balance),
        (Amount(1_500), Amount(1_500))
    );
    let acts = registry.newest_acts(10).await.unwrap();
    assert_eq!(acts.len(), 2, "only what was done is on record");
    assert_eq!(acts[0], act("add-credit"));
}

pub async fn leases() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let client: ClientId = "acme".parse().unwrap();
    registry
        .deposit(&client, Amount(800), "one", &act("add-credit"))
        .await
        .unwrap();
    let lease = async |seed, needed, wanted| {
        let holder = holder(seed);
        let grant = registry.lease_credit(&holder, &client, Amount(needed), Amount(wanted), LONG);
        grant.await.unwrap()
    };
    // An eighth at the most, unless more is needed.
    assert_eq!(lease(1, 10, 500).await.granted, Amount(100));
    assert_eq!(lease(2, 300, 300).await.granted, Amount(300));
    let refused = lease(3, 401, 500).await;
    assert_eq!(
        (refused.granted, refused.balance),
        (Amount::ZERO, Amount(400))
    );
    assert_eq!(refused.leased_elsewhere, Amount(400));

    // A receipt takes from the lease of its router, and is recorded once.
    assert_eq!(
        registry
            .record_receipts(router(1), &holder(1), 1, 1, &[debit(&client, 60)])
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        registry
            .record_receipts(
                router(1),
                &holder(1),
                1,
                1,
                &[debit(&client, 60), debit(&client, 5)]
            )
            .await
            .unwrap(),
        2
    );
    let progress = registry.receipt_progress(router(1)).await.unwrap();
    assert_eq!((progress.recorded, progress.settled), (2, 0));
    let balance = sound(registry.balance(&client).await.unwrap());
    assert_eq!((balance.spent, balance.leased), (Amount(65), Amount(335)));
    let filed = registry.receipts_of(&client, None, 10).await.unwrap();
    assert_eq!(filed.len(), 2);
    assert_eq!(
        registry
            .receipts_of(&client, Some(&filed[0].id), 10)
            .await
            .unwrap(),
        filed[1..]
    );
    assert_eq!(registry.receipts(None, 10).await.unwrap(), filed);
    assert!(
        registry
            .receipts_of(&"other".parse().unwrap(), None, 10)
            .await
            .unwrap()
            .is_empty()
    );

    // A router that is gone holds nothing; what it spent is owed if others have spent it since.
    registry.end_credit(&holder(2)).await.unwrap();
    assert_eq!(
        sound(registry.balance(&client).await.unwrap()).balance,
        Amount(700)
    );
    lease(3, 690, 0).await;
    registry
        .record_receipts(router(2), &holder(2), 1, 1, &[debit(&client, 30)])
        .await
        .unwrap();
    let balance = sound(registry.balance(&client).await.unwrap());
    assert_eq!((balance.balance, balance.debt), (Amount::ZERO, Amount(20)));
    assert_eq!(
        lease(1, 1, 1).await.granted,
        Amount::ZERO,
        "who owes gets no credit"
    );
    registry
        .deposit(&client, Amount(100), "two", &act("add-credit"))
        .await
        .unwrap();
    let balance = sound(registry.balance(&client).await.unwrap());
    assert_eq!((balance.balance, balance.debt), (Amount(80), Amount::ZERO));

    registry
        .return_credit(&holder(3), &client, Amount(690))
        .await
        .unwrap();
    assert_eq!(
        sound(registry.balance(&client).await.unwrap()).balance,
        Amount(770)
    );
    assert!(registry.keep_credit(&holder(1), LONG).await.unwrap());
    assert!(!registry.keep_credit(&holder(2), LONG).await.unwrap());
}

/// A router as the real one behaves: what it spends it first writes down.
#[derive(Default)]
struct Books {
    /// What it may spend, as it knows.
    lease: u64,
    /// Which process it is, one after the other.
    process: usize,
    /// Receipts, from number one, with the process; they outlive it.
    written: Vec<(u64, usize)>,
    told: usize,
}

impl Books {
    /// Tells receipts as the real one does: those of one process at a time.
    async fn tell(
        &self,
        registry: &Registry,
        router: WorkerId,
        client: &ClientId,
        from: usize,
        to: usize,
    ) {
        let mut first = from;
        for run in self.written[from..to].chunk_by(|one, other| one.1 == other.1) {
            let debits: Vec<Debit> = run
                .iter()
                .map(|(charged, _)| debit(client, *charged))
                .collect();
            let holder = format!("{router}.{}", run[0].1);
            registry
                .record_receipts(router, &holder, 1, first as u64 + 1, &debits)
                .await
                .unwrap();
            first += run.len();
        }
    }
}

/// Three routers in thousands of interleavings of leases, payments, crashes and repetitions: the
/// account always adds up, nobody spends what he was not lent, and in the end what is debited is the
/// sum of the receipts.
pub async fn interleavings() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let client: ClientId = format!("client-{seed}").parse().unwrap();
        let mut books: [Books; 3] = Default::default();
        let id = |place: usize| {
            Identity::from_seed(
                [seed as u8 + 1, place as u8, 7].repeat(11)[..32]
                    .try_into()
                    .unwrap(),
            )
            .id()
        };
        let (mut deposited, mut ever_crashed) = (0, false);
        for step in 0..80 {
            let place = random.random_range(0..3);
            let own = &mut books[place];
            let router = id(place);
            let holder = format!("{router}.{}", own.process);
            match random.random_range(0..12) {
                0 => {
                    let amount = random.random_range(1..2_000);
                    let name = format!("{step}");
                    for _ in 0..random.random_range(1..3) {
                        registry
                            .deposit(&client, Amount(amount), &name, &act("add-credit"))
                            .await
                            .unwrap();
                    }
                    deposited += amount;
                }
                1..=3 => {
                    let needed = random.random_range(1..100);
                    let grant =
                        registry.lease_credit(&holder, &client, Amount(needed), Amount(300), LONG);
                    own.lease += grant.await.unwrap().granted.0;
                }
                4..=7 => {
                    let price = *[1, 7, 50].choose(&mut random).unwrap();
                    if own.lease >= price {
                        own.lease -= price;
                        own.written.push((price, own.process));
                    }
                }
                8 | 9 => {
                    // Told, perhaps twice, perhaps from an earlier one on, perhaps not all.
                    let from = random.random_range(0..=own.told);
                    let to = random.random_range(own.told..=own.written.len());
                    own.tell(&registry, router, &client, from, to).await;
                    own.told = to;
                }
                10 => {
                    let returned = random.random_range(0..=own.lease);
                    own.lease -= returned;
                    registry
                        .return_credit(&holder, &client, Amount(returned))
                        .await
                        .unwrap();
                }
                _ => {
                    // It is killed, and its leases end; whether before or after its receipts were
                    // told was decided above.
                    own.lease = 0;
                    own.process += 1;
                    ever_crashed = true;
                    registry.end_credit(&holder).await.unwrap();
                }
            }
            let balance = sound(registry.balance(&client).await.unwrap());
            assert_eq!(balance.deposited.0, deposited);
            assert!(ever_crashed || balance.debt == Amount::ZERO, "{balance:?}");
        }
        for (place, own) in books.iter().enumerate() {
            own.tell(&registry, id(place), &client, 0, own.written.len())
                .await;
            for process in 0..=own.process {
                registry
                    .end_credit(&format!("{}.{process}", id(place)))
                    .await
                    .unwrap();
            }
        }
        let written: u64 = books
            .iter()
            .flat_map(|own| &own.written)
            .map(|(charged, _)| charged)
            .sum();
        let balance = sound(registry.balance(&client).await.unwrap());
        assert_eq!(
            (balance.spent.0, balance.leased),
            (written, Amount::ZERO),
            "seed {seed}"
        );
        let filed = registry.receipts_of(&client, None, 10_000).await.unwrap();
        assert_eq!(
            filed.len(),
            books.iter().map(|own| own.written.len()).sum::<usize>()
        );
    }
}
