//! Deposits, refunds, and what becomes of other tokens.

use crate::bank::{Bank, STRM};
use anchor_lang::prelude::Pubkey;
use solana_signer::Signer;
use strm::{error::StrmError, state::Deposits};

const CLIENT: [u8; 32] = [3; 32];

#[tokio::test]
async fn a_deposit_is_worth_what_the_rate_says() {
    let mut bank = Bank::new().await;
    let (address, authority) = (bank.address, bank.authority.pubkey());
    let program = anchor_spl::token_2022::ID;
    // Like USDC, with two thirds of an STRM for one.
    let usdc = bank.mint(program, &[]).await;
    let client = bank.person(0).await;
    let tokens = bank.tokens_of(&client.pubkey(), usdc, program, 1_000).await;
    let deposit = |amount| [address.deposit(client.pubkey(), usdc, program, amount, CLIENT)];
    assert!(bank.send(&deposit(1), &[&client]).await.is_err());
    let allow = |rate, enabled| [address.allow_mint(authority, usdc, program, rate, enabled)];
    for rate in [(0, 1), (1, 0)] {
        let refused = bank.by_authority(&allow(rate, true)).await;
        assert_eq!(refused, Err(StrmError::Rate.into()));
    }
    bank.by_authority(&allow((2, 3), true)).await.unwrap();
    bank.send(&deposit(100), &[&client]).await.unwrap();
    bank.send(&deposit(101), &[&client]).await.unwrap();
    let record: Deposits = bank.read(address.deposits(&usdc, &CLIENT)).await;
    assert_eq!(record.reference, CLIENT);
    assert_eq!((record.count, record.deposited), (2, 201));
    // Each rounded down.
    assert_eq!(record.credited, 66 + 67);
    assert_eq!(bank.balance(tokens).await, 799);
    let refused = bank.send(&deposit(1), &[&client]).await;
    assert_eq!(refused, Err(StrmError::ZeroAmount.into()));
    bank.by_authority(&allow((u64::MAX, 1), true))
        .await
        .unwrap();
    let refused = bank.send(&deposit(2), &[&client]).await;
    assert_eq!(refused, Err(StrmError::Overflow.into()));
    bank.by_authority(&allow((2, 3), false)).await.unwrap();
    let refused = bank.send(&deposit(3), &[&client]).await;
    assert_eq!(refused, Err(StrmError::MintNotAllowed.into()));
    // STRM is worth STRM.
    let own = address.allow_mint(authority, address.mint, address.token_program, (2, 1), true);
    let refused = bank.by_authority(&[own]).await;
    assert_eq!(refused, Err(StrmError::Rate.into()));
}

#[tokio::test]
async fn refunds_are_made_once_and_of_no_more_than_was_deposited() {
    let mut bank = Bank::new().await;
    let (address, authority) = (bank.address, bank.authority.pubkey());
    let client = bank.person(50 * STRM).await;
    let (mint, program) = (address.mint, address.token_program);
    let deposit = address.deposit(client.pubkey(), mint, program, 50 * STRM, CLIENT);
    bank.send(&[deposit], &[&client]).await.unwrap();
    let to = address.tokens(&client.pubkey());
    let refund =
        |amount, before| [address.refund(authority, (mint, program), &CLIENT, to, amount, before)];
    bank.by_authority(&refund(20 * STRM, 0)).await.unwrap();
    let again = bank.by_authority(&refund(20 * STRM, 0)).await;
    assert_eq!(again, Err(StrmError::RefundedMeanwhile.into()));
    // More is in the vault, but it is others'.
    let refused = bank.by_authority(&refund(30 * STRM + 1, 20 * STRM)).await;
    assert_eq!(refused, Err(StrmError::Insufficient.into()));
    bank.by_authority(&refund(30 * STRM, 20 * STRM))
        .await
        .unwrap();
    assert_eq!(bank.balance(to).await, 50 * STRM);
    let overflow = bank.by_authority(&refund(u64::MAX, 50 * STRM)).await;
    assert_eq!(overflow, Err(StrmError::Overflow.into()));
}

#[tokio::test]
async fn other_tokens_go_to_the_treasury_and_strm_does_not() {
    let mut bank = Bank::new().await;
    let (address, authority) = (bank.address, bank.authority.pubkey());
    let (program, treasury) = (anchor_spl::token::ID, bank.treasury.pubkey());
    let usdc = bank.mint(program, &[]).await;
    let client = bank.person(0).await;
    bank.tokens_of(&client.pubkey(), usdc, program, 1_000).await;
    let to = bank.tokens_of(&treasury, usdc, program, 0).await;
    let allow = address.allow_mint(authority, usdc, program, (1, 1), true);
    bank.by_authority(&[allow]).await.unwrap();
    let deposit = address.deposit(client.pubkey(), usdc, program, 1_000, CLIENT);
    bank.send(&[deposit], &[&client]).await.unwrap();
    let collect =
        |mint: Pubkey, amount| [address.collect(authority, mint, program, &treasury, amount)];
    let refused = bank.by_authority(&collect(usdc, 1_001)).await;
    assert_eq!(refused, Err(StrmError::Insufficient.into()));
    bank.by_authority(&collect(usdc, 1_000)).await.unwrap();
    assert_eq!(bank.balance(to).await, 1_000);
    let refused = bank.by_authority(&collect(address.mint, 1)).await;
    assert_eq!(refused, Err(StrmError::NotCollectable.into()));
}
