//! A bucket that fails while batches are written to it and receipts are archived in it.

use crate::network::TestNetwork;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use streamsync_core::config::BucketConfig;
use streamsync_lake::Lake;
use streamsync_settlement::{Outcome, SettleError};
use streamsync_testing::{Fault, Rule, S3Proxy, Suite, eventually};

/// Until a round is settled, attempts that fail included.
const PATIENCE: Duration = Duration::from_secs(40);

pub fn add_to(suite: &mut Suite) {
    suite.needs_s3(
        "receipts are settled and archived once over a bucket that fails",
        settles,
    );
}

/// One turn of a settlement that was started for it, as after an error.
async fn turn(network: &TestNetwork) -> Result<bool, SettleError> {
    let node = network.node(0, 0);
    let settler = network.settler_of(network.config(), node, None).await?;
    let outcome = settler.once().await?;
    let settled = settler.chain().network().await?.last_receipt;
    Ok(matches!(outcome, Outcome::Idle { .. }) && settled == network.receipts)
}

/// Each kind of fault in turn: every receipt is paid for and archived once, and forgotten only then.
async fn settles(bucket: BucketConfig) {
    let proxy = S3Proxy::start(bucket.endpoint.as_deref().unwrap()).await;
    let sound = Lake::open(&bucket).unwrap();
    let failing = Lake::open(&proxy.bucket(&bucket)).unwrap();
    let mut network = TestNetwork::over(sound.clone()).await;
    let failed = AtomicUsize::new(0);
    for (seed, fault) in (0..).zip(Fault::every_kind()) {
        network.earn(0, &[100_000 + seed, 33]).await;
        network.earn(1, &[70_001; 3]).await;
        proxy.heal();
        let name = fault.name();
        let share = match name {
            // Nobody asks again for what comes short.
            "shortened" => 0.03,
            // Of lists there are few.
            "stale list" => 0.5,
            _ => 0.2,
        };
        proxy.inject(Rule::new(fault).share(share, seed));
        network.lake = failing.clone();
        eventually(PATIENCE, async || match turn(&network).await {
            Ok(done) => {
                let forgotten = network.registry.receipts(None, 1).await.unwrap().is_empty();
                done && forgotten && proxy.injected_by_kind().contains_key(name)
            }
            Err(error) => {
                let said = streamsync_core::with_causes(&error);
                assert!(
                    said.contains("could not") || said.contains("cannot"),
                    "{said}"
                );
                failed.fetch_add(1, Ordering::Relaxed);
                false
            }
        })
        .await;
        network.lake = sound.clone();
    }
    println!(
        "{} requests, injected {:?}, {} turns failed",
        proxy.requests(),
        proxy.injected_by_kind(),
        failed.into_inner()
    );
    network.check().await;
}
