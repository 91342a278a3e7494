//! Audits that find what was changed.

use crate::network::TestNetwork;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use std::sync::Arc;
use streamsync_lake::Lake;
use streamsync_settlement::{SettleError, audit};
use streamsync_testing::Suite;
use url::Url;

pub fn add_to(suite: &mut Suite) {
    suite.test("an audit names the first difference", differences);
    suite.test(
        "another batch than the chain has is never paid",
        other_batch,
    );
}

async fn over_store(name: &str) -> (TestNetwork, Arc<InMemory>) {
    let mut network = TestNetwork::start(name).await;
    let store = Arc::new(InMemory::new());
    let url = Url::parse("memory:///audited").unwrap();
    network.lake = Lake::with_store(url, store.clone()).unwrap();
    (network, store)
}

fn batch_file(number: u64) -> Path {
    Path::from(format!("audited/settlements/batch-{number:012}.jsonl.zst"))
}

async fn differences() {
    let (mut network, store) = over_store("differences").await;
    network.earn(0, &[50_000, 60_000]).await;
    network.settle_all().await;
    network.earn(1, &[70_000]).await;
    network.settle_all().await;
    network.check().await;
    let found = async |network: &TestNetwork, number| {
        let settler = network.settler().await;
        let done = audit(settler.chain(), &network.lake, number).await.unwrap();
        done.difference.unwrap().what
    };
    // A file that says something else, packed as it should be.
    let kept = store
        .get(&batch_file(2))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let text = String::from_utf8(zstd::decode_all(kept.as_ref()).unwrap()).unwrap();
    let changed = text.replacen("\"charged\":70000", "\"charged\":70001", 1);
    let changed = zstd::encode_all(changed.as_bytes(), 3).unwrap();
    store.put(&batch_file(2), changed.into()).await.unwrap();
    assert_eq!(found(&network, 2).await, "hash of the file");
    store.delete(&batch_file(2)).await.unwrap();
    assert_eq!(found(&network, 2).await, "file");
    store.put(&batch_file(2), kept.into()).await.unwrap();
    // A receipt that is no more in the lake.
    let files = store.list(Some(&Path::from("audited/receipts/_delta_log")));
    use futures::TryStreamExt;
    let commits: Vec<_> = files.try_collect().await.unwrap();
    let last = commits
        .iter()
        .map(|one| one.location.clone())
        .max()
        .unwrap();
    store.delete(&last).await.unwrap();
    assert_eq!(found(&network, 2).await, "receipts in the lake");
    let settler = network.settler().await;
    let first = audit(settler.chain(), &network.lake, 1).await.unwrap();
    assert_eq!(first.difference, None);
}

async fn other_batch() {
    let (mut network, store) = over_store("other").await;
    network.earn(0, &[50_000, 60_000]).await;
    network.settle_all().await;
    let kept = store
        .get(&batch_file(1))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let text = zstd::decode_all(kept.as_ref()).unwrap();
    let other = zstd::encode_all(text.as_slice(), 19).unwrap();
    assert_ne!(other, kept);
    store.put(&batch_file(1), other.into()).await.unwrap();
    network.earn(0, &[70_000]).await;
    let error = network.settler().await.once().await.unwrap_err();
    assert!(matches!(error, SettleError::Chain(_)), "{error}");
    assert!(error.to_string().contains("batch 1"), "{error}");
    let settled = network.settler().await.chain().network().await.unwrap();
    assert_eq!(settled.last_batch, 1);
}
