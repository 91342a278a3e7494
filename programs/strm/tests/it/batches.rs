//! Batches: settled in order, claimed once, swept in the end.

use crate::{
    bank::{Bank, Refusal, STRM},
    tree::Tree,
};
use anchor_lang::prelude::Pubkey;
use solana_keypair::Keypair;
use solana_signer::Signer;
use strm::{
    Settlement,
    error::StrmError,
    state::{Batch, CLAIMABLE_S, Network},
};

pub fn settlement(tree: &Tree, first: u64, last: u64) -> Settlement {
    Settlement {
        root: tree.root(),
        total: tree.total(),
        leaves: tree.leaves(),
        first_receipt: first,
        last_receipt: last,
        file_hash: [9; 32],
    }
}

/// Settles batch 1 over receipts 1 to 10, with a reward for each of so many people.
pub async fn settled(bank: &mut Bank, people: u64) -> (Tree, Vec<Pubkey>) {
    let mut wallets = Vec::new();
    for _ in 0..people {
        let wallet = Pubkey::new_unique();
        bank.tokens_for(&wallet, 0).await;
        wallets.push(wallet);
    }
    wallets.sort();
    let rewards = wallets.iter().zip(1..).map(|(who, n)| (*who, n * STRM));
    let tree = Tree::new(&bank.address.network, 1, rewards.collect());
    settle(bank, 1, settlement(&tree, 1, 10)).await.unwrap();
    (tree, wallets)
}

pub async fn settle(bank: &mut Bank, number: u64, what: Settlement) -> Result<(), Refusal> {
    let settler = bank.settler.insecure_clone();
    let settle = bank.address.settle_batch(settler.pubkey(), number, what);
    bank.send(&[settle], &[&settler]).await
}

pub async fn claim(
    bank: &mut Bank,
    batch: u64,
    tree: &Tree,
    places: &[u32],
) -> Result<(), Refusal> {
    let payer = bank.context.payer.pubkey();
    let rewards = places.iter().map(|place| tree.proof(*place)).collect();
    let claim = bank.address.claim_many(payer, batch, rewards);
    bank.send(&[claim], &[]).await
}

#[tokio::test]
async fn every_reward_is_paid_once_to_the_unit() {
    for program in [anchor_spl::token::ID, anchor_spl::token_2022::ID] {
        let mut bank = Bank::of(program).await;
        let address = bank.address;
        let before = bank.balance(address.vault(&address.mint)).await;
        let (tree, wallets) = settled(&mut bank, 7).await;
        let after = bank.balance(address.vault(&address.mint)).await;
        assert_eq!(before - after, tree.total());
        assert_eq!(bank.balance(address.reward_vault()).await, tree.total());
        claim(&mut bank, 1, &tree, &[6, 0]).await.unwrap();
        for place in 0..7 {
            let done = claim(&mut bank, 1, &tree, &[place]).await;
            match place {
                0 | 6 => assert_eq!(done, Err(StrmError::AlreadyClaimed.into())),
                _ => done.unwrap(),
            }
        }
        for (wallet, n) in wallets.iter().zip(1..) {
            assert_eq!(bank.balance(address.tokens(wallet)).await, n * STRM);
        }
        assert_eq!(bank.balance(address.reward_vault()).await, 0);
        let batch: Batch = bank.read(address.batch(1)).await;
        assert_eq!((batch.claimed, batch.total), (tree.total(), tree.total()));
        let network: Network = bank.read(address.network).await;
        assert_eq!((network.owed, network.last_receipt), (0, 10));
    }
}

#[tokio::test]
async fn batches_are_settled_in_their_order_only() {
    let mut bank = Bank::new().await;
    let (tree, _) = settled(&mut bank, 2).await;
    let next = |number, first, last| (number, settlement(&tree, first, last));
    for ((number, what), error) in [
        (next(0, 11, 12), StrmError::BatchOutOfOrder),
        (next(3, 11, 12), StrmError::BatchOutOfOrder),
        (next(u64::MAX, 11, 12), StrmError::BatchOutOfOrder),
        (next(2, 10, 12), StrmError::ReceiptsOutOfOrder),
        (next(2, 12, 13), StrmError::ReceiptsOutOfOrder),
        (next(2, 11, 10), StrmError::ReceiptsOutOfOrder),
        (next(2, 0, 20), StrmError::ReceiptsOutOfOrder),
    ] {
        let refused = settle(&mut bank, number, what).await;
        assert_eq!(refused, Err(error.into()), "{number}");
    }
    let again = settle(&mut bank, 1, settlement(&tree, 11, 12)).await;
    assert_eq!(again, Err(StrmError::BatchOutOfOrder.into()));
    settle(&mut bank, 2, settlement(&tree, 11, 11))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_batch_pays_what_there_is_or_nothing() {
    let mut bank = Bank::new().await;
    let address = bank.address;
    let tree = Tree::new(&address.network, 1, vec![(Pubkey::new_unique(), 1)]);
    let plain = settlement(&tree, 1, 1);
    for (total, leaves, error) in [
        (0, 1, StrmError::EmptyBatch),
        (1, 0, StrmError::EmptyBatch),
        (1_000_001 * STRM, 1, StrmError::Insufficient),
        (u64::MAX, 1, StrmError::Insufficient),
    ] {
        let what = Settlement {
            total,
            leaves,
            ..plain.clone()
        };
        assert_eq!(settle(&mut bank, 1, what).await, Err(error.into()));
    }
    let nothing = Settlement {
        root: [0; 32],
        total: 0,
        leaves: 0,
        ..plain
    };
    settle(&mut bank, 1, nothing).await.unwrap();
    assert_eq!(bank.balance(address.reward_vault()).await, 0);
}

#[tokio::test]
async fn a_tree_that_pays_more_than_its_batch_takes_nothing_from_others() {
    let mut bank = Bank::new().await;
    let (first, _) = settled(&mut bank, 3).await;
    let greedy = Pubkey::new_unique();
    bank.tokens_for(&greedy, 0).await;
    let tree = Tree::new(&bank.address.network, 2, vec![(greedy, 5 * STRM)]);
    let lie = Settlement {
        total: 1,
        ..settlement(&tree, 11, 11)
    };
    settle(&mut bank, 2, lie).await.unwrap();
    let refused = claim(&mut bank, 2, &tree, &[0]).await;
    assert_eq!(refused, Err(StrmError::Insufficient.into()));
    claim(&mut bank, 1, &first, &[0, 1, 2]).await.unwrap();
}

#[tokio::test]
async fn what_nobody_claims_within_a_year_goes_to_the_treasury() {
    let mut bank = Bank::new().await;
    let address = bank.address;
    let (tree, _) = settled(&mut bank, 3).await;
    claim(&mut bank, 1, &tree, &[1]).await.unwrap();
    let treasury = bank.treasury.pubkey();
    let sweep = || [address.sweep(1, &treasury)];
    bank.wait(CLAIMABLE_S - 100).await;
    let refused = bank.send(&sweep(), &[]).await;
    assert_eq!(refused, Err(StrmError::TooEarlyToSweep.into()));
    let payer = bank.context.payer.pubkey();
    let close = || [address.close_page(1, 0, payer)];
    let refused = bank.send(&close(), &[]).await;
    assert_eq!(refused, Err(StrmError::NotSwept.into()));
    bank.wait(200).await;
    bank.send(&sweep(), &[]).await.unwrap();
    assert_eq!(bank.balance(address.tokens(&treasury)).await, 4 * STRM);
    let refused = claim(&mut bank, 1, &tree, &[0]).await;
    assert_eq!(refused, Err(StrmError::Swept.into()));
    assert_eq!(bank.send(&sweep(), &[]).await, Err(StrmError::Swept.into()));
    // Even with its bits gone, nothing can be claimed twice.
    bank.send(&close(), &[]).await.unwrap();
    assert!(!bank.exists(address.claims(1, 0)).await);
    let refused = claim(&mut bank, 1, &tree, &[1]).await;
    assert_eq!(refused, Err(StrmError::Swept.into()));
    assert!(!bank.exists(address.claims(1, 0)).await);
    let network: Network = bank.read(address.network).await;
    assert_eq!(network.owed, 0);
}

#[tokio::test]
async fn a_pause_stops_settling_and_claiming() {
    let mut bank = Bank::new().await;
    let (tree, _) = settled(&mut bank, 2).await;
    let pause = |bank: &Bank, paused| [bank.address.pause(bank.authority.pubkey(), paused)];
    let instructions = pause(&bank, true);
    bank.by_authority(&instructions).await.unwrap();
    let paused = Err(StrmError::Paused.into());
    assert_eq!(claim(&mut bank, 1, &tree, &[0]).await, paused);
    let next = settlement(&tree, 11, 12);
    assert_eq!(settle(&mut bank, 2, next.clone()).await, paused);
    let treasury = bank.treasury.pubkey();
    let sweep = bank.address.sweep(1, &treasury);
    assert_eq!(bank.send(&[sweep], &[]).await, paused);
    let client = bank.person(STRM).await;
    let address = bank.address;
    let deposit = address.deposit(
        client.pubkey(),
        address.mint,
        address.token_program,
        STRM,
        [1; 32],
    );
    assert_eq!(bank.send(&[deposit], &[&client]).await, paused);
    let instructions = pause(&bank, false);
    bank.by_authority(&instructions).await.unwrap();
    claim(&mut bank, 1, &tree, &[0]).await.unwrap();
    settle(&mut bank, 2, next).await.unwrap();
}

#[tokio::test]
async fn leaves_of_a_large_batch_are_on_several_pages() {
    let mut bank = Bank::new().await;
    let address = bank.address;
    let last = Keypair::new().pubkey();
    bank.tokens_for(&last, 0).await;
    let mut rewards: Vec<_> = (0..100_000_u32)
        .map(|n| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            (Pubkey::new_from_array(key), 2)
        })
        .collect();
    rewards[99_999].0 = last;
    rewards[8_191].0 = last;
    rewards[8_192].0 = last;
    let tree = Tree::new(&address.network, 1, rewards);
    settle(&mut bank, 1, settlement(&tree, 1, 1)).await.unwrap();
    claim(&mut bank, 1, &tree, &[99_999]).await.unwrap();
    let refused = claim(&mut bank, 1, &tree, &[8_191, 8_192]).await;
    assert_eq!(refused, Err(StrmError::OtherPage.into()));
    claim(&mut bank, 1, &tree, &[8_191]).await.unwrap();
    claim(&mut bank, 1, &tree, &[8_192]).await.unwrap();
    let again = claim(&mut bank, 1, &tree, &[8_192]).await;
    assert_eq!(again, Err(StrmError::AlreadyClaimed.into()));
    assert_eq!(bank.balance(address.tokens(&last)).await, 6);
}
