//! Addresses and instructions of the program, for those who call it.

use crate::{
    ProvenReward, Settlement, accounts, instruction,
    state::{PAGE_LEAVES, Terms},
};
use anchor_lang::{
    InstructionData, ToAccountMetas,
    prelude::{AccountMeta, Pubkey},
    solana_program::instruction::Instruction,
};
use anchor_spl::associated_token::get_associated_token_address_with_program_id;

/// A network with the addresses that follow from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NetworkAddress {
    /// The network.
    pub network: Pubkey,
    /// The mint of STRM.
    pub mint: Pubkey,
    /// The token program of that mint.
    pub token_program: Pubkey,
}

/// The system program.
const SYSTEM: Pubkey = anchor_lang::system_program::ID;

fn derived(seeds: &[&[u8]]) -> Pubkey {
    Pubkey::find_program_address(seeds, &crate::ID).0
}

fn call(accounts: impl ToAccountMetas, data: impl InstructionData) -> Instruction {
    Instruction {
        program_id: crate::ID,
        accounts: accounts.to_account_metas(None),
        data: data.data(),
    }
}

impl NetworkAddress {
    /// The network that somebody makes, or has made, for a mint.
    pub fn new(mint: Pubkey, token_program: Pubkey, creator: &Pubkey) -> Self {
        Self {
            network: derived(&[b"network", mint.as_ref(), creator.as_ref()]),
            mint,
            token_program,
        }
    }

    /// Where stakes lie.
    pub fn stake_vault(&self) -> Pubkey {
        derived(&[b"stakes", self.network.as_ref()])
    }

    /// Where rewards lie that were settled and not claimed.
    pub fn reward_vault(&self) -> Pubkey {
        derived(&[b"rewards", self.network.as_ref()])
    }

    /// Where deposits of a mint lie.
    pub fn vault(&self, mint: &Pubkey) -> Pubkey {
        derived(&[b"vault", self.network.as_ref(), mint.as_ref()])
    }

    /// What is known of a mint for deposits.
    pub fn deposit_mint(&self, mint: &Pubkey) -> Pubkey {
        derived(&[b"mint", self.network.as_ref(), mint.as_ref()])
    }

    /// What was deposited of a mint for a client.
    pub fn deposits(&self, mint: &Pubkey, reference: &[u8; 32]) -> Pubkey {
        derived(&[b"deposits", self.network.as_ref(), mint.as_ref(), reference])
    }

    /// An operator.
    pub fn operator(&self, owner: &Pubkey) -> Pubkey {
        derived(&[b"operator", self.network.as_ref(), owner.as_ref()])
    }

    /// The record of evidence against an operator.
    pub fn evidence(&self, owner: &Pubkey, hash: &[u8; 32]) -> Pubkey {
        derived(&[b"evidence", self.operator(owner).as_ref(), hash])
    }

    /// A batch.
    pub fn batch(&self, number: u64) -> Pubkey {
        derived(&[b"batch", self.network.as_ref(), &number.to_le_bytes()])
    }

    /// A page of claims of a batch.
    pub fn claims(&self, batch: u64, page: u32) -> Pubkey {
        derived(&[b"claims", self.batch(batch).as_ref(), &page.to_le_bytes()])
    }

    /// The associated account of a wallet for STRM.
    pub fn tokens(&self, wallet: &Pubkey) -> Pubkey {
        get_associated_token_address_with_program_id(wallet, &self.mint, &self.token_program)
    }

    /// Makes the network.
    pub fn initialize(&self, creator: Pubkey, terms: Terms) -> Instruction {
        let accounts = accounts::Initialize {
            creator,
            mint: self.mint,
            network: self.network,
            stake_vault: self.stake_vault(),
            reward_vault: self.reward_vault(),
            token_program: self.token_program,
            system_program: SYSTEM,
        };
        call(accounts, instruction::Initialize { terms })
    }

    fn govern(&self, authority: Pubkey) -> accounts::Govern {
        accounts::Govern {
            authority,
            network: self.network,
        }
    }

    /// Changes the terms.
    pub fn update_config(&self, authority: Pubkey, terms: Terms) -> Instruction {
        call(self.govern(authority), instruction::UpdateConfig { terms })
    }

    /// Begins a handover of authority, or calls it off.
    pub fn propose_authority(&self, authority: Pubkey, proposed: Option<Pubkey>) -> Instruction {
        call(
            self.govern(authority),
            instruction::ProposeAuthority { proposed },
        )
    }

    /// Ends a handover of authority.
    pub fn accept_authority(&self, proposed: Pubkey) -> Instruction {
        let accounts = accounts::AcceptAuthority {
            proposed,
            network: self.network,
        };
        call(accounts, instruction::AcceptAuthority {})
    }

    /// Stops all movements of money but `withdraw`, or lets them go on.
    pub fn pause(&self, authority: Pubkey, paused: bool) -> Instruction {
        call(self.govern(authority), instruction::Pause { paused })
    }

    /// Registers an operator.
    pub fn register_operator(&self, payer: Pubkey, owner: Pubkey) -> Instruction {
        let accounts = accounts::RegisterOperator {
            payer,
            owner,
            network: self.network,
            operator: self.operator(&owner),
            system_program: SYSTEM,
        };
        call(accounts, instruction::RegisterOperator {})
    }

    fn move_stake(&self, owner: Pubkey) -> accounts::MoveStake {
        accounts::MoveStake {
            owner,
            network: self.network,
            operator: self.operator(&owner),
            mint: self.mint,
            stake_vault: self.stake_vault(),
            owner_tokens: self.tokens(&owner),
            token_program: self.token_program,
        }
    }

    /// Adds to a stake, from the owner's associated account.
    pub fn stake(&self, owner: Pubkey, amount: u64) -> Instruction {
        call(self.move_stake(owner), instruction::Stake { amount })
    }

    /// Asks for stake back.
    pub fn request_unstake(&self, owner: Pubkey, amount: u64) -> Instruction {
        let accounts = accounts::RequestUnstake {
            owner,
            network: self.network,
            operator: self.operator(&owner),
        };
        call(accounts, instruction::RequestUnstake { amount })
    }

    /// Pays out stake whose cooldown is over.
    pub fn withdraw(&self, owner: Pubkey) -> Instruction {
        call(self.move_stake(owner), instruction::Withdraw {})
    }

    /// Takes stake of an operator; it goes to the associated account of the treasury.
    pub fn slash(
        &self,
        slasher: Pubkey,
        owner: &Pubkey,
        treasury: &Pubkey,
        amount: u64,
        evidence_hash: [u8; 32],
    ) -> Instruction {
        let accounts = accounts::Slash {
            slasher,
            network: self.network,
            operator: self.operator(owner),
            evidence: self.evidence(owner, &evidence_hash),
            mint: self.mint,
            stake_vault: self.stake_vault(),
            treasury_tokens: self.tokens(treasury),
            token_program: self.token_program,
            system_program: SYSTEM,
        };
        let data = instruction::Slash {
            amount,
            evidence_hash,
        };
        call(accounts, data)
    }

    /// Allows deposits of a mint: so many base units of STRM for so many of it.
    pub fn allow_mint(
        &self,
        authority: Pubkey,
        mint: Pubkey,
        token_program: Pubkey,
        (numerator, denominator): (u64, u64),
        enabled: bool,
    ) -> Instruction {
        let accounts = accounts::AllowMint {
            authority,
            network: self.network,
            mint,
            deposit_mint: self.deposit_mint(&mint),
            vault: self.vault(&mint),
            token_program,
            system_program: SYSTEM,
        };
        let data = instruction::AllowMint {
            numerator,
            denominator,
            enabled,
        };
        call(accounts, data)
    }

    /// Deposits tokens of a mint, from the owner's associated account.
    pub fn deposit(
        &self,
        owner: Pubkey,
        mint: Pubkey,
        token_program: Pubkey,
        amount: u64,
        reference: [u8; 32],
    ) -> Instruction {
        let accounts = accounts::Deposit {
            owner,
            network: self.network,
            mint,
            deposit_mint: self.deposit_mint(&mint),
            vault: self.vault(&mint),
            owner_tokens: get_associated_token_address_with_program_id(
                &owner,
                &mint,
                &token_program,
            ),
            deposits: self.deposits(&mint, &reference),
            token_program,
            system_program: SYSTEM,
        };
        call(accounts, instruction::Deposit { amount, reference })
    }

    /// Gives tokens of a mint back to an account, if so many were given back before.
    pub fn refund(
        &self,
        authority: Pubkey,
        (mint, token_program): (Pubkey, Pubkey),
        reference: &[u8; 32],
        to: Pubkey,
        amount: u64,
        refunded_before: u64,
    ) -> Instruction {
        let accounts = accounts::Refund {
            authority,
            network: self.network,
            mint,
            vault: self.vault(&mint),
            deposits: self.deposits(&mint, reference),
            to,
            token_program,
        };
        let data = instruction::Refund {
            amount,
            refunded_before,
        };
        call(accounts, data)
    }

    /// Moves deposits of a mint other than STRM to the treasury's associated account.
    pub fn collect(
        &self,
        authority: Pubkey,
        mint: Pubkey,
        token_program: Pubkey,
        treasury: &Pubkey,
        amount: u64,
    ) -> Instruction {
        let accounts = accounts::Collect {
            authority,
            network: self.network,
            mint,
            vault: self.vault(&mint),
            treasury_tokens: get_associated_token_address_with_program_id(
                treasury,
                &mint,
                &token_program,
            ),
            token_program,
        };
        call(accounts, instruction::Collect { amount })
    }

    /// Settles a batch.
    pub fn settle_batch(
        &self,
        settler: Pubkey,
        number: u64,
        settlement: Settlement,
    ) -> Instruction {
        let accounts = accounts::SettleBatch {
            settler,
            network: self.network,
            batch: self.batch(number),
            mint: self.mint,
            vault: self.vault(&self.mint),
            reward_vault: self.reward_vault(),
            token_program: self.token_program,
            system_program: SYSTEM,
        };
        let data = instruction::SettleBatch { number, settlement };
        call(accounts, data)
    }

    /// Pays rewards of a batch, which are on one page, to the associated accounts of their
    /// recipients, which exist. One page is [`PAGE_LEAVES`] leaves.
    pub fn claim_many(
        &self,
        payer: Pubkey,
        batch: u64,
        rewards: Vec<(Pubkey, ProvenReward)>,
    ) -> Instruction {
        let page = rewards
            .first()
            .map_or(0, |(_, reward)| reward.index / PAGE_LEAVES);
        let accounts = accounts::ClaimRewards {
            payer,
            network: self.network,
            batch: self.batch(batch),
            claims: self.claims(batch, page),
            mint: self.mint,
            reward_vault: self.reward_vault(),
            token_program: self.token_program,
            system_program: SYSTEM,
        };
        let (recipients, claims): (Vec<_>, Vec<_>) = rewards.into_iter().unzip();
        let mut instruction = call(accounts, instruction::ClaimMany { page, claims });
        let tokens = recipients
            .iter()
            .map(|recipient| AccountMeta::new(self.tokens(recipient), false));
        instruction.accounts.extend(tokens);
        instruction
    }

    /// Moves what nobody claimed of a batch to the treasury's associated account.
    pub fn sweep(&self, batch: u64, treasury: &Pubkey) -> Instruction {
        let accounts = accounts::Sweep {
            network: self.network,
            batch: self.batch(batch),
            mint: self.mint,
            reward_vault: self.reward_vault(),
            treasury_tokens: self.tokens(treasury),
            token_program: self.token_program,
        };
        call(accounts, instruction::Sweep {})
    }

    /// Gives the rent of a page of a swept batch back to who has paid it.
    pub fn close_page(&self, batch: u64, page: u32, payer: Pubkey) -> Instruction {
        let accounts = accounts::ClosePage {
            batch: self.batch(batch),
            claims: self.claims(batch, page),
            payer,
        };
        call(accounts, instruction::ClosePage { page })
    }
}
