//! What the registry is told of the chain: stakes, deposits, settled batches.

use crate::network::TestNetwork;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::{collections::BTreeMap, sync::Arc};
use streamsync_core::{
    Amount, ApiKey, ClientId, Identity, KeyId, Limits, OperatorGrant, WorkerId, clock::SystemClock,
};
use streamsync_registry::{Act, ChainDeposit, Heartbeat, Registry};
use streamsync_settlement::{Chain, Followed, Follower, deposit_reference};
use streamsync_testing::Suite;

const STRM: u64 = Amount::STRM.0;

pub fn add_to(suite: &mut Suite) {
    suite.test("stakes on chain are those of workers", stakes);
    suite.test("a deposit on chain becomes credit once", deposits);
    suite.test(
        "settled batches can be looked up, also after Redis has lost them",
        published,
    );
}

/// The key pair of an identity, for the chain.
pub fn keypair(identity: u8) -> Keypair {
    Keypair::new_from_array([identity; 32])
}

pub async fn beat(registry: &Registry, worker: u8, operator: Option<u8>) -> WorkerId {
    let identity = Identity::from_seed([worker; 32]);
    let heartbeat = serde_json::json!({
        "worker": identity.id(), "endpoint": "http://127.0.0.1:1", "version": "0", "running": 0,
        "waiting": 0, "cached_bytes": 0, "interval_ms": 1_000, "sent_at_ms": 1,
    });
    let mut heartbeat: Heartbeat = serde_json::from_value(heartbeat).unwrap();
    heartbeat.grant = operator
        .map(|operator| OperatorGrant::new(&Identity::from_seed([operator; 32]), identity.id()));
    assert!(registry.beat(&identity, &heartbeat).await.unwrap());
    identity.id()
}

/// Somebody with stake.
pub async fn stake(network: &mut TestNetwork, owner: u8, amount: u64) -> Keypair {
    let owner = keypair(owner);
    let (bank, wallet) = (&mut network.bank, owner.pubkey());
    bank.give_sol(&wallet).await;
    bank.tokens_for(&wallet, 2 * amount).await;
    let (register, stake) = (
        bank.address.register_operator(wallet, wallet),
        bank.address.stake(wallet, amount),
    );
    bank.send(&[register, stake], &[&owner]).await.unwrap();
    owner
}

pub async fn chain(network: &TestNetwork) -> Chain {
    let address = network.bank.address.network;
    Chain::open(network.node(0, 0), address).await.unwrap()
}

async fn follower(network: &TestNetwork) -> Follower {
    let registry = network.registry.clone();
    Follower::new(chain(network).await, registry, [], Arc::new(SystemClock))
}

async fn stakes() {
    let mut network = TestNetwork::start("stakes").await;
    let registry = network.registry.clone();
    let rich = stake(&mut network, 50, 30_000 * STRM).await;
    stake(&mut network, 51, 5_000 * STRM).await;
    let of_rich = [
        beat(&registry, 60, Some(50)).await,
        beat(&registry, 61, Some(50)).await,
    ];
    let poor = beat(&registry, 51, None).await;
    let nobody = beat(&registry, 62, None).await;
    let follower = follower(&network).await;
    assert_eq!(registry.minimum_stake().await.unwrap(), None);
    let first = follower.once().await.unwrap();
    assert_eq!((first.workers, first.changed), (4, 4));
    let least = registry.minimum_stake().await.unwrap();
    assert_eq!(least, Some(Amount(10_000 * STRM)));
    let stake_of = async |worker| registry.standing(worker).await.unwrap().stake;
    for worker in of_rich {
        assert_eq!(stake_of(worker).await, Some(Amount(30_000 * STRM)));
    }
    assert_eq!(stake_of(poor).await, Some(Amount(5_000 * STRM)));
    assert_eq!(stake_of(nobody).await, Some(Amount::ZERO));
    assert_eq!(follower.once().await.unwrap().changed, 0);

    // What waits for its cooldown does not count.
    let back = network
        .bank
        .address
        .request_unstake(rich.pubkey(), 25_000 * STRM);
    network.bank.send(&[back], &[&rich]).await.unwrap();
    assert_eq!(follower.once().await.unwrap().changed, 2);
    assert_eq!(stake_of(of_rich[0]).await, Some(Amount(5_000 * STRM)));
    // Routers hear of it as of any change.
    let mut trusted = Default::default();
    let changes = registry.changes(Default::default(), &mut trusted);
    let changes = changes.await.unwrap();
    assert_eq!(changes.minimum_stake, least);
    let told: BTreeMap<_, _> = changes.standings.into_iter().collect();
    assert_eq!(told[&of_rich[1]].stake, Some(Amount(5_000 * STRM)));
}

async fn client(registry: &Registry, name: &str, number: u8) -> ClientId {
    let client: ClientId = name.parse().unwrap();
    let key = ApiKey {
        id: KeyId::new([number; 16]),
        client: client.clone(),
        scopes: Default::default(),
        limits: Limits::default(),
        salts: Vec::new(),
        created_ms: 1,
        revoked_ms: None,
    };
    assert!(registry.put_key(None, &key, &act()).await.unwrap());
    client
}

fn act() -> Act {
    Act {
        at_ms: 1,
        actor: "test".to_owned(),
        from: "command".to_owned(),
        action: "test".to_owned(),
        subject: "test".to_owned(),
        detail: serde_json::Value::Null,
    }
}

async fn deposits() {
    let mut network = TestNetwork::start("deposits").await;
    let registry = network.registry.clone();
    let acme = client(&registry, "acme", 1).await;
    let other = client(&registry, "other", 2).await;
    let payer = network.bank.person(100 * STRM).await;
    let address = network.bank.address;
    let deposit = async |bank: &mut crate::bank::Bank, client: &ClientId, amount| {
        let (mint, program) = (address.mint, address.token_program);
        let reference = deposit_reference(client);
        let deposit = address.deposit(payer.pubkey(), mint, program, amount, reference);
        bank.send(&[deposit], &[&payer]).await.unwrap();
    };
    let credit = async |client| registry.balance(client).await.unwrap().balance;
    let follower = follower(&network).await;
    assert_eq!(follower.once().await.unwrap(), Followed::default());
    deposit(&mut network.bank, &acme, 5 * STRM).await;
    // Several settlements look at once, and again.
    let looks = futures::future::join_all((0..8).map(|_| follower.once())).await;
    let credited: u64 = looks
        .iter()
        .map(|look| look.as_ref().unwrap().amount.0)
        .sum();
    assert_eq!(credited, 5 * STRM);
    assert_eq!(credit(&acme).await, Amount(5 * STRM));
    deposit(&mut network.bank, &acme, 7).await;
    deposit(&mut network.bank, &acme, 3).await;
    deposit(&mut network.bank, &other, 11).await;
    let look = follower.once().await.unwrap();
    assert_eq!((look.credited, look.amount), (2, Amount(21)));
    assert_eq!(credit(&acme).await, Amount(5 * STRM + 10));
    assert_eq!(credit(&other).await, Amount(11));
    assert_eq!(follower.once().await.unwrap(), Followed::default());

    // It is on record.
    let acts = registry.newest_acts(10).await.unwrap();
    let of_chain = acts.iter().filter(|act| act.from == "chain");
    assert_eq!(of_chain.count(), 3);

    // Another chain than before, and more than one may hold, are no credit.
    let mint = address.mint.to_string();
    let told = async |sum| {
        let act = act();
        let told = registry.deposit_from_chain(&acme, &mint, Amount(sum), &act);
        told.await.unwrap()
    };
    let known = Amount(5 * STRM + 10);
    assert_eq!(told(9).await, ChainDeposit::Less { known });
    let most = streamsync_registry::MOST_CREDIT.0;
    assert_eq!(
        told(known.0 + most).await,
        ChainDeposit::TooMuch(Amount(most))
    );
    assert_eq!(
        told(u64::MAX).await,
        ChainDeposit::TooMuch(Amount(u64::MAX - known.0))
    );
    assert_eq!(credit(&acme).await, known);
}

async fn published() {
    let mut network = TestNetwork::start("published").await;
    let registry = network.registry.clone();
    network.earn(0, &[1_000_000, 2_000_000]).await;
    assert_eq!(network.settle_all().await, 1);
    network.earn(1, &[3_000_000]).await;
    assert_eq!(network.settle_all().await, 1);
    let batches = registry.settlements(None, 10).await.unwrap();
    let numbers: Vec<_> = batches
        .iter()
        .map(|batch| (batch.batch, batch.receipts))
        .collect();
    assert_eq!(numbers, [(2, 1), (1, 2)]);
    assert_eq!(
        registry.settlements(Some(2), 10).await.unwrap(),
        batches[1..]
    );
    let settled = chain(&network).await.batch(2).await.unwrap().unwrap();
    assert_eq!(batches[0].file_hash, hex::encode(settled.file_hash));
    assert!(
        network
            .lake
            .get_object(&batches[0].file)
            .await
            .unwrap()
            .is_some()
    );
    let earned = network.earned.clone();
    let check = async || {
        let mut sum = 0;
        for who in earned.keys() {
            let paid = registry.paid(WorkerId::new(who.to_bytes())).await.unwrap();
            sum += paid.total.0;
        }
        assert_eq!(Amount(sum), Amount(batches[0].total.0 + batches[1].total.0));
    };
    check().await;
    let settled = registry.settled().await.unwrap();
    let routers: Vec<_> = network.routers.iter().map(Identity::id).collect();
    assert_eq!(settled, [(routers[0], 2), (routers[1], 1)].into());

    network.redis.kill().await;
    network.redis.restart().await;
    let again = async || registry.settlements(None, 1).await.is_ok();
    streamsync_testing::eventually(std::time::Duration::from_secs(20), again).await;
    assert_eq!(network.settle_all().await, 0);
    assert_eq!(registry.settlements(None, 10).await.unwrap(), batches);
    assert_eq!(registry.settled().await.unwrap(), settled);
    check().await;
}
