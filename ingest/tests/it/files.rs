//! Block files into a lake.

use crate::lake::{contents, counts, fill, folder as lake_in, options, table};
use std::{fs, io::Write, path::Path, sync::Arc};
use streamsync_core::Slot;
use streamsync_ingest::{
    IngestError, IngestOptions, Report, ingest,
    progress::Silent,
    source::{files::BlockFiles, synthetic::Synthetic},
};
use streamsync_testing::Suite;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub fn add(suite: &mut Suite) {
    suite.needs_fixtures("block files are ingested once", |fixtures| async move {
        let place = TempDir::new().unwrap();
        let lake = lake_in(place.path());
        let source = || BlockFiles::open(fixtures.join("blocks/protobuf"), None).unwrap();
        let first = fill(&lake, source()).await;
        assert_eq!(first.ingested.len(), 3);
        assert!(first.is_complete());
        assert_eq!(first.rows["blocks"], 3);
        assert_eq!(first.rows["rewards"] as usize, rewards(&fixtures));
        // The fixtures are far apart: two of them stand on parents that are not there.
        let gaps: Vec<_> = first.missing_parents.iter().map(|gap| gap.slot.0).collect();
        assert_eq!(gaps, [43_200_000, 64_800_004]);
        let before = contents(&lake).await;
        assert_eq!(before["blocks"].len(), 3);
        assert_eq!(counts(&lake).await, first.rows);

        let again = fill(&lake, source()).await;
        assert_eq!((again.ingested.len(), again.already_there.len()), (0, 3));
        assert_eq!(again.total_rows(), 0);
        assert_eq!(contents(&lake).await, before);

        let whole = fixtures.join("blocks/base64/254170887.json.gz");
        let more = fill(&lake, BlockFiles::open(whole, None).unwrap()).await;
        assert_eq!(more.rows["transactions"], 602);
        assert_eq!(more.rows["log_messages"], 13_950);
        assert_eq!(counts(&lake).await["blocks"], 4);
    });
    suite.needs_fixtures("a slot may be given for one file", |fixtures| async move {
        let place = TempDir::new().unwrap();
        let lake = lake_in(place.path());
        let file = fixtures.join("blocks/encodings/get_block_base64_encoding.json");
        let unnamed = fill(&lake, BlockFiles::open(&file, None).unwrap()).await;
        assert_eq!(unnamed.failures.len(), 1);
        assert!(
            unnamed.failures[0].cause.contains("which slot"),
            "{}",
            unnamed.failures[0]
        );
        let slot = Some(Slot(147_078_735));
        let named = fill(&lake, BlockFiles::open(&file, slot).unwrap()).await;
        assert_eq!(named.rows["transactions"], 25);
        // Another encoding of the same block adds nothing.
        let file = fixtures.join("blocks/encodings/get_block_json_parsed_encoding.json");
        let again = fill(&lake, BlockFiles::open(file, slot).unwrap()).await;
        assert_eq!(again.total_rows(), 0);
    });
    suite.needs_fixtures(
        "a truncated file does not stop the rest",
        |fixtures| async move {
            let blocks = damaged_folder(&fixtures);
            let place = TempDir::new().unwrap();
            let lake = lake_in(place.path());
            let report = fill(&lake, BlockFiles::open(blocks.path(), None).unwrap()).await;
            damage_is_named(&report);
            assert!(!report.is_complete());
            let slots: Vec<_> = report.ingested.iter().map(|slot| slot.0).collect();
            assert_eq!(slots, [18_144_001, 64_800_004]);
            assert_eq!(counts(&lake).await["blocks"], 2);
            assert!(
                !table(&lake, "blocks")
                    .await
                    .coverage()
                    .await
                    .unwrap()
                    .contains(Slot(43_200_000))
            );
            // Once the file is whole, only it is missing.
            fs::copy(
                fixtures.join("blocks/protobuf/43200000.pb"),
                blocks.path().join("43200000.pb"),
            )
            .unwrap();
            let report = fill(&lake, BlockFiles::open(blocks.path(), None).unwrap()).await;
            assert_eq!((report.ingested.len(), report.already_there.len()), (1, 2));
            assert_eq!(report.rows["transactions"], 208);
        },
    );
    suite.needs_fixtures("strict stops at the first failure", |fixtures| async move {
        let blocks = damaged_folder(&fixtures);
        let place = TempDir::new().unwrap();
        let lake = lake_in(place.path());
        let strict = IngestOptions {
            strict: true,
            ..options()
        };
        let source = BlockFiles::open(blocks.path(), None).unwrap();
        let error = ingest(source, &lake, strict, Arc::new(Silent))
            .await
            .unwrap_err();
        let IngestError::Failed { report, .. } = error else {
            panic!("{error}");
        };
        damage_is_named(&report);
        let slots: Vec<_> = report.ingested.iter().map(|slot| slot.0).collect();
        assert_eq!(slots, [18_144_001]);
    });
    suite.needs_fixtures("compressed files are unpacked", |fixtures| async move {
        let blocks = TempDir::new().unwrap();
        let bytes = fs::read(fixtures.join("blocks/protobuf/43200000.pb")).unwrap();
        let packed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
        fs::write(blocks.path().join("43200000.bin.zst"), packed).unwrap();
        let text =
            fs::read(fixtures.join("blocks/encodings/get_block_json_encoding.json")).unwrap();
        let file = fs::File::create(blocks.path().join("147078735.json.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packed.write_all(&text).unwrap();
        packed.finish().unwrap();
        let place = TempDir::new().unwrap();
        let report = fill(
            &lake_in(place.path()),
            BlockFiles::open(blocks.path(), None).unwrap(),
        )
        .await;
        assert!(report.is_complete());
        assert_eq!(report.rows["transactions"], 208 + 25);
    });
    suite.test("a stop finishes the batch under way", || async {
        let place = TempDir::new().unwrap();
        let lake = lake_in(place.path());
        let stop = CancellationToken::new();
        let stopped = IngestOptions {
            stop: stop.clone(),
            ..options()
        };
        // Stops when the first batch is committed.
        let progress = Arc::new(StopAtBlocks(stop));
        let report = ingest(Synthetic::new(4, 60, 50), &lake, stopped, progress)
            .await
            .unwrap();
        assert!(report.stopped && !report.is_complete());
        let ingested = report.ingested.len();
        assert!((4..40).contains(&ingested), "{ingested}");
        assert_eq!(counts(&lake).await["blocks"], ingested);
        let rest = fill(&lake, Synthetic::new(4, 60, 50)).await;
        assert_eq!(rest.already_there.len(), ingested);
        let other = TempDir::new().unwrap();
        let other = lake_in(other.path());
        fill(&other, Synthetic::new(4, 60, 50)).await;
        assert_eq!(contents(&lake).await, contents(&other).await);
    });
    suite.test(
        "skipped slots are covered once a block proves it",
        || async {
            let place = TempDir::new().unwrap();
            let lake = lake_in(place.path());
            let report = fill(&lake, Synthetic::new(4, 200, 5)).await;
            assert!(report.is_complete());
            assert!(
                report.missing_parents.is_empty(),
                "{:?}",
                report.missing_parents
            );
            assert!(!report.skipped.is_empty());
            let covered = table(&lake, "blocks").await.coverage().await.unwrap();
            assert_eq!(covered, report.ingested.union(&report.skipped));
            assert_eq!(covered.len(), 200);
            let transactions = table(&lake, "transactions").await;
            assert_eq!(transactions.coverage().await.unwrap(), covered);
        },
    );
}

/// Stops the ingest at the first commit of `blocks`.
struct StopAtBlocks(CancellationToken);

impl streamsync_ingest::progress::Progress for StopAtBlocks {
    fn committed(&self, table: &str, _rows: u64) {
        if table == "blocks" {
            self.0.cancel();
        }
    }
}

fn rewards(fixtures: &Path) -> usize {
    [18_144_001, 43_200_000, 64_800_004]
        .into_iter()
        .map(|slot| crate::decoding::protobuf(fixtures, slot).rewards.len())
        .sum()
}

fn damaged_folder(fixtures: &Path) -> TempDir {
    let blocks = TempDir::new().unwrap();
    for slot in [18_144_001, 43_200_000, 64_800_004] {
        let name = format!("{slot}.pb");
        let mut bytes = fs::read(fixtures.join("blocks/protobuf").join(&name)).unwrap();
        if slot == 43_200_000 {
            bytes.truncate(bytes.len() / 2);
        }
        fs::write(blocks.path().join(name), bytes).unwrap();
    }
    blocks
}

fn damage_is_named(report: &Report) {
    assert_eq!(report.failures.len(), 1);
    let said = report.failures[0].to_string();
    assert!(said.contains("slot 43200000"), "{said}");
    assert!(
        said.contains("43200000.pb") && said.contains("cut short"),
        "{said}"
    );
}
