//! What settling is for.

use crate::network::{TestNetwork, nowhere};
use streamsync_core::{Amount, Identity, Split};
use streamsync_settlement::{ClaimReport, Outcome};
use streamsync_testing::Suite;

pub fn add_to(suite: &mut Suite) {
    suite.test("receipts become rewards, to the unit", rewards);
    suite.test("small rewards are carried over until they are large", dust);
    suite.test("what no router has signed pays nobody", strangers);
    suite.test("a missing receipt holds up those after it", missing);
    suite.test(
        "a receipt that does not add up is settled and pays nobody",
        refused,
    );
    suite.test("a batch takes so many receipts and no more", most);
    suite.test("a node that is not there is named", no_node);
}

async fn rewards() {
    let mut network = TestNetwork::start("rewards").await;
    assert_eq!(network.settle_all().await, 0);
    network.earn(0, &[1_000_000, 2_000_001, 3_000_000]).await;
    network.earn(1, &[999_999_999]).await;
    let settler = network.settler().await;
    let Outcome::Settled {
        batch: 1,
        receipts: 4,
        rewards,
        total,
        claims,
    } = settler.once().await.unwrap()
    else {
        panic!("nothing was settled");
    };
    assert_eq!(total, Amount(1_006_000_000));
    assert_eq!((claims.claimed, claims.amount), (rewards, total));
    assert_eq!(claims.failed, 0);
    let idle = Outcome::Idle {
        claims: ClaimReport::default(),
    };
    assert_eq!(settler.once().await.unwrap(), idle);
    network.earn(0, &[5_000]).await;
    network.earn(1, &[7_000, 9_000]).await;
    assert_eq!(network.settle_all().await, 1);
    network.check().await;
}

async fn dust() {
    let mut network = TestNetwork::start("dust").await;
    network.dust = Amount(10_000);
    // Not one recipient gets ten thousand: nothing is settled, and nothing lost.
    network.earn(0, &[20_000]).await;
    let settler = network.settler().await;
    assert!(matches!(
        settler.once().await.unwrap(),
        Outcome::Idle { .. }
    ));
    // The winner does now, others wait.
    network.earn(0, &[20_000, 20_000]).await;
    assert_eq!(network.settle_all().await, 1);
    network.check().await;
    for _ in 0..10 {
        network.earn(1, &[11_000]).await;
        network.settle_all().await;
        network.earn(0, &[17_000, 13_000]).await;
        network.settle_all().await;
    }
    network.earn(0, &[1_000_000]).await;
    network.settle_all().await;
    network.check().await;
}

async fn strangers() {
    let mut network = TestNetwork::start("strangers").await;
    // Another router; and somebody who writes receipts of a router before it does.
    let stranger = Identity::from_seed([77; 32]);
    let genuine = network.receipt(0, 50_000);
    let mut forged = genuine.clone();
    forged.receipt.winner = stranger.id();
    network.record(0, 1, &[forged]).await;
    let mut own = genuine.receipt.clone();
    own.router = stranger.id();
    let own = own.sign(&stranger).unwrap();
    network.routers.push(stranger);
    network.record(2, 1, &[own]).await;
    network.routers.pop();
    let settler = network.settler().await;
    assert!(matches!(
        settler.once().await.unwrap(),
        Outcome::Idle { .. }
    ));
    // The number is free for the one that the router has signed.
    network.delete("journals").await;
    network.note(&genuine);
    network.record(0, 1, &[genuine]).await;
    assert_eq!(network.settle_all().await, 1);
    let left = network.registry.receipts(None, 10).await.unwrap();
    assert_eq!(left.len(), 2, "what is not settled is not deleted");
    network
        .registry
        .forget_receipts(&left.into_iter().map(|one| one.id).collect::<Vec<_>>())
        .await
        .unwrap();
    network.check().await;
}

async fn missing() {
    let mut network = TestNetwork::start("missing").await;
    let receipts: Vec<_> = (0..4).map(|_| network.receipt(0, 100_000)).collect();
    network.record(0, 1, &receipts[..1]).await;
    // The second one is lost on the way.
    network.record(0, 3, &receipts[2..]).await;
    network.earn(1, &[100_000]).await;
    assert_eq!(network.settle_all().await, 1);
    let settled = network.settler().await.chain().network().await.unwrap();
    assert_eq!(settled.last_receipt, 2);
    network.delete("journals").await;
    network.record(0, 2, &receipts[1..2]).await;
    assert_eq!(network.settle_all().await, 1);
    for receipt in &receipts {
        network.note(receipt);
    }
    network.check().await;
}

async fn refused() {
    let mut network = TestNetwork::start("refused").await;
    network.earn(0, &[100_000]).await;
    let router = Identity::from_seed([1; 32]);
    let mut greedy = network.receipt(0, 100_000).receipt;
    greedy.split = Split {
        winner: Amount(100_000),
        verifiers: greedy.split.verifiers.clone(),
        ..Split::default()
    };
    let greedy = greedy.sign(&router).unwrap();
    network.record(0, 2, &[greedy]).await;
    network.receipts += 1;
    network.earn(0, &[100_000]).await;
    assert_eq!(network.settle_all().await, 1);
    network.check().await;
}

async fn most() {
    let mut network = TestNetwork::start("most").await;
    // Receipts are taken in the order of the routers' keys: first those that charge something.
    let first = usize::from(network.routers[1].id() < network.routers[0].id());
    for _ in 0..4 {
        network.earn(first, &[100_000; 5]).await;
        network.earn(1 - first, &[0; 5]).await;
    }
    let mut config = network.config();
    config.most_receipts = 7;
    let settler = network.settler_of(config, network.node(0, 0), None).await;
    let settler = settler.unwrap();
    let mut sizes = Vec::new();
    while let Outcome::Settled { receipts, .. } = settler.once().await.unwrap() {
        sizes.push(receipts);
    }
    assert_eq!(sizes.iter().sum::<u64>(), 35, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size == 7), "{sizes:?}");
    // Five receipts over nothing wait for one that pays.
    network.earn(first, &[100_000]).await;
    network.settle_all().await;
    network.check().await;
}

async fn no_node() {
    let network = TestNetwork::start("no-node").await;
    let error = network
        .settler_of(network.config(), nowhere(), None)
        .await
        .err()
        .unwrap();
    let said = streamsync_core::with_causes(&error);
    assert!(
        said.contains("http://127.0.0.1:1/?***") && said.contains("settlement.rpc_url"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}
