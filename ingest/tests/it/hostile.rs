//! Bytes that mean harm are errors, never panics.

use proptest::{prelude::*, test_runner::TestRunner};
use streamsync_core::Slot;
use streamsync_ingest::{BlockRows, decode};
use streamsync_testing::Suite;

pub fn add(suite: &mut Suite) {
    suite.test("any bytes are decoded or refused", || async {
        let bytes = proptest::collection::vec(any::<u8>(), 0..400);
        check(600, bytes);
    });
    suite.test("any JSON-like text is decoded or refused", || async {
        let text = r#"(\{|\}|\[|\]|"|:|,|blockhash|result|slot|block|transactions|null|-?[0-9]{1,25}){0,60}"#;
        check(600, text.prop_map(|text| format!("{{{text}").into_bytes()));
    });
    suite.needs_fixtures(
        "damaged recordings are decoded or refused",
        |folder| async move {
            let files = [
                "encodings/get_block_json_encoding.json",
                "encodings/get_block_base64_encoding.json",
                "encodings/get_block_json_parsed_encoding.json",
                "protobuf/18144001.pb",
                "protobuf/43200000.pb",
                "base64/254170887.json.gz",
            ];
            for file in files {
                let bytes = std::fs::read(folder.join("blocks").join(file)).unwrap();
                let damage =
                    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8);
                let cut = any::<prop::sample::Index>();
                let damaged = (damage, cut, any::<bool>()).prop_map(move |(damage, cut, whole)| {
                    let mut bytes = bytes.clone();
                    for (place, byte) in damage {
                        let place = place.index(bytes.len());
                        bytes[place] = byte;
                    }
                    if !whole {
                        bytes.truncate(cut.index(bytes.len()));
                    }
                    bytes
                });
                check(if file.starts_with("base64") { 12 } else { 60 }, damaged);
            }
        },
    );
}

/// Decodes and builds rows; only a panic fails.
fn check(cases: u32, bytes: impl Strategy<Value = Vec<u8>>) {
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    });
    runner
        .run(&bytes, |bytes| {
            for slot in [None, Some(Slot(147_078_735))] {
                if let Ok(block) = decode(&bytes, slot) {
                    let _ = BlockRows::build(&block);
                }
            }
            Ok(())
        })
        .unwrap();
}
