//! Stakes: put in, asked back, withdrawn, slashed.

use crate::bank::{Bank, Refusal, STRM};
use solana_signer::Signer;
use strm::{
    error::StrmError,
    state::{Evidence, Network, Operator},
};

const WEEK: i64 = 7 * 86_400;

#[tokio::test]
async fn stake_comes_back_after_the_cooldown_and_not_before() {
    for program in [anchor_spl::token::ID, anchor_spl::token_2022::ID] {
        let mut bank = Bank::of(program).await;
        let operator = bank.person(20_000 * STRM).await;
        let (owner, address) = (operator.pubkey(), bank.address);
        let payer = bank.context.payer.pubkey();
        let register = address.register_operator(payer, owner);
        let stake = address.stake(owner, 15_000 * STRM);
        bank.send(&[register, stake], &[&operator]).await.unwrap();
        assert_eq!(bank.balance(address.stake_vault()).await, 15_000 * STRM);
        let state: Operator = bank.read(address.operator(&owner)).await;
        assert_eq!((state.stake, state.unstaking), (15_000 * STRM, 0));

        let too_much = address.request_unstake(owner, 15_000 * STRM + 1);
        let refused = bank.send(&[too_much], &[&operator]).await;
        assert_eq!(refused, Err(StrmError::Insufficient.into()));
        let ask = address.request_unstake(owner, 5_000 * STRM);
        bank.send(&[ask], &[&operator]).await.unwrap();
        bank.wait(WEEK - 10).await;
        let withdraw = || [address.withdraw(owner)];
        let refused = bank.send(&withdraw(), &[&operator]).await;
        assert_eq!(refused, Err(StrmError::Cooldown.into()));
        // Who asks for more waits anew for all of it.
        let ask = address.request_unstake(owner, 1);
        bank.send(&[ask], &[&operator]).await.unwrap();
        bank.wait(20).await;
        let refused = bank.send(&withdraw(), &[&operator]).await;
        assert_eq!(refused, Err(StrmError::Cooldown.into()));
        bank.wait(WEEK).await;
        // A pause keeps nobody's stake.
        let pause = address.pause(bank.authority.pubkey(), true);
        bank.by_authority(&[pause]).await.unwrap();
        bank.send(&withdraw(), &[&operator]).await.unwrap();
        assert_eq!(
            bank.balance(address.tokens(&owner)).await,
            10_000 * STRM + 1
        );
        let refused = bank.send(&withdraw(), &[&operator]).await;
        assert_eq!(refused, Err(StrmError::ZeroAmount.into()));
        let refused = bank.send(&[address.stake(owner, 1)], &[&operator]).await;
        assert_eq!(refused, Err(StrmError::Paused.into()));
        let network: Network = bank.read(address.network).await;
        assert_eq!(network.staked, bank.balance(address.stake_vault()).await);
    }
}

#[tokio::test]
async fn slashing_is_bounded_and_each_evidence_counts_once() {
    let mut bank = Bank::new().await;
    let operator = bank.person(10_000 * STRM).await;
    let (owner, address) = (operator.pubkey(), bank.address);
    let (slasher, treasury) = (bank.slasher.insecure_clone(), bank.treasury.pubkey());
    let register = address.register_operator(bank.context.payer.pubkey(), owner);
    let stake = address.stake(owner, 10_000 * STRM);
    // Most of it waits for its cooldown: that is still at stake.
    let ask = address.request_unstake(owner, 9_500 * STRM);
    bank.send(&[register, stake, ask], &[&operator])
        .await
        .unwrap();
    let slash = |amount, evidence| {
        [address.slash(slasher.pubkey(), &owner, &treasury, amount, [evidence; 32])]
    };
    let refused = bank.send(&slash(1_000 * STRM + 1, 1), &[&slasher]).await;
    assert_eq!(refused, Err(StrmError::SlashTooLarge.into()));
    bank.send(&slash(1_000 * STRM, 1), &[&slasher])
        .await
        .unwrap();
    assert_eq!(bank.balance(address.tokens(&treasury)).await, 1_000 * STRM);
    let state: Operator = bank.read(address.operator(&owner)).await;
    assert_eq!((state.stake, state.unstaking), (0, 9_000 * STRM));
    assert_eq!(state.slashed, 1_000 * STRM);
    let evidence: Evidence = bank.read(address.evidence(&owner, &[1; 32])).await;
    assert_eq!((evidence.hash, evidence.amount), ([1; 32], 1_000 * STRM));
    // The same evidence: its record exists already.
    let again = bank.send(&slash(1, 1), &[&slasher]).await;
    assert_eq!(again, Err(Refusal::Code(0)));
    bank.send(&slash(1, 2), &[&slasher]).await.unwrap();
    let refused = bank.send(&slash(0, 3), &[&slasher]).await;
    assert_eq!(refused, Err(StrmError::ZeroAmount.into()));
}
