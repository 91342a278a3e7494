//! Attacks: each takes an instruction that works, changes one thing, and must be refused.

use crate::{
    bank::{Bank, Refusal, STRM},
    batches::{claim, settle, settled, settlement},
    tree::Tree,
};
use anchor_lang::{
    error::ErrorCode,
    prelude::{AccountMeta, Pubkey},
    solana_program::instruction::Instruction,
};
use anchor_spl::token_2022::spl_token_2022;
use solana_keypair::Keypair;
use solana_signer::Signer;
use strm::{ProvenReward, client::NetworkAddress, error::StrmError, merkle};

/// The instruction with another account in the place of one.
fn with(mut instruction: Instruction, account: Pubkey, other: Pubkey) -> Instruction {
    let mut changed = 0;
    for meta in &mut instruction.accounts {
        if meta.pubkey == account {
            meta.pubkey = other;
            changed += 1;
        }
    }
    assert!(changed > 0, "the instruction has no such account");
    instruction
}

/// The instruction without somebody's signature.
fn unsigned(mut instruction: Instruction, who: Pubkey) -> Instruction {
    for meta in &mut instruction.accounts {
        if meta.pubkey == who {
            meta.is_signer = false;
        }
    }
    instruction
}

/// A second network, of somebody else, with the same mint.
async fn other_network(bank: &mut Bank) -> (NetworkAddress, Keypair) {
    let other = bank.person(100 * STRM).await;
    let (mint, program) = (bank.address.mint, bank.address.token_program);
    let address = NetworkAddress::new(mint, program, &other.pubkey());
    let mut terms = bank.terms.clone();
    terms.settler = other.pubkey();
    terms.slasher = other.pubkey();
    let make = address.initialize(other.pubkey(), terms);
    let allow = address.allow_mint(other.pubkey(), mint, program, (1, 1), true);
    let deposit = address.deposit(other.pubkey(), mint, program, 100 * STRM, [1; 32]);
    bank.send(&[make, allow, deposit], &[&other]).await.unwrap();
    (address, other)
}

#[tokio::test]
async fn only_who_may_does() {
    let mut bank = Bank::new().await;
    let (address, stranger) = (bank.address, bank.person(100 * STRM).await);
    let (tree, wallets) = settled(&mut bank, 2).await;
    let operator = bank.person(STRM).await;
    let payer = bank.context.payer.pubkey();
    let register = address.register_operator(payer, operator.pubkey());
    let stake = address.stake(operator.pubkey(), STRM);
    bank.send(&[register, stake], &[&operator]).await.unwrap();
    let (who, treasury) = (stranger.pubkey(), bank.treasury.pubkey());
    let (mint, program) = (address.mint, address.token_program);
    let has_one = || Refusal::from(ErrorCode::ConstraintHasOne);
    for (instruction, error) in [
        (address.update_config(who, bank.terms.clone()), has_one()),
        (address.propose_authority(who, Some(who)), has_one()),
        (address.pause(who, true), has_one()),
        (
            address.allow_mint(who, mint, program, (1, 1), true),
            has_one(),
        ),
        (
            address.refund(who, (mint, program), &[7; 32], address.tokens(&who), 1, 0),
            has_one(),
        ),
        (address.collect(who, mint, program, &treasury, 1), has_one()),
        (
            address.slash(who, &operator.pubkey(), &treasury, 1, [1; 32]),
            has_one(),
        ),
        (
            address.settle_batch(who, 2, settlement(&tree, 11, 12)),
            has_one(),
        ),
    ] {
        assert_eq!(bank.send(&[instruction], &[&stranger]).await, Err(error));
    }
    // In the name of who may, without the signature.
    let (authority, settler, slasher) = (
        bank.authority.pubkey(),
        bank.settler.pubkey(),
        bank.slasher.pubkey(),
    );
    let owner = operator.pubkey();
    for (instruction, signer) in [
        (
            address.update_config(authority, bank.terms.clone()),
            authority,
        ),
        (address.propose_authority(authority, Some(who)), authority),
        (address.accept_authority(who), who),
        (address.pause(authority, true), authority),
        (
            address.allow_mint(authority, mint, program, (1, 1), true),
            authority,
        ),
        (
            address.refund(
                authority,
                (mint, program),
                &[7; 32],
                address.tokens(&who),
                1,
                0,
            ),
            authority,
        ),
        (
            address.collect(authority, mint, program, &treasury, 1),
            authority,
        ),
        (
            address.slash(slasher, &owner, &treasury, 1, [1; 32]),
            slasher,
        ),
        (
            address.settle_batch(settler, 2, settlement(&tree, 11, 12)),
            settler,
        ),
        (address.register_operator(payer, who), who),
        (address.stake(owner, 1), owner),
        (address.request_unstake(owner, 1), owner),
        (address.withdraw(owner), owner),
        (address.deposit(owner, mint, program, 1, [1; 32]), owner),
        (address.claim_many(settler, 1, vec![tree.proof(0)]), settler),
    ] {
        let refused = bank.send(&[unsigned(instruction, signer)], &[]).await;
        assert_eq!(refused, Err(ErrorCode::AccountNotSigner.into()));
    }
    assert_eq!(bank.balance(address.tokens(&wallets[0])).await, 0);
}

#[tokio::test]
async fn vaults_mints_and_records_cannot_be_substituted() {
    let mut bank = Bank::new().await;
    let (address, operator) = (bank.address, bank.person(100 * STRM).await);
    let owner = operator.pubkey();
    let payer = bank.context.payer.pubkey();
    let register = address.register_operator(payer, owner);
    let stake = address.stake(owner, 50 * STRM);
    bank.send(&[register, stake], &[&operator]).await.unwrap();
    let (tree, _) = settled(&mut bank, 2).await;
    let (other, thief) = other_network(&mut bank).await;
    let register = other.register_operator(payer, owner);
    bank.send(&[register], &[&operator]).await.unwrap();
    let forged = bank.mint(address.token_program, &[]).await;
    let own = bank
        .tokens_of(&owner, forged, address.token_program, 100 * STRM)
        .await;
    let seeds = || Refusal::from(ErrorCode::ConstraintSeeds);
    let treasury = bank.treasury.pubkey();
    let slasher = bank.slasher.insecure_clone();
    let authority = bank.authority.insecure_clone();
    let (mint, program) = (address.mint, address.token_program);
    let vault = address.vault(&mint);
    let slash = address.slash(slasher.pubkey(), &owner, &treasury, STRM, [1; 32]);
    let sweep = address.sweep(1, &treasury);
    let claim = address.claim_many(payer, 1, vec![tree.proof(0)]);
    let settle = address.settle_batch(bank.settler.pubkey(), 2, settlement(&tree, 11, 12));
    let settler = bank.settler.insecure_clone();
    let deposit = address.deposit(owner, mint, program, 1, [1; 32]);
    let collect = address.collect(authority.pubkey(), mint, program, &treasury, 1);
    let refund = address.refund(
        authority.pubkey(),
        (mint, program),
        &[7; 32],
        address.tokens(&owner),
        1,
        0,
    );
    let thiefs = address.tokens(&thief.pubkey());
    for (case, (instruction, signer, error)) in [
        // Vaults: another one of the network, another network's, and the thief's own account.
        (
            with(address.stake(owner, 1), address.stake_vault(), vault),
            &operator,
            seeds(),
        ),
        (
            with(
                address.stake(owner, 1),
                address.stake_vault(),
                other.stake_vault(),
            ),
            &operator,
            seeds(),
        ),
        (
            with(address.stake(owner, 1), address.stake_vault(), thiefs),
            &operator,
            seeds(),
        ),
        (
            with(
                address.withdraw(owner),
                address.stake_vault(),
                address.reward_vault(),
            ),
            &operator,
            seeds(),
        ),
        (
            with(slash.clone(), address.stake_vault(), vault),
            &slasher,
            seeds(),
        ),
        (
            with(sweep.clone(), address.reward_vault(), vault),
            &operator,
            seeds(),
        ),
        (
            with(claim.clone(), address.reward_vault(), vault),
            &operator,
            seeds(),
        ),
        (
            with(claim.clone(), address.reward_vault(), address.stake_vault()),
            &operator,
            seeds(),
        ),
        (
            with(settle.clone(), vault, address.stake_vault()),
            &settler,
            seeds(),
        ),
        (
            with(settle.clone(), vault, other.vault(&mint)),
            &settler,
            seeds(),
        ),
        (
            with(settle.clone(), address.reward_vault(), thiefs),
            &settler,
            seeds(),
        ),
        (with(deposit.clone(), vault, thiefs), &operator, seeds()),
        (
            with(refund.clone(), vault, address.stake_vault()),
            &authority,
            seeds(),
        ),
        (
            with(collect.clone(), vault, address.reward_vault()),
            &authority,
            seeds(),
        ),
        // Mints: worthless tokens for stake and deposits.
        (
            with(
                with(address.stake(owner, 1), mint, forged),
                address.tokens(&owner),
                own,
            ),
            &operator,
            ErrorCode::ConstraintHasOne.into(),
        ),
        (
            with(claim.clone(), mint, forged),
            &operator,
            ErrorCode::ConstraintHasOne.into(),
        ),
        (
            with(sweep.clone(), mint, forged),
            &operator,
            ErrorCode::ConstraintHasOne.into(),
        ),
        (
            with(slash.clone(), mint, forged),
            &slasher,
            ErrorCode::ConstraintHasOne.into(),
        ),
        (
            with(settle.clone(), mint, forged),
            &settler,
            ErrorCode::ConstraintHasOne.into(),
        ),
        (
            with(address.stake(owner, 1), address.tokens(&owner), own),
            &operator,
            ErrorCode::ConstraintTokenMint.into(),
        ),
        (
            with(
                with(deposit.clone(), mint, forged),
                address.tokens(&owner),
                own,
            ),
            &operator,
            seeds(),
        ),
        // Other people's tokens.
        (
            with(address.stake(owner, 1), address.tokens(&owner), thiefs),
            &operator,
            ErrorCode::ConstraintTokenOwner.into(),
        ),
        (
            with(slash.clone(), address.tokens(&treasury), thiefs),
            &slasher,
            ErrorCode::ConstraintTokenOwner.into(),
        ),
        (
            with(sweep.clone(), address.tokens(&treasury), thiefs),
            &operator,
            ErrorCode::ConstraintTokenOwner.into(),
        ),
        (
            with(collect.clone(), address.tokens(&treasury), thiefs),
            &authority,
            ErrorCode::ConstraintTokenOwner.into(),
        ),
        // Records: another operator's, another network's.
        (
            with(
                address.request_unstake(owner, 1),
                address.operator(&owner),
                other.operator(&owner),
            ),
            &operator,
            seeds(),
        ),
        (
            with(
                slash.clone(),
                address.operator(&owner),
                other.operator(&owner),
            ),
            &slasher,
            seeds(),
        ),
        (
            with(claim.clone(), address.network, other.network),
            &operator,
            seeds(),
        ),
        (
            with(sweep.clone(), address.network, other.network),
            &operator,
            seeds(),
        ),
        (
            with(claim.clone(), address.claims(1, 0), address.claims(1, 1)),
            &operator,
            seeds(),
        ),
        (
            with(settle.clone(), address.batch(2), address.batch(3)),
            &settler,
            seeds(),
        ),
        (
            with(
                slash.clone(),
                address.evidence(&owner, &[1; 32]),
                address.evidence(&owner, &[2; 32]),
            ),
            &slasher,
            seeds(),
        ),
        // What is no account of the program at all.
        (
            with(address.stake(owner, 1), address.network, thiefs),
            &operator,
            ErrorCode::AccountOwnedByWrongProgram.into(),
        ),
        (
            with(claim.clone(), address.batch(1), address.network),
            &operator,
            ErrorCode::AccountDiscriminatorMismatch.into(),
        ),
        (
            with(address.stake(owner, 1), address.token_program, strm::ID),
            &operator,
            ErrorCode::InvalidProgramId.into(),
        ),
        (
            with(
                address.stake(owner, 1),
                address.token_program,
                anchor_spl::token_2022::ID,
            ),
            &operator,
            Refusal::Other(String::new()),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let refused = bank.send(&[instruction], &[signer]).await;
        match (refused, error) {
            (Err(_), Refusal::Other(_)) => {}
            (refused, error) => assert_eq!(refused, Err(error), "case {case}"),
        }
    }
    // The whole of a thief's network works, and has nothing to do with this one.
    let before = bank.balance(address.stake_vault()).await;
    let slash = other.slash(thief.pubkey(), &owner, &treasury, 1, [1; 32]);
    let refused = bank.send(&[slash], &[&thief]).await;
    assert_eq!(refused, Err(StrmError::SlashTooLarge.into()));
    assert_eq!(bank.balance(address.stake_vault()).await, before);
}

#[tokio::test]
async fn rewards_go_to_their_recipients_only() {
    let mut bank = Bank::new().await;
    let address = bank.address;
    let (tree, wallets) = settled(&mut bank, 4).await;
    let thief = bank.person(0).await;
    let payer = bank.context.payer.pubkey();
    let (who, reward) = tree.proof(2);
    let claims = async |bank: &mut Bank, who: Pubkey, reward: ProvenReward| {
        let claim = address.claim_many(payer, 1, vec![(who, reward)]);
        bank.send(&[claim], &[]).await
    };
    let proof = || Err(StrmError::Proof.into());
    assert_eq!(
        claims(&mut bank, thief.pubkey(), reward.clone()).await,
        proof()
    );
    let more = ProvenReward {
        amount: reward.amount + 1,
        ..reward.clone()
    };
    assert_eq!(claims(&mut bank, who, more).await, proof());
    for index in [0, 1, 3] {
        let moved = ProvenReward {
            index,
            ..reward.clone()
        };
        assert_eq!(claims(&mut bank, who, moved).await, proof());
    }
    for index in [4, 8_192, u32::MAX] {
        let beyond = ProvenReward {
            index,
            ..reward.clone()
        };
        let refused = claims(&mut bank, who, beyond).await;
        assert_eq!(refused, Err(StrmError::NoSuchLeaf.into()));
    }
    // The proofs of another batch, and of another network, with the same rewards.
    let rewards = wallets.iter().zip(1..).map(|(who, n)| (*who, n * STRM));
    let rewards: Vec<_> = rewards.collect();
    settle(
        &mut bank,
        2,
        settlement(&Tree::new(&address.network, 2, rewards.clone()), 11, 12),
    )
    .await
    .unwrap();
    assert_eq!(claim(&mut bank, 2, &tree, &[2]).await, proof());
    let elsewhere = Tree::new(&Pubkey::new_unique(), 1, rewards);
    assert_eq!(claim(&mut bank, 1, &elsewhere, &[2]).await, proof());

    // A token account of the recipient's that somebody else has made.
    let account = Keypair::new();
    let program = address.token_program;
    let make = [
        solana_system_interface::instruction::create_account(
            &payer,
            &account.pubkey(),
            10_000_000,
            165,
            &program,
        ),
        spl_token_2022::instruction::initialize_account3(
            &program,
            &account.pubkey(),
            &address.mint,
            &who,
        )
        .unwrap(),
    ];
    bank.send(&make, &[&account]).await.unwrap();
    let mut elsewhere = address.claim_many(payer, 1, vec![(who, reward.clone())]);
    elsewhere.accounts.pop();
    elsewhere
        .accounts
        .push(AccountMeta::new(account.pubkey(), false));
    let refused = bank.send(&[elsewhere], &[]).await;
    assert_eq!(refused, Err(StrmError::NotAssociated.into()));
    // As many accounts as claims, of which each is a token account.
    let mut none = address.claim_many(payer, 1, vec![(who, reward.clone())]);
    none.accounts.pop();
    let refused = bank.send(&[none.clone()], &[]).await;
    assert_eq!(refused, Err(StrmError::ClaimAccounts.into()));
    none.accounts.push(AccountMeta::new(who, false));
    assert!(bank.send(&[none], &[]).await.is_err());
    let nothing = address.claim_many(payer, 1, vec![]);
    let refused = bank.send(&[nothing], &[]).await;
    assert_eq!(refused, Err(StrmError::ClaimAccounts.into()));
    // Twice in one transaction, in one instruction or in two.
    let twice = address.claim_many(payer, 1, vec![(who, reward.clone()), (who, reward.clone())]);
    let refused = bank.send(&[twice], &[]).await;
    assert_eq!(refused, Err(StrmError::AlreadyClaimed.into()));
    let once = address.claim_many(payer, 1, vec![(who, reward.clone())]);
    let refused = bank.send(&[once.clone(), once], &[]).await;
    assert_eq!(refused, Err(StrmError::AlreadyClaimed.into()));
    assert_eq!(bank.balance(address.tokens(&who)).await, 0);
    claims(&mut bank, who, reward).await.unwrap();
}

#[tokio::test]
async fn an_inner_node_is_no_leaf() {
    let mut bank = Bank::new().await;
    let address = bank.address;
    let (tree, _) = settled(&mut bank, 4).await;
    // What an attacker would have to find: a reward whose leaf is an inner node. The bytes that are
    // hashed for one begin otherwise, so that none is; without the proof's lowest step the rest of
    // it does not fit either.
    let (who, reward) = tree.proof(0);
    let short = ProvenReward {
        proof: reward.proof[1..].to_vec(),
        ..reward
    };
    let payer = bank.context.payer.pubkey();
    let claim = address.claim_many(payer, 1, vec![(who, short.clone())]);
    let refused = bank.send(&[claim], &[]).await;
    assert_eq!(refused, Err(StrmError::Proof.into()));
    assert_eq!(merkle::root(tree.node(1, 0), 0, 4, &short.proof), None);
    let pair = merkle::root(tree.node(1, 0), 0, 2, &short.proof);
    assert_eq!(pair, Some(tree.root()), "only the number of leaves tells");
}

#[tokio::test]
async fn accounts_that_others_have_paid_for_before_hold_nothing_up() {
    let mut bank = Bank::new().await;
    let address = bank.address;
    for account in [
        address.batch(1),
        address.claims(1, 0),
        address.operator(&bank.treasury.pubkey()),
    ] {
        bank.give_sol(&account).await;
    }
    let (tree, _) = settled(&mut bank, 2).await;
    claim(&mut bank, 1, &tree, &[0, 1]).await.unwrap();
    let owner = bank.treasury.insecure_clone();
    let register = address.register_operator(bank.context.payer.pubkey(), owner.pubkey());
    bank.send(&[register], &[&owner]).await.unwrap();
}
