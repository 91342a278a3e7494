//! `idl.json` is that of the code. `STREAMSYNC_WRITE_IDL=1 cargo nextest run --workspace -E
//! 'package(strm) and test(idl)'` writes it anew.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::PathBuf, process::Command};

/// The committed file, in the checkout that the test is run in.
fn file() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("idl.json")
}

#[test]
fn the_committed_idl_is_that_of_the_code() {
    let mut text = serde_json::to_string_pretty(&of_code()).unwrap();
    text.push('\n');
    if std::env::var_os("STREAMSYNC_WRITE_IDL").is_some() {
        std::fs::write(file(), &text).unwrap();
    }
    let committed = std::fs::read_to_string(file()).unwrap();
    assert!(
        committed == text,
        "programs/strm/idl.json is not that of the code"
    );
}

/// Anchor's macros make tests that print the parts of the IDL, which this puts together: the
/// program, and the events, errors and types that it does not name itself.
fn of_code() -> Value {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "__anchor_private_print_idl",
            "--nocapture",
            "--test-threads=1",
        ])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (mut idl, mut events, mut errors) = (Value::Null, Vec::new(), json!([]));
    let mut types: BTreeMap<String, Value> = BTreeMap::new();
    for (section, json) in sections(&printed) {
        let mut part: Value = serde_json::from_str(&json).unwrap();
        match section.as_str() {
            "program" => idl = part,
            "errors" => errors = part,
            "event" => {
                note(&mut types, &part["types"]);
                events.push(part["event"].take());
            }
            other => panic!("a section `{other}`"),
        }
    }
    note(&mut types, &idl["types"]);
    idl["address"] = json!(crate::ID.to_string());
    idl["events"] = json!(events);
    idl["errors"] = errors;
    idl["types"] = types.into_values().collect();
    for list in ["accounts", "events", "instructions", "types"] {
        let list = idl[list].as_array_mut().unwrap();
        list.sort_by_key(|one| one["name"].as_str().unwrap().to_owned());
    }
    without_modules(idl)
}

/// What is printed between `--- IDL begin NAME ---` and `--- IDL end NAME ---`.
fn sections(printed: &str) -> Vec<(String, String)> {
    let parts = printed.split("--- IDL begin ").skip(1);
    let parts = parts.map(|part| {
        let (name, rest) = part.split_once(" ---\n").unwrap();
        let (json, _) = rest.split_once("--- IDL end").unwrap();
        (name.to_owned(), json.to_owned())
    });
    parts.filter(|(name, _)| name != "address").collect()
}

fn note(types: &mut BTreeMap<String, Value>, found: &Value) {
    for one in found.as_array().unwrap() {
        types.insert(one["name"].as_str().unwrap().to_owned(), one.clone());
    }
}

/// Types are printed with their modules; their last names are theirs alone here.
fn without_modules(value: Value) -> Value {
    match value {
        Value::String(text) if !text.contains(' ') => {
            json!(text.rsplit("::").next().unwrap_or_default())
        }
        Value::Array(values) => values.into_iter().map(without_modules).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.map(|(name, value)| (name, without_modules(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other,
    }
}
