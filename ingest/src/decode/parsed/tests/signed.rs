//! Whole messages are restored, and what cannot be is noticed.

use super::*;
use ed25519_dalek::{Signer, SigningKey};
use solana_message::{compiled_instruction::CompiledInstruction, legacy, v0};

const MEMO: &str = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr";
const ASSOCIATED: &str = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL";

/// Signs a message and shows it as a node does, with the instructions as given.
fn round_trip(
    message: &solana_message::VersionedMessage,
    shown: &ui::ParsedInstruction,
    loaded: &Loaded,
    readonly: &[Pubkey],
) -> Result<Message, TransactionProblem> {
    let signature = payer().sign(&bincode::serialize(message).unwrap());
    let signature = solana_signature::Signature::from(signature.to_bytes());
    let header = message.header();
    let header = Header {
        required_signatures: header.num_required_signatures.into(),
        readonly_signed: header.num_readonly_signed_accounts.into(),
        readonly_unsigned: header.num_readonly_unsigned_accounts.into(),
    };
    let keys = header.account_keys(
        message.static_account_keys(),
        &loaded.writable,
        &loaded.readonly,
    );
    let keys: Vec<_> = keys
        .iter()
        .map(|key| {
            json!({
                "pubkey": key.pubkey.to_string(),
                "signer": key.is_signer,
                "writable": key.is_writable && !readonly.contains(&key.pubkey),
            })
        })
        .collect();
    let tables = message.address_table_lookups().map(|tables| {
        let tables = tables.iter().map(ui::UiAddressTableLookup::from);
        tables.collect::<Vec<_>>()
    });
    let parsed: ui::UiParsedMessage = serde_json::from_value(json!({
        "accountKeys": keys,
        "recentBlockhash": message.recent_blockhash().to_string(),
        "instructions": [shown],
        "addressTableLookups": tables,
    }))
    .unwrap();
    crate::decode::parsed::message(&[signature.to_string()], &parsed, None, loaded)
}

fn payer() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

fn payer_key() -> Pubkey {
    Pubkey::new_from_array(payer().verifying_key().to_bytes())
}

/// A message of one instruction: the payer, other writable keys, readonly keys, the program last.
fn one_call(
    writable: &[Pubkey],
    readonly: &[Pubkey],
    accounts: &[u8],
    data: &[u8],
) -> solana_message::VersionedMessage {
    let payer = payer_key();
    let account_keys = [&[payer], writable, readonly].concat();
    solana_message::VersionedMessage::Legacy(legacy::Message {
        header: solana_message::MessageHeader {
            num_required_signatures: 1,
            num_readonly_signed_accounts: 0,
            num_readonly_unsigned_accounts: readonly.len() as u8,
        },
        recent_blockhash: Hash::new_from_array([8; 32]),
        instructions: vec![CompiledInstruction {
            program_id_index: account_keys.len() as u8 - 1,
            accounts: accounts.to_vec(),
            data: data.to_vec(),
        }],
        account_keys,
    })
}

#[test]
fn the_signature_tells_which_form_it_was() {
    let memo: Pubkey = MEMO.parse().unwrap();
    let shown_memo = shown("spl-memo", MEMO, json!("hello"));
    for accounts in [&[][..], &[0]] {
        let message = one_call(&[], &[memo], accounts, b"hello");
        let restored = round_trip(&message, &shown_memo, &Loaded::default(), &[]).unwrap();
        assert_eq!(restored.instructions[0].accounts, accounts);
        assert_eq!(restored.instructions[0].data, b"hello");
    }
    let associated: Pubkey = ASSOCIATED.parse().unwrap();
    let system = Pubkey::default();
    let (token, rent) = (TOKEN.parse().unwrap(), RENT.parse().unwrap());
    let shown_create = shown(
        "spl-associated-token-account",
        ASSOCIATED,
        json!({"type": "create", "info": {
            "source": payer_key().to_string(), "account": text(1), "wallet": text(2), "mint": text(3),
            "systemProgram": system.to_string(), "tokenProgram": TOKEN,
        }}),
    );
    let others = [key(2), key(3), system, token, rent, associated];
    for (data, count) in [(&[][..], 6), (&[0][..], 6), (&[][..], 7), (&[0][..], 7)] {
        let accounts = [0, 1, 2, 3, 4, 5, 6];
        let message = one_call(&[key(1)], &others, &accounts[..count], data);
        let restored = round_trip(&message, &shown_create, &Loaded::default(), &[]).unwrap();
        assert_eq!(restored.instructions[0].data, data);
        assert_eq!(restored.instructions[0].accounts.len(), count);
    }
}

#[test]
fn an_account_too_many_is_noticed() {
    let system = Pubkey::default();
    let made = system_program::transfer(&payer_key(), &key(1), 5);
    let transfer = shown(
        "system",
        "11111111111111111111111111111111",
        json!({"type": "transfer", "info": {
            "source": payer_key().to_string(), "destination": text(1), "lamports": 5,
        }}),
    );
    let right = one_call(&[key(1), key(2)], &[system], &[0, 1], &made.data);
    assert!(round_trip(&right, &transfer, &Loaded::default(), &[]).is_ok());
    let more = one_call(&[key(1), key(2)], &[system], &[0, 1, 2], &made.data);
    let problem = round_trip(&more, &transfer, &Loaded::default(), &[])
        .err()
        .unwrap();
    assert!(
        matches!(&problem, TransactionProblem::NotAsSigned { instructions } if instructions == "system transfer")
    );
}

#[test]
fn keys_shown_as_readonly_are_seen_through() {
    let memo: Pubkey = MEMO.parse().unwrap();
    let shown_memo = shown("spl-memo", MEMO, json!("hi"));
    // Two writable keys that the node shows as readonly: one before another writable key, one last.
    let message = one_call(&[key(1), key(2), key(3)], &[memo], &[], b"hi");
    let restored =
        round_trip(&message, &shown_memo, &Loaded::default(), &[key(1), key(3)]).unwrap();
    let keys = restored.account_keys(&Loaded::default()).unwrap();
    let writable: Vec<_> = keys.iter().map(|key| key.is_writable).collect();
    assert_eq!(writable, [true, true, true, true, false]);
}

#[test]
fn accounts_from_lookup_tables_are_placed() {
    let system = Pubkey::default();
    let made = system_program::transfer(&payer_key(), &key(5), 5);
    let message = solana_message::VersionedMessage::V0(v0::Message {
        header: solana_message::MessageHeader {
            num_required_signatures: 1,
            num_readonly_signed_accounts: 0,
            num_readonly_unsigned_accounts: 1,
        },
        account_keys: vec![payer_key(), system],
        recent_blockhash: Hash::new_from_array([8; 32]),
        instructions: vec![CompiledInstruction {
            program_id_index: 1,
            accounts: vec![0, 2],
            data: made.data,
        }],
        address_table_lookups: vec![v0::MessageAddressTableLookup {
            account_key: key(7),
            writable_indexes: vec![3],
            readonly_indexes: vec![9, 1],
        }],
    });
    let transfer = shown(
        "system",
        "11111111111111111111111111111111",
        json!({"type": "transfer", "info": {
            "source": payer_key().to_string(), "destination": text(5), "lamports": 5,
        }}),
    );
    let loaded = Loaded {
        writable: vec![key(5)],
        readonly: vec![key(6), key(8)],
    };
    let restored = round_trip(&message, &transfer, &loaded, &[]).unwrap();
    assert_eq!(restored.version, crate::Version::V0);
    assert_eq!(restored.static_keys.len(), 2);
    assert_eq!(restored.instructions[0].accounts, [0, 2]);
    assert_eq!(restored.account_keys(&loaded).unwrap().len(), 5);
}

#[test]
fn an_inner_instruction_of_several_forms_is_refused() {
    let keys = |numbers: &[u8]| -> Vec<AccountKey> {
        let keys = numbers.iter().map(|&number| AccountKey {
            pubkey: key(number),
            is_signer: false,
            is_writable: true,
        });
        keys.collect()
    };
    let call = |parsed: Value| -> ui::UiInstruction {
        serde_json::from_value(json!({
            "program": "spl-token", "programId": text(9), "stackHeight": 2, "parsed": parsed,
        }))
        .unwrap()
    };
    let mint = call(json!({"type": "initializeMint2",
        "info": {"mint": text(1), "decimals": 6, "mintAuthority": text(2)}}));
    let restored = inner_instruction(&mint, &keys(&[1, 9])).unwrap();
    // Programs write the short form.
    assert_eq!(restored.data.len(), 1 + 1 + 32 + 1);
    assert_eq!(
        (restored.stack_height, restored.program_id_index),
        (Some(2), 1)
    );
    let memo: ui::UiInstruction = serde_json::from_value(json!({
        "program": "spl-memo", "programId": text(9), "parsed": "hello",
    }))
    .unwrap();
    let said = inner_instruction(&memo, &keys(&[9]))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("spl-memo") && said.contains("base64"),
        "{said}"
    );
}
