//! Blocks from an endpoint, however it behaves.

use crate::{
    endpoint::{Endpoint, Trouble},
    lake::{contents, counts, fill, folder as lake_in, options, table},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use streamsync_core::Slot;
use streamsync_ingest::{
    IngestError, SourceError, ingest,
    progress::Silent,
    source::rpc::{CallError, RpcOptions, RpcSource, SlotRange},
};
use streamsync_testing::Suite;
use tempfile::TempDir;

/// The slot of the recorded block.
const SLOT: u64 = 147_078_735;

pub fn add(suite: &mut Suite) {
    suite.needs_fixtures(
        "the last slots of an endpoint are ingested",
        |fixtures| async move {
            let endpoint = Endpoint::start(chain(&fixtures), SLOT + 5, 0).await;
            let place = TempDir::new().unwrap();
            let lake = lake_in(place.path());
            let report = fill(&lake, source(&endpoint, SlotRange::Last(6))).await;
            assert!(report.is_complete(), "{:?}", report.failures);
            assert_eq!(
                slots(&report.ingested),
                [SLOT, SLOT + 1, SLOT + 4, SLOT + 5]
            );
            assert_eq!(slots(&report.skipped), [SLOT + 2, SLOT + 3]);
            assert_eq!(report.rows["transactions"], 100);
            assert!(report.missing_parents.is_empty());
            let covered = table(&lake, "blocks").await.coverage().await.unwrap();
            assert_eq!(covered.to_string(), format!("[[{SLOT},{}]]", SLOT + 5));
            // What is there is not asked for again.
            let again = fill(&lake, source(&endpoint, SlotRange::Last(6))).await;
            assert_eq!(again.already_there.len(), 4);
            assert_eq!(endpoint.requests("getBlock", SLOT), 1);
            assert_eq!(counts(&lake).await["blocks"], 4);
        },
    );
    suite.needs_fixtures(
        "trouble at the endpoint is overcome",
        |fixtures| async move {
            let endpoint = Endpoint::start(chain(&fixtures), SLOT + 5, 0).await;
            let place = TempDir::new().unwrap();
            let whole = lake_in(place.path());
            let range = SlotRange::Between(Slot(SLOT), Slot(SLOT + 5));
            fill(&whole, source(&endpoint, range)).await;

            use Trouble::{CutShort, Error, Garbage, Status, TooMany};
            endpoint.trouble("getFirstAvailableBlock", 0, [Status(502)]);
            endpoint.trouble("getBlocks", 0, [Garbage, Status(503), Error(-32005)]);
            endpoint.trouble("getBlock", SLOT, [TooMany(0), Status(500), Error(-32004)]);
            endpoint.trouble("getBlock", SLOT + 1, [CutShort, Garbage, TooMany(0)]);
            endpoint.trouble("getBlock", SLOT + 4, [Error(-32014), Error(429)]);
            let place = TempDir::new().unwrap();
            let lake = lake_in(place.path());
            let report = fill(&lake, source(&endpoint, range)).await;
            assert!(report.is_complete(), "{:?}", report.failures);
            assert_eq!(contents(&lake).await, contents(&whole).await);
            assert_eq!(endpoint.requests("getBlock", SLOT), 1 + 4);
        },
    );
    suite.needs_fixtures("Retry-After is honoured", |fixtures| async move {
        let endpoint = Endpoint::start(chain(&fixtures), SLOT + 5, 0).await;
        endpoint.trouble("getBlock", SLOT, [Trouble::TooMany(1)]);
        let place = TempDir::new().unwrap();
        let range = SlotRange::Between(Slot(SLOT), Slot(SLOT));
        let report = fill(&lake_in(place.path()), source(&endpoint, range)).await;
        assert!(report.is_complete());
        // Waits of our own would take a few milliseconds.
        assert!(
            report.elapsed >= Duration::from_secs(1),
            "{:?}",
            report.elapsed
        );
    });
    suite.needs_fixtures(
        "a block that cannot be had is named",
        |fixtures| async move {
            let endpoint = Endpoint::start(chain(&fixtures), SLOT + 5, SLOT + 1).await;
            let always = || std::iter::repeat_n(Trouble::Error(-32004), 20);
            endpoint.trouble("getBlock", SLOT + 1, always());
            endpoint.trouble("getBlock", SLOT + 4, [Trouble::Error(-32011)]);
            let place = TempDir::new().unwrap();
            let lake = lake_in(place.path());
            let range = SlotRange::Between(Slot(SLOT - 9), Slot(SLOT + 5));
            let report = fill(&lake, source(&endpoint, range)).await;
            assert_eq!(slots(&report.ingested), [SLOT + 5]);
            let failures: Vec<_> = report.failures.iter().map(ToString::to_string).collect();
            assert_eq!(failures.len(), 3, "{failures:?}");
            assert!(
                failures[0].contains(&format!("slots {} to {SLOT}", SLOT - 9)),
                "{failures:?}"
            );
            assert!(failures[0].contains("no longer has them"), "{failures:?}");
            assert!(
                failures[1].contains("-32004") && failures[1].contains("yet"),
                "{failures:?}"
            );
            assert!(
                failures[2].contains("-32011") && failures[2].contains("history"),
                "{failures:?}"
            );
            assert_eq!(endpoint.requests("getBlock", SLOT + 4), 1);
            assert_eq!(endpoint.requests("getBlock", SLOT + 1), 5);
            for failure in &failures {
                assert!(
                    !failure.contains("SECRET") && !failure.contains("KEY"),
                    "{failure}"
                );
            }
        },
    );
    suite.needs_fixtures(
        "a slot called skipped that has a child is named",
        |fixtures| async move {
            let endpoint = Endpoint::start(chain(&fixtures), SLOT + 5, 0).await;
            endpoint.trouble("getBlock", SLOT + 4, [Trouble::Error(-32009)]);
            let place = TempDir::new().unwrap();
            let lake = lake_in(place.path());
            let range = SlotRange::Between(Slot(SLOT), Slot(SLOT + 5));
            let report = fill(&lake, source(&endpoint, range)).await;
            assert_eq!(report.failures.len(), 1);
            assert_eq!(
                report.failures[0].slots,
                Some((Slot(SLOT + 4), Slot(SLOT + 4)))
            );
            let gap = report.missing_parents[0];
            assert_eq!((gap.slot.0, gap.parent_slot.0), (SLOT + 5, SLOT + 4));
            // So the next ingest gets it.
            let report = fill(&lake, source(&endpoint, range)).await;
            assert!(report.is_complete());
            assert_eq!(slots(&report.ingested), [SLOT + 4]);
        },
    );
    suite.test("an endpoint that lets nobody in is an error", || async {
        let endpoint = Endpoint::start(BTreeMap::new(), 10, 0).await;
        endpoint.trouble("getFirstAvailableBlock", 0, [Trouble::Status(403)]);
        let said = refused(source(&endpoint, SlotRange::Between(Slot(1), Slot(9)))).await;
        assert!(said.contains("403") && said.contains("key"), "{said}");
        assert!(!said.contains("SECRET") && !said.contains("KEY"), "{said}");
        assert_eq!(endpoint.requests("getFirstAvailableBlock", 0), 1);
    });
    suite.test("an unreachable endpoint is an error", || async {
        let endpoint = Endpoint::start(BTreeMap::new(), 10, 0).await;
        let gone = source(&endpoint, SlotRange::Last(3));
        drop(endpoint);
        let said = refused(gone).await;
        assert!(
            said.contains("did not answer") && said.contains("127.0.0.1"),
            "{said}"
        );
        assert!(!said.contains("SECRET") && !said.contains("KEY"), "{said}");
    });
    suite.test("an endpoint that never answers is left in time", || async {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap())
            .parse()
            .unwrap();
        let options = RpcOptions {
            timeout: Duration::from_millis(200),
            attempts: 2,
            ..quick(url)
        };
        let randomness = ChaCha8Rng::seed_from_u64(1);
        let source = RpcSource::new(options, SlotRange::Last(3), randomness).unwrap();
        let said = refused(source).await;
        assert!(said.contains("did not answer"), "{said}");
    });
    suite.test("an inverted range is refused", || async {
        let options = quick("http://127.0.0.1:1".parse().unwrap());
        let range = SlotRange::Between(Slot(9), Slot(1));
        let refused = RpcSource::new(options, range, ChaCha8Rng::seed_from_u64(1));
        assert!(matches!(refused, Err(SourceError::Range { .. })));
    });
}

async fn refused(source: RpcSource) -> String {
    let place = TempDir::new().unwrap();
    let lake = lake_in(place.path());
    let error = ingest(source, &lake, options(), Arc::new(Silent))
        .await
        .unwrap_err();
    let IngestError::Source { source, .. } = &error else {
        panic!("{error}");
    };
    let SourceError::Rpc(cause) = source else {
        panic!("{source}");
    };
    let inner = std::error::Error::source(cause).map(ToString::to_string);
    assert!(matches!(
        cause,
        CallError::Unreachable { .. } | CallError::Status { .. }
    ));
    format!("{error}: {cause}: {}", inner.unwrap_or_default())
}

fn source(endpoint: &Endpoint, range: SlotRange) -> RpcSource {
    let randomness = ChaCha8Rng::seed_from_u64(1);
    RpcSource::new(quick(endpoint.url()), range, randomness).unwrap()
}

/// Tries as often as ever, but waits only milliseconds.
fn quick(url: url::Url) -> RpcOptions {
    RpcOptions {
        attempts: 5,
        timeout: Duration::from_secs(10),
        first_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(10),
        ..RpcOptions::new(url)
    }
}

/// The recorded block in four slots; two slots between them are skipped.
fn chain(fixtures: &Path) -> BTreeMap<u64, Value> {
    let file = fixtures.join("blocks/encodings/get_block_base64_encoding.json");
    let recorded: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let with_parent = |slot: u64, parent: u64| {
        let mut block = recorded["result"].clone();
        block["parentSlot"] = parent.into();
        (slot, block)
    };
    BTreeMap::from([
        with_parent(SLOT, SLOT - 1),
        with_parent(SLOT + 1, SLOT),
        with_parent(SLOT + 4, SLOT + 1),
        with_parent(SLOT + 5, SLOT + 4),
    ])
}

fn slots(set: &streamsync_lake::SlotSet) -> Vec<u64> {
    set.iter().map(|slot| slot.0).collect()
}
