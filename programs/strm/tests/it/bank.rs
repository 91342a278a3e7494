//! A bank with the program, a network, and people with tokens.

use anchor_lang::{
    AccountDeserialize,
    prelude::{AccountInfo, Pubkey},
    solana_program::{entrypoint::ProgramResult, instruction::Instruction},
};
use anchor_spl::{
    associated_token::spl_associated_token_account::instruction::create_associated_token_account,
    token_2022::spl_token_2022::{
        self,
        extension::{ExtensionType, StateWithExtensions},
        state::{Account, Mint},
    },
};
use solana_keypair::Keypair;
use solana_program_test::{BanksClientError, ProgramTest, ProgramTestContext, processor};
use solana_signer::Signer;
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;
use strm::{client::NetworkAddress, error::StrmError, state::Terms};

/// One STRM in base units.
pub const STRM: u64 = 1_000_000_000;

pub struct Bank {
    pub context: ProgramTestContext,
    pub address: NetworkAddress,
    pub terms: Terms,
    pub authority: Keypair,
    pub settler: Keypair,
    pub slasher: Keypair,
    pub treasury: Keypair,
}

/// How a transaction was refused: the number of the program's own error, or any other error.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    Code(u32),
    Other(String),
}

impl From<StrmError> for Refusal {
    fn from(error: StrmError) -> Self {
        Self::Code(error.into())
    }
}

impl From<anchor_lang::error::ErrorCode> for Refusal {
    fn from(error: anchor_lang::error::ErrorCode) -> Self {
        Self::Code(error.into())
    }
}

/// Runs the program. Anchor wants all that it gets to live as long as the accounts' own contents, so
/// the rest is copied, and left to the end of the test.
fn process(id: &Pubkey, accounts: &[AccountInfo<'_>], data: &[u8]) -> ProgramResult {
    let id: &Pubkey = Box::leak(Box::new(*id));
    let data: &[u8] = Box::leak(data.to_vec().into_boxed_slice());
    strm::entry(id, Box::leak(Box::new(accounts.to_vec())), data)
}

fn program() -> ProgramTest {
    let mut program = ProgramTest::new("strm", strm::ID, processor!(process));
    program.prefer_bpf(false);
    program
}

impl Bank {
    /// A network whose mint is of a token program, with a million STRM in the deposits.
    pub async fn of(token_program: Pubkey) -> Self {
        let context = program().start_with_context().await;
        let authority = Keypair::new();
        let mut bank = Self {
            address: NetworkAddress::new(Pubkey::default(), token_program, &authority.pubkey()),
            terms: Terms {
                settler: Pubkey::default(),
                slasher: Pubkey::default(),
                treasury: Pubkey::default(),
                data: Pubkey::new_unique(),
                governance: Pubkey::new_unique(),
                shares: [5_000, 2_000, 2_000, 1_000],
                cooldown_s: 7 * 86_400,
                minimum_stake: 10_000 * STRM,
                batch_interval_s: 300,
                max_slash: 1_000,
            },
            context,
            authority,
            settler: Keypair::new(),
            slasher: Keypair::new(),
            treasury: Keypair::new(),
        };
        let people = [
            &bank.authority,
            &bank.settler,
            &bank.slasher,
            &bank.treasury,
        ];
        let people = people.map(|one| one.pubkey());
        for one in &people {
            bank.give_sol(one).await;
        }
        let mint = bank.mint(token_program, &[]).await;
        let creator = bank.authority.pubkey();
        bank.address = NetworkAddress::new(mint, token_program, &creator);
        bank.terms.settler = people[1];
        bank.terms.slasher = people[2];
        bank.terms.treasury = people[3];
        let initialize = bank.address.initialize(creator, bank.terms.clone());
        bank.by_authority(&[initialize]).await.unwrap();
        let allow = bank
            .address
            .allow_mint(creator, mint, token_program, (1, 1), true);
        bank.by_authority(&[allow]).await.unwrap();
        bank.tokens_for(&bank.treasury.pubkey(), 0).await;
        let client = bank.person(1_000_000 * STRM).await;
        let deposit = bank.address.deposit(
            client.pubkey(),
            mint,
            token_program,
            1_000_000 * STRM,
            [7; 32],
        );
        bank.send(&[deposit], &[&client]).await.unwrap();
        bank
    }

    pub async fn new() -> Self {
        Self::of(anchor_spl::token::ID).await
    }

    /// Sends instructions, paid by the bank's own payer, and signed by those of the signers that
    /// they name.
    pub async fn send(
        &mut self,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<(), Refusal> {
        let mut done = self.send_once(instructions, signers).await;
        for _ in 0..10 {
            match &done {
                // A blockhash holds for about a second here; nothing was done then.
                Err(Refusal::Other(said)) if said.contains("BlockhashNotFound") => {
                    done = self.send_once(instructions, signers).await;
                }
                _ => break,
            }
        }
        done
    }

    async fn send_once(
        &mut self,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<(), Refusal> {
        let blockhash = self.context.get_new_latest_blockhash().await.unwrap();
        let payer = self.context.payer.insecure_clone();
        let mut all = vec![&payer];
        let named = |signer: &&&Keypair| {
            let mut metas = instructions.iter().flat_map(|one| &one.accounts);
            metas.any(|meta| meta.is_signer && meta.pubkey == signer.pubkey())
        };
        all.extend(signers.iter().filter(named));
        let transaction = Transaction::new_signed_with_payer(
            instructions,
            Some(&payer.pubkey()),
            &all,
            blockhash,
        );
        let done = self
            .context
            .banks_client
            .process_transaction(transaction)
            .await;
        done.map_err(refusal)
    }

    pub async fn by_authority(&mut self, instructions: &[Instruction]) -> Result<(), Refusal> {
        let authority = self.authority.insecure_clone();
        self.send(instructions, &[&authority]).await
    }

    /// Somebody with SOL and STRM.
    pub async fn person(&mut self, amount: u64) -> Keypair {
        let person = Keypair::new();
        self.give_sol(&person.pubkey()).await;
        self.tokens_for(&person.pubkey(), amount).await;
        person
    }

    pub async fn give_sol(&mut self, to: &Pubkey) {
        let from = self.context.payer.pubkey();
        let transfer =
            solana_system_interface::instruction::transfer(&from, to, 10 * 1_000_000_000);
        self.send(&[transfer], &[]).await.unwrap();
    }

    /// A mint with extensions, whose authority is the payer of the bank.
    pub async fn mint(
        &mut self,
        program: Pubkey,
        extensions: &[(ExtensionType, Instruction)],
    ) -> Pubkey {
        let mint = Keypair::new();
        self.mint_at(&mint, program, extensions).await;
        mint.pubkey()
    }

    pub async fn mint_at(
        &mut self,
        mint: &Keypair,
        program: Pubkey,
        extensions: &[(ExtensionType, Instruction)],
    ) {
        let kinds: Vec<_> = extensions.iter().map(|(kind, _)| *kind).collect();
        let space = ExtensionType::try_calculate_account_len::<Mint>(&kinds).unwrap();
        let payer = self.context.payer.pubkey();
        let mut instructions = vec![solana_system_interface::instruction::create_account(
            &payer,
            &mint.pubkey(),
            1_000_000_000,
            space as u64,
            &program,
        )];
        instructions.extend(
            extensions
                .iter()
                .map(|(_, instruction)| instruction.clone()),
        );
        instructions.push(
            spl_token_2022::instruction::initialize_mint2(
                &program,
                &mint.pubkey(),
                &payer,
                None,
                9,
            )
            .unwrap(),
        );
        self.send(&instructions, &[mint]).await.unwrap();
    }

    /// The associated account of a wallet for STRM, and so much in it.
    pub async fn tokens_for(&mut self, wallet: &Pubkey, amount: u64) -> Pubkey {
        let NetworkAddress {
            mint,
            token_program,
            ..
        } = self.address;
        self.tokens_of(wallet, mint, token_program, amount).await
    }

    pub async fn tokens_of(
        &mut self,
        wallet: &Pubkey,
        mint: Pubkey,
        program: Pubkey,
        amount: u64,
    ) -> Pubkey {
        let payer = self.context.payer.pubkey();
        let account = anchor_spl::associated_token::get_associated_token_address_with_program_id(
            wallet, &mint, &program,
        );
        let mut instructions = vec![create_associated_token_account(
            &payer, wallet, &mint, &program,
        )];
        if amount > 0 {
            instructions.push(
                spl_token_2022::instruction::mint_to(
                    &program,
                    &mint,
                    &account,
                    &payer,
                    &[],
                    amount,
                )
                .unwrap(),
            );
        }
        self.send(&instructions, &[]).await.unwrap();
        account
    }

    /// What is in a token account.
    pub async fn balance(&mut self, account: Pubkey) -> u64 {
        let account = self.context.banks_client.get_account(account).await;
        let data = account.unwrap().unwrap().data;
        StateWithExtensions::<Account>::unpack(&data)
            .unwrap()
            .base
            .amount
    }

    /// An account of the program.
    pub async fn read<T: AccountDeserialize>(&mut self, address: Pubkey) -> T {
        let account = self.context.banks_client.get_account(address).await;
        let data = account.unwrap().unwrap().data;
        T::try_deserialize(&mut data.as_slice()).unwrap()
    }

    pub async fn exists(&mut self, address: Pubkey) -> bool {
        let account = self.context.banks_client.get_account(address).await;
        account.unwrap().is_some()
    }

    /// Lets time go by.
    pub async fn wait(&mut self, seconds: i64) {
        let mut clock: anchor_lang::prelude::Clock =
            self.context.banks_client.get_sysvar().await.unwrap();
        clock.unix_timestamp += seconds;
        self.context.set_sysvar(&clock);
    }
}

fn refusal(error: BanksClientError) -> Refusal {
    let error = match error {
        BanksClientError::TransactionError(error)
        | BanksClientError::SimulationError { err: error, .. } => error,
        other => return Refusal::Other(other.to_string()),
    };
    code(&error).map_or_else(|| Refusal::Other(format!("{error:?}")), Refusal::Code)
}

/// The number of a program's error; that of Anchor's or the program's own.
fn code(error: &TransactionError) -> Option<u32> {
    match format!("{error:?}").split_once("Custom(") {
        Some((_, rest)) => rest.split(')').next()?.parse().ok(),
        None => None,
    }
}
