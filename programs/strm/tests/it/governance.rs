//! Making networks and governing them.

use crate::bank::{Bank, Refusal};
use anchor_lang::{error::ErrorCode, prelude::Pubkey};
use anchor_spl::token_2022::{
    self,
    spl_token_2022::{
        extension::{ExtensionType, transfer_fee},
        instruction::{initialize_mint_close_authority, initialize_permanent_delegate},
    },
};
use solana_keypair::Keypair;
use solana_signer::Signer;
use strm::{client::NetworkAddress, error::StrmError, state::Network};

#[tokio::test]
async fn authority_is_handed_over_in_two_steps() {
    let mut bank = Bank::new().await;
    let (address, before) = (bank.address, bank.authority.pubkey());
    let (next, stranger) = (Keypair::new(), Keypair::new());
    let accept = |who: &Keypair| [address.accept_authority(who.pubkey())];
    let refused = bank.send(&accept(&next), &[&next]).await;
    assert_eq!(refused, Err(StrmError::NoHandover.into()));
    let propose = address.propose_authority(before, Some(next.pubkey()));
    bank.by_authority(&[propose]).await.unwrap();
    let refused = bank.send(&accept(&stranger), &[&stranger]).await;
    assert_eq!(refused, Err(StrmError::NoHandover.into()));
    // Called off, and proposed again.
    bank.by_authority(&[address.propose_authority(before, None)])
        .await
        .unwrap();
    let refused = bank.send(&accept(&next), &[&next]).await;
    assert_eq!(refused, Err(StrmError::NoHandover.into()));
    let propose = address.propose_authority(before, Some(next.pubkey()));
    bank.by_authority(&[propose]).await.unwrap();
    // Until then the old one rules.
    bank.by_authority(&[address.pause(before, false)])
        .await
        .unwrap();
    bank.send(&accept(&next), &[&next]).await.unwrap();
    let refused = bank.by_authority(&[address.pause(before, true)]).await;
    assert_eq!(refused, Err(ErrorCode::ConstraintHasOne.into()));
    bank.send(&[address.pause(next.pubkey(), true)], &[&next])
        .await
        .unwrap();
    let network: Network = bank.read(address.network).await;
    assert_eq!((network.authority, network.paused), (next.pubkey(), true));
    assert_eq!(network.creator, before);
}

#[tokio::test]
async fn terms_can_be_changed_within_their_bounds() {
    let mut bank = Bank::new().await;
    let (address, authority) = (bank.address, bank.authority.pubkey());
    let mut terms = bank.terms.clone();
    terms.settler = Pubkey::new_unique();
    terms.shares = [4_000, 3_000, 2_000, 1_000];
    bank.by_authority(&[address.update_config(authority, terms.clone())])
        .await
        .unwrap();
    let network: Network = bank.read(address.network).await;
    assert_eq!(network.terms, terms);
    let mut wrong = Vec::new();
    let mut change = |change: fn(&mut strm::state::Terms), error: StrmError| {
        let mut terms = terms.clone();
        change(&mut terms);
        wrong.push((terms, error));
    };
    change(|terms| terms.shares[0] += 1, StrmError::Shares);
    change(|terms| terms.shares = [u16::MAX; 4], StrmError::Shares);
    change(|terms| terms.cooldown_s = -1, StrmError::Terms);
    change(|terms| terms.cooldown_s = i64::MAX, StrmError::Terms);
    change(|terms| terms.batch_interval_s = 0, StrmError::Terms);
    change(|terms| terms.max_slash = 10_001, StrmError::Terms);
    for (terms, error) in wrong {
        let refused = bank
            .by_authority(&[address.update_config(authority, terms)])
            .await;
        assert_eq!(refused, Err(error.into()));
    }
}

#[tokio::test]
async fn a_network_is_made_once() {
    let mut bank = Bank::new().await;
    let again = bank
        .address
        .initialize(bank.authority.pubkey(), bank.terms.clone());
    assert_eq!(bank.by_authority(&[again]).await, Err(Refusal::Code(0)));
    // Somebody else can make one with the same mint, which is not this one.
    let other = bank.person(0).await;
    let address = NetworkAddress::new(
        bank.address.mint,
        bank.address.token_program,
        &other.pubkey(),
    );
    assert_ne!(address.network, bank.address.network);
    let make = address.initialize(other.pubkey(), bank.terms.clone());
    bank.send(&[make], &[&other]).await.unwrap();
}

#[tokio::test]
async fn mints_whose_tokens_others_can_take_are_refused() {
    let mut bank = Bank::new().await;
    let authority = bank.authority.pubkey();
    for kind in [
        ExtensionType::TransferFeeConfig,
        ExtensionType::PermanentDelegate,
        ExtensionType::MintCloseAuthority,
    ] {
        let mint = Keypair::new();
        let (program, key) = (token_2022::ID, mint.pubkey());
        let extension = match kind {
            ExtensionType::TransferFeeConfig => {
                transfer_fee::instruction::initialize_transfer_fee_config(
                    &program, &key, None, None, 100, 1_000,
                )
            }
            ExtensionType::PermanentDelegate => {
                initialize_permanent_delegate(&program, &key, &authority)
            }
            _ => initialize_mint_close_authority(&program, &key, Some(&authority)),
        };
        bank.mint_at(&mint, program, &[(kind, extension.unwrap())])
            .await;
        let address = NetworkAddress::new(key, program, &authority);
        let make = address.initialize(authority, bank.terms.clone());
        let refused = bank.by_authority(&[make]).await;
        assert_eq!(refused, Err(StrmError::MintExtension.into()), "{kind:?}");
        let allow = bank
            .address
            .allow_mint(authority, key, program, (1, 1), true);
        let refused = bank.by_authority(&[allow]).await;
        assert_eq!(refused, Err(StrmError::MintExtension.into()), "{kind:?}");
    }
}
