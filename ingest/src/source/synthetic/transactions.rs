//! Synthetic transactions of four kinds: votes, transfers of SOL, of tokens, and swaps.

use super::world::{Mint, World};
use crate::{
    AccountKey, Instruction, OuterInstruction, TokenBalance, Transaction, VOTE_PROGRAM, Version,
};
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_vote_interface::{
    instruction::VoteInstruction,
    state::{Lockout, TowerSync},
};
use spl_token_interface::instruction::TokenInstruction;
use streamsync_core::Slot;

const SYSTEM: Pubkey = Pubkey::from_str_const("11111111111111111111111111111111");
const TOKEN: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const BASE_FEE: u64 = 5_000;
const LOCKOUTS: u32 = 31;
/// How an exchange recognises a swap.
const SWAP: [u8; 8] = *b"synthswp";

/// Writes the transactions of one block.
pub(super) struct Author<'a> {
    world: &'a World,
    rng: &'a mut ChaCha8Rng,
    parent: Slot,
    recent_blockhash: Hash,
    parent_hash: Hash,
}

impl<'a> Author<'a> {
    pub(super) fn new(world: &'a World, rng: &'a mut ChaCha8Rng, slot: Slot, parent: Slot) -> Self {
        Self {
            world,
            rng,
            parent,
            recent_blockhash: world.blockhash(Slot(slot.0.saturating_sub(8))),
            parent_hash: world.blockhash(parent),
        }
    }

    pub(super) fn transaction(&mut self) -> Transaction {
        match self.rng.random_range(0..100) {
            0..70 => self.vote(),
            70..77 => self.transfer(),
            77..89 => self.token_transfer(),
            _ => self.swap(),
        }
    }

    fn vote(&mut self) -> Transaction {
        let validator = self.world.any_validator(self.rng);
        let newest = self.parent.0;
        let lockouts = (1..=LOCKOUTS).rev().map(|confirmations| {
            let slot = newest.saturating_sub(u64::from(confirmations) - 1);
            Lockout::new_with_confirmation_count(slot, confirmations)
        });
        let sync = VoteInstruction::TowerSync(TowerSync {
            lockouts: lockouts.collect(),
            root: Some(newest.saturating_sub(u64::from(LOCKOUTS))),
            hash: self.parent_hash,
            timestamp: None,
            block_id: self.parent_hash,
        });
        let mut transaction = self.blank(&[
            signer(validator.identity),
            writable(validator.vote_account),
            readonly(VOTE_PROGRAM),
        ]);
        // A vote of these parts can always be written.
        let data = bincode::serialize(&sync).unwrap_or_default();
        transaction.instructions = vec![call(2, &[1, 0], data)];
        transaction.log_messages = ran(&VOTE_PROGRAM, 1, &[]);
        transaction.compute_units_consumed = Some(2_100);
        transaction
    }

    fn transfer(&mut self) -> Transaction {
        let (from, to) = self.two_wallets();
        let lamports = self.rng.random_range(1_000..500_000_000_u64);
        let mut transaction = self.blank(&[signer(from), writable(to), readonly(SYSTEM)]);
        let data = [&2_u32.to_le_bytes()[..], &lamports.to_le_bytes()].concat();
        transaction.instructions = vec![call(2, &[0, 1], data)];
        transaction.log_messages = ran(&SYSTEM, 1, &[]);
        transaction.compute_units_consumed = Some(150);
        if !self.may_fail(&mut transaction, &SYSTEM) {
            transaction.post_balances[0] -= lamports;
            transaction.post_balances[1] += lamports;
        }
        transaction
    }

    fn token_transfer(&mut self) -> Transaction {
        let (from, to) = self.two_wallets();
        let mint = self.world.any_mint(self.rng);
        let amount = self.rng.random_range(1..1_000_000_000_u64);
        let accounts = [from, to].map(|owner| self.world.token_account(&owner, &mint.address));
        let mut transaction = self.blank(&[
            signer(from),
            writable(accounts[0]),
            writable(accounts[1]),
            readonly(mint.address),
            readonly(TOKEN),
        ]);
        let data = TokenInstruction::TransferChecked {
            amount,
            decimals: mint.decimals,
        };
        transaction.instructions = vec![call(4, &[1, 3, 2, 0], data.pack())];
        transaction.log_messages = ran(&TOKEN, 1, &["Instruction: TransferChecked"]);
        transaction.compute_units_consumed = Some(6_200);
        let moved = match self.may_fail(&mut transaction, &TOKEN) {
            true => 0,
            false => amount,
        };
        self.move_tokens(&mut transaction, mint, [(1, from), (2, to)], moved);
        transaction
    }

    /// A swap of two tokens in a pool, with the exchange calling the Token program twice.
    fn swap(&mut self) -> Transaction {
        let trader = self.world.any_wallet(self.rng);
        let pool = self.world.any_pool(self.rng);
        let exchange = self.world.any_exchange(self.rng);
        let sold = self.world.any_mint(self.rng);
        let mut bought = self.world.any_mint(self.rng);
        while bought.address == sold.address {
            bought = self.world.any_mint(self.rng);
        }
        let account = |owner: &Pubkey, mint: &Mint| self.world.token_account(owner, &mint.address);
        let mut transaction = self.blank(&[
            signer(trader),
            writable(account(&trader, &sold)),
            writable(account(&trader, &bought)),
            readonly(exchange),
            readonly(TOKEN),
            writable(pool),
            writable(account(&pool, &sold)),
            writable(account(&pool, &bought)),
        ]);
        // The pool's accounts come from a lookup table.
        transaction.version = Version::V0;
        transaction.loaded_writable = 3;
        let (paid, got) = (
            self.rng.random_range(1_000..1_000_000_000_u64),
            self.rng.random_range(1_000..1_000_000_000_u64),
        );
        let data = [&SWAP[..], &paid.to_le_bytes(), &got.to_le_bytes()].concat();
        #[allow(deprecated)]
        let transfer = |amount| TokenInstruction::Transfer { amount }.pack();
        let mut outer = call(3, &[0, 5, 1, 6, 7, 2, 4], data);
        let exchange_log = ["Instruction: Swap"];
        let failed = self.may_fail(&mut transaction, &exchange);
        if !failed {
            let inner = |accounts: [u8; 3], amount| Instruction {
                program_id_index: 4,
                accounts: accounts.to_vec(),
                data: transfer(amount),
                stack_height: Some(2),
            };
            outer.inner = vec![inner([1, 6, 0], paid), inner([7, 2, 5], got)];
            let mut logs = ran(&exchange, 1, &exchange_log);
            let token_logs = || ran(&TOKEN, 2, &["Instruction: Transfer"]);
            let end = logs.len() - 1;
            logs.splice(end..end, token_logs().into_iter().chain(token_logs()));
            transaction.log_messages = logs;
        }
        transaction.instructions = vec![outer];
        transaction.compute_units_consumed = Some(self.rng.random_range(30_000..120_000));
        let (paid, got) = if failed { (0, 0) } else { (paid, got) };
        self.move_tokens(&mut transaction, sold, [(1, trader), (6, pool)], paid);
        self.move_tokens(&mut transaction, bought, [(7, pool), (2, trader)], got);
        transaction
    }

    /// A successful transaction without instructions that paid its fee.
    fn blank(&mut self, keys: &[AccountKey]) -> Transaction {
        let mut signature = [0; 64];
        self.rng.fill_bytes(&mut signature);
        let votes = keys.iter().any(|key| key.pubkey == VOTE_PROGRAM);
        let priority = match votes || self.rng.random_bool(0.3) {
            true => 0,
            false => self.rng.random_range(1..200_000),
        };
        let fee = BASE_FEE + priority;
        let pre_balances: Vec<u64> = keys
            .iter()
            .map(|key| match key.is_writable {
                true => self.rng.random_range(1_000_000_000..1_000_000_000_000),
                false => 1_141_440,
            })
            .collect();
        let mut post_balances = pre_balances.clone();
        if let Some(payer) = post_balances.first_mut() {
            *payer -= fee;
        }
        Transaction {
            signatures: vec![Signature::from(signature)],
            version: Version::Legacy,
            recent_blockhash: self.recent_blockhash,
            account_keys: keys.to_vec(),
            loaded_writable: 0,
            loaded_readonly: 0,
            instructions: Vec::new(),
            error: None,
            fee,
            pre_balances,
            post_balances,
            pre_token_balances: Vec::new(),
            post_token_balances: Vec::new(),
            log_messages: Vec::new(),
            compute_units_consumed: None,
        }
    }

    /// Lets some transactions fail; `true` for those.
    fn may_fail(&mut self, transaction: &mut Transaction, program: &Pubkey) -> bool {
        if !self.rng.random_bool(0.12) {
            return false;
        }
        let errors = &self.world.errors;
        transaction.error = errors.get(self.rng.random_range(0..4)).cloned();
        transaction.log_messages = vec![
            format!("Program {program} invoke [1]"),
            format!("Program {program} failed: custom program error: 0x1"),
        ];
        true
    }

    fn move_tokens(
        &mut self,
        transaction: &mut Transaction,
        mint: Mint,
        [from, to]: [(u8, Pubkey); 2],
        amount: u64,
    ) {
        let stock = self.rng.random_range(1_000_000_000..1_000_000_000_000_u64);
        let balance = |(account_index, owner), amount| TokenBalance {
            account_index,
            mint: mint.address,
            owner: Some(owner),
            program_id: Some(TOKEN),
            decimals: mint.decimals,
            amount,
        };
        // Some receive their first tokens.
        let had = self.rng.random_bool(0.8);
        transaction.pre_token_balances.push(balance(from, stock));
        if had {
            transaction.pre_token_balances.push(balance(to, stock / 2));
        }
        let held = if had { stock / 2 } else { 0 };
        transaction
            .post_token_balances
            .extend([balance(from, stock - amount), balance(to, held + amount)]);
    }

    fn two_wallets(&mut self) -> (Pubkey, Pubkey) {
        let from = self.world.any_wallet(self.rng);
        let mut to = self.world.any_wallet(self.rng);
        while to == from {
            to = self.world.any_wallet(self.rng);
        }
        (from, to)
    }
}

fn signer(pubkey: Pubkey) -> AccountKey {
    AccountKey {
        pubkey,
        is_signer: true,
        is_writable: true,
    }
}

fn writable(pubkey: Pubkey) -> AccountKey {
    AccountKey {
        is_signer: false,
        ..signer(pubkey)
    }
}

fn readonly(pubkey: Pubkey) -> AccountKey {
    AccountKey {
        is_writable: false,
        ..writable(pubkey)
    }
}

fn call(program_id_index: u8, accounts: &[u8], data: Vec<u8>) -> OuterInstruction {
    OuterInstruction {
        instruction: Instruction {
            program_id_index,
            accounts: accounts.to_vec(),
            data,
            stack_height: Some(1),
        },
        inner: Vec::new(),
    }
}

/// What is logged of a call that succeeds.
fn ran(program: &Pubkey, depth: u32, lines: &[&str]) -> Vec<String> {
    let said = lines.iter().map(|line| format!("Program log: {line}"));
    std::iter::once(format!("Program {program} invoke [{depth}]"))
        .chain(said)
        .chain([format!("Program {program} success")])
        .collect()
}
