//! Recorded blocks of the real chain become the right rows.

use crate::lake::lines;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use std::path::Path;
use streamsync_core::Slot;
use streamsync_ingest::{Block, BlockRows, DecodeError, RewardType, Version, decode};
use streamsync_lake::tables;
use streamsync_testing::Suite;

const ENCODED: Slot = Slot(147_078_735);

pub fn add(suite: &mut Suite) {
    suite.needs_fixtures(
        "a whole mainnet block has all its rows",
        |folder| async move {
            let block = read(&folder, "base64/254170887.json.gz", Some(Slot(254_170_887)));
            let rows = BlockRows::build(&block).unwrap();
            let transactions = table(&rows, "transactions");
            assert_eq!(transactions.num_rows(), 602);
            let success = transactions.column_by_name("success").unwrap().as_boolean();
            assert_eq!(success.false_count(), 305);
            let errors = transactions.column_by_name("error").unwrap();
            assert_eq!(errors.len() - errors.null_count(), 305);
            let versions = transactions.column_by_name("version").unwrap();
            let versions = versions.as_string::<i32>();
            assert_eq!(versions.iter().filter(|one| *one == Some("0")).count(), 263);
            let with_tables = block.transactions.iter();
            let with_tables =
                with_tables.filter(|one| one.loaded_writable + one.loaded_readonly > 0);
            assert_eq!(with_tables.count(), 255);
            let addresses = table(&rows, "instructions");
            let addresses = addresses.column_by_name("instruction_address").unwrap();
            let addresses = addresses.as_string::<i32>().iter().flatten();
            assert_eq!(addresses.filter(|one| one.contains('.')).count(), 1_985);
            assert_eq!(table(&rows, "log_messages").num_rows(), 13_950);
            let tokens = table(&rows, "token_balances");
            let after = tokens.column_by_name("post_amount").unwrap();
            assert_eq!(after.len() - after.null_count(), 2_156);
            assert_eq!(table(&rows, "signatures").num_rows(), 602);
            let blocks = table(&rows, "blocks");
            let count = |name: &str| {
                blocks
                    .column_by_name(name)
                    .unwrap()
                    .as_primitive::<Int32Type>()
                    .value(0)
            };
            assert_eq!(
                (count("transaction_count"), count("failed_count")),
                (602, 305)
            );
            let leader = blocks.column_by_name("leader").unwrap();
            assert_eq!(
                leader.as_string::<i32>().value(0),
                "Ninja1spj6n9t5hVYgF3PdnYz2PLnkt7rvaw3firmjs"
            );
        },
    );
    suite.needs_fixtures(
        "the balances of a whole block add up",
        |folder| async move {
            let block = read(&folder, "base64/254170887.json.gz", Some(Slot(254_170_887)));
            let rows = BlockRows::build(&block).unwrap();
            let balances = table(&rows, "balances");
            let sum = |name: &str| -> i64 {
                let column = balances.column_by_name(name).unwrap();
                column.as_primitive::<Int64Type>().iter().flatten().sum()
            };
            let fees: u64 = block.transactions.iter().map(|one| one.fee).sum();
            assert_eq!(sum("pre") - sum("post"), fees as i64);
        },
    );
    suite.needs_fixtures("three encodings make identical rows", |folder| async move {
        let blocks = ["json", "base64", "json_parsed"].map(|encoding| {
            let file = format!("encodings/get_block_{encoding}_encoding.json");
            read(&folder, &file, Some(ENCODED))
        });
        let [json, base64, parsed] = blocks.map(|block| BlockRows::build(&block).unwrap());
        assert_eq!(json.batches.len(), 9);
        for (index, definition) in tables::chain().iter().enumerate() {
            assert!(json.batches[index].num_rows() > 0, "{}", definition.name);
            assert_eq!(
                json.batches[index], base64.batches[index],
                "{}",
                definition.name
            );
            assert_eq!(
                json.batches[index], parsed.batches[index],
                "{}",
                definition.name
            );
        }
        assert_eq!(table(&json, "transactions").num_rows(), 25);
    });
    suite.needs_fixtures(
        "old blocks in protobuf have their rows",
        |folder| async move {
            let votes = protobuf(&folder, 18_144_001);
            assert_eq!(
                votes
                    .transactions
                    .iter()
                    .filter(|one| one.is_vote())
                    .count(),
                89
            );
            assert_eq!((votes.block_time, votes.block_height), (None, None));
            let rows = BlockRows::build(&votes).unwrap();
            assert_eq!(
                table(&rows, "blocks")
                    .column_by_name("date")
                    .unwrap()
                    .null_count(),
                1
            );

            let block = protobuf(&folder, 43_200_000);
            assert_eq!(block.transactions.len(), 208);
            assert!(
                block
                    .transactions
                    .iter()
                    .all(|one| one.version == Version::Legacy)
            );

            let rewarded = protobuf(&folder, 64_800_004);
            assert_eq!(rewarded.parent_slot, Slot(64_799_999));
            assert_eq!(rewarded.transactions.len(), 11);
            assert_eq!(rewarded.rewards.len(), 10_185);
            assert!(
                rewarded
                    .rewards
                    .iter()
                    .any(|one| one.reward_type == Some(RewardType::Staking))
            );
            let rows = BlockRows::build(&rewarded).unwrap();
            assert_eq!(table(&rows, "rewards").num_rows(), 10_185);
        },
    );
    suite.needs_fixtures(
        "errors in protobuf are the JSON of RPC",
        |folder| async move {
            let block = protobuf(&folder, 43_200_000);
            let rows = BlockRows::build(&block).unwrap();
            let errors = table(&rows, "transactions")
                .column_by_name("error")
                .unwrap();
            let errors: Vec<_> = errors.as_string::<i32>().iter().flatten().collect();
            assert_eq!(
                errors.len(),
                block
                    .transactions
                    .iter()
                    .filter(|one| one.error.is_some())
                    .count()
            );
            for error in errors {
                let value: serde_json::Value = serde_json::from_str(error).unwrap();
                assert!(value.is_object() || value.is_string(), "{error}");
            }
        },
    );
    suite.needs_fixtures(
        "what is missing from a block is said",
        |folder| async move {
            let text =
                std::fs::read(folder.join("blocks/encodings/get_block_base64_encoding.json"))
                    .unwrap();
            assert!(matches!(decode(&text, None), Err(DecodeError::NoSlot)));
            let mut block: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let wrapped = serde_json::json!({"slot": 5, "block": block["result"]});
            let wrong = decode(wrapped.to_string().as_bytes(), Some(Slot(6)));
            assert!(matches!(wrong, Err(DecodeError::OtherSlot { .. })));
            // Its parent's slot is not below 5.
            let wrong = decode(wrapped.to_string().as_bytes(), None);
            assert!(matches!(wrong, Err(DecodeError::Parent { .. })));
            let wrapped = serde_json::json!({"slot": ENCODED, "block": block["result"]});
            assert_eq!(
                decode(wrapped.to_string().as_bytes(), None).unwrap().slot,
                ENCODED
            );

            block["result"]
                .as_object_mut()
                .unwrap()
                .remove("transactions");
            let bare = decode(block["result"].to_string().as_bytes(), Some(ENCODED));
            assert!(matches!(bare, Err(DecodeError::Details { .. })));
            let refused =
                br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32007,"message":"skipped"}}"#;
            assert!(matches!(
                decode(refused, Some(ENCODED)),
                Err(DecodeError::RpcError { code: -32007, .. })
            ));
            let null = br#"{"jsonrpc":"2.0","id":1,"result":null}"#;
            assert!(matches!(
                decode(null, Some(ENCODED)),
                Err(DecodeError::NoBlock)
            ));
        },
    );
    suite.needs_fixtures(
        "lookup tables without their accounts are an error",
        |folder| async move {
            let mut block = whole(&folder);
            for transaction in block["transactions"].as_array_mut().unwrap() {
                transaction["meta"]
                    .as_object_mut()
                    .unwrap()
                    .remove("loadedAddresses");
            }
            let said = problem(&block);
            assert!(said.contains("loadedAddresses"), "{said}");
            assert!(said.contains("254170887"), "{said}");
        },
    );
    suite.needs_fixtures("numbers too large are errors", |folder| async move {
        let mut block = whole(&folder);
        block["transactions"][0]["meta"]["preBalances"][0] = u64::MAX.into();
        let block = decode(block.to_string().as_bytes(), Some(Slot(254_170_887))).unwrap();
        let error = BlockRows::build(&block).unwrap_err().to_string();
        assert!(
            error.contains("`pre`") && error.contains("18446744073709551615"),
            "{error}"
        );
    });
    suite.needs_fixtures(
        "absent inner instructions and logs are none",
        |folder| async move {
            let mut block = whole(&folder);
            for transaction in block["transactions"].as_array_mut().unwrap() {
                let meta = transaction["meta"].as_object_mut().unwrap();
                meta["innerInstructions"] = serde_json::Value::Null;
                meta.remove("logMessages");
                meta["preTokenBalances"] = serde_json::Value::Null;
            }
            let block = decode(block.to_string().as_bytes(), Some(Slot(254_170_887))).unwrap();
            assert!(
                block
                    .transactions
                    .iter()
                    .all(|one| one.log_messages.is_empty())
            );
            assert!(
                block
                    .transactions
                    .iter()
                    .all(|one| one.inner_instruction_count() == 0)
            );
        },
    );
    suite.needs_fixtures(
        "jsonParsed that leaves something out is refused",
        |folder| async move {
            let file = folder.join("blocks/encodings/get_block_json_parsed_encoding.json");
            let block: serde_json::Value =
                serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            let changed = |change: fn(&mut serde_json::Value)| {
                let mut block = block["result"].clone();
                let instructions =
                    &mut block["transactions"][0]["transaction"]["message"]["instructions"];
                change(&mut instructions[0]);
                chain(&decode(block.to_string().as_bytes(), Some(ENCODED)).unwrap_err())
            };
            // A vote for another slot is not what the validator signed.
            let said = changed(|vote| vote["parsed"]["info"]["vote"]["slots"][0] = 1.into());
            assert!(said.contains("transaction 0 of slot 147078735"), "{said}");
            assert!(
                said.contains("not what was signed") && said.contains("vote vote"),
                "{said}"
            );
            let said = changed(|vote| vote["parsed"]["type"] = "newest".into());
            assert!(
                said.contains("`newest`") && said.contains("`vote`") && said.contains("base64"),
                "{said}"
            );
            let said = changed(|vote| vote["program"] = "bpf-loader".into());
            assert!(
                said.contains("bpf-loader") && said.contains("base64"),
                "{said}"
            );
        },
    );
}

fn whole(folder: &Path) -> serde_json::Value {
    let packed = std::fs::File::open(folder.join("blocks/base64/254170887.json.gz")).unwrap();
    serde_json::from_reader(flate2::read::GzDecoder::new(packed)).unwrap()
}

fn problem(block: &serde_json::Value) -> String {
    chain(&decode(block.to_string().as_bytes(), Some(Slot(254_170_887))).unwrap_err())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

pub fn read(folder: &Path, file: &str, slot: Option<Slot>) -> Block {
    let bytes = std::fs::read(folder.join("blocks").join(file)).unwrap();
    decode(&bytes, slot).unwrap()
}

pub fn protobuf(folder: &Path, slot: u64) -> Block {
    read(folder, &format!("protobuf/{slot}.pb"), Some(Slot(slot)))
}

fn table<'a>(rows: &'a BlockRows, name: &str) -> &'a RecordBatch {
    let mut definitions = tables::chain().iter();
    let index = definitions.position(|definition| definition.name == name);
    let batch = &rows.batches[index.unwrap()];
    assert_eq!(lines(batch).len(), batch.num_rows());
    batch
}
