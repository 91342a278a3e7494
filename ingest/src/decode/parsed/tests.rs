//! Instructions made with Solana's own interface crates, shown as a node shows them, are restored.

#![allow(deprecated, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod signed;

use super::*;
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_system_interface::instruction as system_program;
use solana_vote_interface::{
    instruction as vote_program,
    state::{Lockout, TowerSync, Vote, VoteAuthorize, VoteStateUpdate},
};
use spl_token_interface::instruction as token_program;

const RENT: &str = "SysvarRent111111111111111111111111111111111";
const CLOCK: &str = "SysvarC1ock11111111111111111111111111111111";
const SLOT_HASHES: &str = "SysvarS1otHashes111111111111111111111111111";
const RECENT_BLOCKHASHES: &str = "SysvarRecentB1ockHashes11111111111111111111";
const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const STAKE: &str = "Stake11111111111111111111111111111111111111";

fn key(number: u8) -> Pubkey {
    Pubkey::new_from_array([number; 32])
}

fn text(number: u8) -> String {
    key(number).to_string()
}

fn shown(program: &str, program_id: &str, parsed: Value) -> ui::ParsedInstruction {
    let shown = json!({"program": program, "programId": program_id, "parsed": parsed});
    serde_json::from_value(shown).unwrap()
}

/// Checks the likeliest form of an instruction.
#[track_caller]
fn restores(
    program: &str,
    kind: &str,
    info: Value,
    data: &[u8],
    accounts: impl IntoIterator<Item = Pubkey>,
) {
    let shown = shown(program, TOKEN, json!({"type": kind, "info": info}));
    let forms = restore(&Info::new(&shown)).unwrap().forms;
    assert_eq!(forms[0].data, data, "{program} {kind}");
    let accounts: Vec<_> = accounts.into_iter().collect();
    assert_eq!(forms[0].accounts, accounts, "{program} {kind}");
}

macro_rules! restored {
    ($program:expr, $kind:expr, $info:tt, $instruction:expr) => {{
        let made = $instruction;
        let accounts = made.accounts.iter().map(|account| account.pubkey);
        restores($program, $kind, json!($info), &made.data, accounts);
    }};
}

#[test]
fn system_instructions() {
    let (from, to, base, owner) = (key(1), key(2), key(3), key(4));
    restored!("system", "transfer",
        {"source": text(1), "destination": text(2), "lamports": 7},
        system_program::transfer(&from, &to, 7));
    restored!("system", "createAccount",
        {"source": text(1), "newAccount": text(2), "lamports": u64::MAX, "space": 165, "owner": text(4)},
        system_program::create_account(&from, &to, u64::MAX, 165, &owner));
    restored!("system", "createAccountWithSeed",
        {"source": text(1), "newAccount": text(2), "base": text(3), "seed": "stake:0",
         "lamports": 9, "space": 200, "owner": text(4)},
        system_program::create_account_with_seed(&from, &to, &base, "stake:0", 9, 200, &owner));
    restored!("system", "createAccountWithSeed",
        {"source": text(1), "newAccount": text(2), "base": text(1), "seed": "s",
         "lamports": 9, "space": 200, "owner": text(4)},
        system_program::create_account_with_seed(&from, &to, &from, "s", 9, 200, &owner));
    restored!("system", "assign", {"account": text(1), "owner": text(4)},
        system_program::assign(&from, &owner));
    restored!("system", "assignWithSeed",
        {"account": text(1), "base": text(3), "seed": "x", "owner": text(4)},
        system_program::assign_with_seed(&from, &base, "x", &owner));
    restored!("system", "allocate", {"account": text(1), "space": 80},
        system_program::allocate(&from, 80));
    restored!("system", "allocateWithSeed",
        {"account": text(1), "base": text(3), "seed": "x", "space": 80, "owner": text(4)},
        system_program::allocate_with_seed(&from, &base, "x", 80, &owner));
    restored!("system", "transferWithSeed",
        {"source": text(1), "sourceBase": text(3), "destination": text(2), "lamports": 5,
         "sourceSeed": "y", "sourceOwner": text(4)},
        system_program::transfer_with_seed(&from, &base, "y".to_owned(), &owner, &to, 5));
    restored!("system", "advanceNonce",
        {"nonceAccount": text(1), "recentBlockhashesSysvar": RECENT_BLOCKHASHES, "nonceAuthority": text(2)},
        system_program::advance_nonce_account(&from, &to));
    restored!("system", "withdrawFromNonce",
        {"nonceAccount": text(1), "destination": text(3), "recentBlockhashesSysvar": RECENT_BLOCKHASHES,
         "rentSysvar": RENT, "nonceAuthority": text(2), "lamports": 5},
        system_program::withdraw_nonce_account(&from, &to, &base, 5));
    restored!("system", "authorizeNonce",
        {"nonceAccount": text(1), "nonceAuthority": text(2), "newAuthorized": text(3)},
        system_program::authorize_nonce_account(&from, &to, &base));
    restored!("system", "upgradeNonce", {"nonceAccount": text(1)},
        system_program::upgrade_nonce_account(from));
    let created = system_program::create_nonce_account(&from, &to, &base, 5);
    restored!("system", "initializeNonce",
        {"nonceAccount": text(2), "recentBlockhashesSysvar": RECENT_BLOCKHASHES, "rentSysvar": RENT,
         "nonceAuthority": text(3)},
        created[1].clone());
}

#[test]
fn vote_instructions() {
    let (account, authority, hash) = (key(1), key(2), Hash::new_from_array([9; 32]));
    let lockouts = || {
        [(100, 3), (101, 2), (105, 1)]
            .map(|(slot, count)| Lockout::new_with_confirmation_count(slot, count))
    };
    let shown = json!([
        {"slot": 100, "confirmation_count": 3},
        {"slot": 101, "confirmation_count": 2},
        {"slot": 105, "confirmation_count": 1},
    ]);
    let update = || VoteStateUpdate {
        lockouts: lockouts().into(),
        root: Some(99),
        hash,
        timestamp: Some(1_700_000_000),
    };
    let state = json!({"lockouts": shown, "root": 99, "hash": hash.to_string(), "timestamp": 1_700_000_000});
    let votes = |slots: &[u64]| Vote {
        slots: slots.to_vec(),
        hash,
        timestamp: None,
    };
    let vote = json!({"slots": [5, 6], "hash": hash.to_string(), "timestamp": null});
    restored!("vote", "vote",
        {"voteAccount": text(1), "slotHashesSysvar": SLOT_HASHES, "clockSysvar": CLOCK,
         "voteAuthority": text(2), "vote": vote},
        vote_program::vote(&account, &authority, votes(&[5, 6])));
    restored!("vote", "voteSwitch",
        {"voteAccount": text(1), "slotHashesSysvar": SLOT_HASHES, "clockSysvar": CLOCK,
         "voteAuthority": text(2), "vote": vote, "hash": hash.to_string()},
        vote_program::vote_switch(&account, &authority, votes(&[5, 6]), hash));
    restored!("vote", "updatevotestate",
        {"voteAccount": text(1), "voteAuthority": text(2), "voteStateUpdate": state},
        vote_program::update_vote_state(&account, &authority, update()));
    restored!("vote", "updatevotestateswitch",
        {"voteAccount": text(1), "voteAuthority": text(2), "voteStateUpdate": state, "hash": hash.to_string()},
        vote_program::update_vote_state_switch(&account, &authority, update(), hash));
    restored!("vote", "compactupdatevotestate",
        {"voteAccount": text(1), "voteAuthority": text(2), "voteStateUpdate": state},
        vote_program::compact_update_vote_state(&account, &authority, update()));
    restored!("vote", "compactupdatevotestateswitch",
        {"voteAccount": text(1), "voteAuthority": text(2), "voteStateUpdate": state, "hash": hash.to_string()},
        vote_program::compact_update_vote_state_switch(&account, &authority, update(), hash));
    let sync = || TowerSync {
        lockouts: lockouts().into(),
        root: None,
        hash,
        timestamp: None,
        block_id: hash,
    };
    let tower = json!({"lockouts": shown, "root": null, "hash": hash.to_string(), "timestamp": null,
        "blockId": hash.to_string()});
    restored!("vote", "towersync",
        {"voteAccount": text(1), "voteAuthority": text(2), "towerSync": tower},
        vote_program::tower_sync(&account, &authority, sync()));
    restored!("vote", "towersyncswitch",
        {"voteAccount": text(1), "voteAuthority": text(2), "towerSync": tower, "hash": hash.to_string()},
        vote_program::tower_sync_switch(&account, &authority, sync(), hash));
    restored!("vote", "authorize",
        {"voteAccount": text(1), "clockSysvar": CLOCK, "authority": text(2), "newAuthority": text(3),
         "authorityType": "Voter"},
        vote_program::authorize(&account, &authority, &key(3), VoteAuthorize::Voter));
    restored!("vote", "authorizeChecked",
        {"voteAccount": text(1), "clockSysvar": CLOCK, "authority": text(2), "newAuthority": text(3),
         "authorityType": "Withdrawer"},
        vote_program::authorize_checked(&account, &authority, &key(3), VoteAuthorize::Withdrawer));
    restored!("vote", "withdraw",
        {"voteAccount": text(1), "destination": text(3), "withdrawAuthority": text(2), "lamports": 4},
        vote_program::withdraw(&account, &authority, 4, &key(3)));
    restored!("vote", "updateValidatorIdentity",
        {"voteAccount": text(1), "newValidatorIdentity": text(3), "withdrawAuthority": text(2)},
        vote_program::update_validator_identity(&account, &authority, &key(3)));
    restored!("vote", "updateCommission",
        {"voteAccount": text(1), "withdrawAuthority": text(2), "commission": 8},
        vote_program::update_commission(&account, &authority, 8));
}

#[test]
fn token_instructions() {
    let program = TOKEN.parse().unwrap();
    let [account, mint, other, owner] = [1, 2, 3, 4].map(key);
    let amount = json!({"amount": "18446744073709551615", "decimals": 6, "uiAmount": 1.5, "uiAmountString": "1.5"});
    restored!("spl-token", "transfer",
        {"source": text(1), "destination": text(3), "amount": "12500", "authority": text(4)},
        token_program::transfer(&program, &account, &other, &owner, &[], 12_500).unwrap());
    restored!("spl-token", "transferChecked",
        {"source": text(1), "mint": text(2), "destination": text(3), "tokenAmount": amount,
         "multisigAuthority": text(4), "signers": [text(5), text(6)]},
        token_program::transfer_checked(&program, &account, &mint, &other, &owner, &[&key(5), &key(6)], u64::MAX, 6).unwrap());
    restored!("spl-token", "approve",
        {"source": text(1), "delegate": text(3), "amount": "1", "owner": text(4)},
        token_program::approve(&program, &account, &other, &owner, &[], 1).unwrap());
    restored!("spl-token", "approveChecked",
        {"source": text(1), "mint": text(2), "delegate": text(3), "tokenAmount": amount, "owner": text(4)},
        token_program::approve_checked(&program, &account, &mint, &other, &owner, &[], u64::MAX, 6).unwrap());
    restored!("spl-token", "revoke", {"source": text(1), "owner": text(4)},
        token_program::revoke(&program, &account, &owner, &[]).unwrap());
    restored!("spl-token", "mintTo",
        {"mint": text(2), "account": text(1), "amount": "3", "mintAuthority": text(4)},
        token_program::mint_to(&program, &mint, &account, &owner, &[], 3).unwrap());
    restored!("spl-token", "mintToChecked",
        {"mint": text(2), "account": text(1), "tokenAmount": amount, "mintAuthority": text(4)},
        token_program::mint_to_checked(&program, &mint, &account, &owner, &[], u64::MAX, 6).unwrap());
    restored!("spl-token", "burn",
        {"account": text(1), "mint": text(2), "amount": "3", "authority": text(4)},
        token_program::burn(&program, &account, &mint, &owner, &[], 3).unwrap());
    restored!("spl-token", "burnChecked",
        {"account": text(1), "mint": text(2), "tokenAmount": amount, "authority": text(4)},
        token_program::burn_checked(&program, &account, &mint, &owner, &[], u64::MAX, 6).unwrap());
    restored!("spl-token", "closeAccount",
        {"account": text(1), "destination": text(3), "owner": text(4)},
        token_program::close_account(&program, &account, &other, &owner, &[]).unwrap());
    restored!("spl-token", "freezeAccount",
        {"account": text(1), "mint": text(2), "freezeAuthority": text(4)},
        token_program::freeze_account(&program, &account, &mint, &owner, &[]).unwrap());
    restored!("spl-token", "thawAccount",
        {"account": text(1), "mint": text(2), "freezeAuthority": text(4)},
        token_program::thaw_account(&program, &account, &mint, &owner, &[]).unwrap());
    restored!("spl-token", "setAuthority",
        {"mint": text(2), "authorityType": "mintTokens", "newAuthority": null, "authority": text(4)},
        token_program::set_authority(&program, &mint, None, token_program::AuthorityType::MintTokens, &owner, &[]).unwrap());
    restored!("spl-token", "setAuthority",
        {"account": text(1), "authorityType": "accountOwner", "newAuthority": text(3), "authority": text(4)},
        token_program::set_authority(&program, &account, Some(&other), token_program::AuthorityType::AccountOwner, &owner, &[]).unwrap());
    restored!("spl-token", "initializeMint",
        {"mint": text(2), "decimals": 9, "mintAuthority": text(4), "freezeAuthority": text(3), "rentSysvar": RENT},
        token_program::initialize_mint(&program, &mint, &owner, Some(&other), 9).unwrap());
    restored!("spl-token", "initializeMint2",
        {"mint": text(2), "decimals": 9, "mintAuthority": text(4)},
        token_program::initialize_mint2(&program, &mint, &owner, None, 9).unwrap());
    restored!("spl-token", "initializeAccount",
        {"account": text(1), "mint": text(2), "owner": text(4), "rentSysvar": RENT},
        token_program::initialize_account(&program, &account, &mint, &owner).unwrap());
    restored!("spl-token", "initializeAccount2",
        {"account": text(1), "mint": text(2), "owner": text(4), "rentSysvar": RENT},
        token_program::initialize_account2(&program, &account, &mint, &owner).unwrap());
    restored!("spl-token", "initializeAccount3",
        {"account": text(1), "mint": text(2), "owner": text(4)},
        token_program::initialize_account3(&program, &account, &mint, &owner).unwrap());
    restored!("spl-token", "initializeMultisig",
        {"multisig": text(1), "rentSysvar": RENT, "signers": [text(5), text(6)], "m": 2},
        token_program::initialize_multisig(&program, &account, &[&key(5), &key(6)], 2).unwrap());
    restored!("spl-token", "syncNative", {"account": text(1)},
        token_program::sync_native(&program, &account).unwrap());
    restored!("spl-token", "initializeImmutableOwner", {"account": text(1)},
        token_program::initialize_immutable_owner(&program, &account).unwrap());
    restored!("spl-token", "amountToUiAmount", {"mint": text(2), "amount": "8"},
        token_program::amount_to_ui_amount(&program, &mint, 8).unwrap());
    restored!("spl-token", "uiAmountToAmount", {"mint": text(2), "uiAmount": "0.8"},
        token_program::ui_amount_to_amount(&program, &mint, "0.8").unwrap());
    restored!("spl-token", "getAccountDataSize", {"mint": text(2)},
        token_program::get_account_data_size(&program, &mint).unwrap());
    let extended = json!({"mint": text(2), "extensionTypes": ["immutableOwner"]});
    restores(
        "spl-token",
        "getAccountDataSize",
        extended,
        &[21, 7, 0],
        [mint],
    );
}

#[test]
fn stake_instructions_have_their_published_layout() {
    let clock = CLOCK.parse().unwrap();
    let info = json!({"stakeAccount": text(1), "clockSysvar": CLOCK, "stakeAuthority": text(2)});
    restores(
        "stake",
        "deactivate",
        info,
        &[5, 0, 0, 0],
        [key(1), clock, key(2)],
    );
    let info = json!({"stakeAccount": text(1), "newSplitAccount": text(2), "stakeAuthority": text(3), "lamports": 258});
    let data = [3, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0];
    restores("stake", "split", info, &data, [key(1), key(2), key(3)]);
    let info = json!({"stakeAccount": text(1), "clockSysvar": CLOCK, "authority": text(2),
        "newAuthority": text(3), "authorityType": "Withdrawer"});
    let data = [&[1, 0, 0, 0][..], &[3; 32], &[1, 0, 0, 0]].concat();
    restores("stake", "authorize", info, &data, [key(1), clock, key(2)]);
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    for (program, kind) in [
        ("stake", "redelegate"),
        ("spl-token", "initializeTransferHook"),
        ("bpf-loader", "write"),
    ] {
        let shown = shown(program, STAKE, json!({"type": kind, "info": {}}));
        let said = restore(&Info::new(&shown)).err().unwrap().to_string();
        assert!(
            said.contains(program) && said.contains(kind) && said.contains("base64"),
            "{said}"
        );
    }
    let shown = shown(
        "system",
        STAKE,
        json!({"type": "transfer", "info": {"source": "nobody"}}),
    );
    let said = restore(&Info::new(&shown)).err().unwrap().to_string();
    assert!(said.contains("`lamports`"), "{said}");
}
