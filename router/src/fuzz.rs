//! Whatever clients and workers send, it is taken or refused. Runs for a moment with all tests;
//! longer with `BOLERO_RANDOM_TEST_TIME_MS` and `BOLERO_RANDOM_ITERATIONS`.
#![allow(clippy::unwrap_used)]

use crate::{Ask, analyse, racer::decode, statement::tests::catalog};
use arrow::{
    array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray},
    datatypes::Int64Type,
    ipc::writer::StreamWriter,
};
use std::{panic::AssertUnwindSafe, sync::Arc};
use streamsync_testing::mutated;

const BODIES: [&str; 3] = [
    r#"{"sql": "SELECT 1", "params": [1, "a", null, {"integer": "5"}, {"blob": "00"}]}"#,
    r#"{"sql": "SELECT $1", "verify": "fast", "deadline_ms": 5, "max_price": 7}"#,
    r#"{"sql": "x", "params": [{"double": "NaN"}, {"timestamp": 1}, [[[[]]]]]}"#,
];

const STATEMENTS: [&str; 6] = [
    "SELECT slot, count(*) FROM blocks WHERE slot BETWEEN 1 AND 9 GROUP BY slot ORDER BY 2 LIMIT 3",
    "WITH a AS (SELECT * FROM transactions) SELECT a.fee FROM a JOIN blocks USING (slot)",
    "SELECT * FROM signatures WHERE signature = 'x' OR signature IN ('y', 'z')",
    "SELECT row_number() OVER (PARTITION BY fee ORDER BY slot) FROM transactions",
    "SELECT list(slot ORDER BY slot), [1, 2][1], {'a': 1}.a FROM blocks UNION ALL SELECT NULL, 1, 2",
    "SELECT CASE WHEN slot > -1e5 THEN DATE '2024-01-01' ELSE NULL END, x'00', 'it''s' FROM blocks",
];

#[test]
fn query_bodies() {
    bolero::check!()
        .with_type::<(u8, Vec<u8>)>()
        .for_each(|(which, edits)| {
            let seed = BODIES[usize::from(*which) % BODIES.len()];
            let _ = serde_json::from_slice::<Ask>(&mutated(seed.as_bytes(), edits));
        });
}

#[test]
fn statements() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let catalog = AssertUnwindSafe(runtime.block_on(catalog()));
    bolero::check!()
        .with_type::<(u8, Vec<u8>)>()
        .for_each(|(which, edits)| {
            let catalog: &AssertUnwindSafe<_> = &catalog;
            let seed = STATEMENTS[usize::from(*which) % STATEMENTS.len()];
            let sql = mutated(seed.as_bytes(), edits);
            let Ok(sql) = String::from_utf8(sql) else {
                return;
            };
            if let Ok(analysed) = analyse(&sql, catalog, &[]) {
                // It reads tables that there are, and nothing else.
                assert!(
                    analysed
                        .tables
                        .iter()
                        .all(|name| catalog.table(name.as_str()).is_some())
                );
            }
        });
}

#[test]
fn rows_of_workers() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let columns: [(&str, ArrayRef); 3] = [
        (
            "a",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
        ),
        ("b", Arc::new(StringArray::from(vec!["x", "", "long text"]))),
        ("c", Arc::new(lists)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut seed = Vec::new();
    let mut writer = StreamWriter::try_new(&mut seed, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    assert_eq!(decode(seed.clone()).unwrap().batches, [batch]);
    bolero::check!().with_type::<Vec<u8>>().for_each(|edits| {
        if let Ok(rows) = decode(mutated(&seed, edits)) {
            // What was read can be hashed, as every answer is, unless it has more rows than signed.
            let count = |batch: &RecordBatch| batch.num_rows() as u64;
            if rows.batches.iter().map(count).sum::<u64>() <= 1_000 {
                let _ = streamsync_core::Digest::of(&rows.schema, &rows.batches, false);
            }
        }
    });
}
