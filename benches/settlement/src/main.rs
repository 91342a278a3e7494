//! How long the tree of a batch takes, beside the bare hashing that it cannot do without.

use clap::Parser;
use sha2::{Digest, Sha256};
use std::{hint::black_box, time::Instant};
use streamsync_core::Amount;
use streamsync_settlement::{Pubkey, Reward, RewardTree};

/// Builds the tree of a batch several times, and proves every reward once.
#[derive(Parser)]
struct Args {
    /// How many rewards.
    #[arg(long, default_value_t = 100_000)]
    rewards: u32,
    /// How often each is measured; the fastest counts.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

fn main() {
    let args = Args::parse();
    let rewards: Vec<Reward> = (0..args.rewards).map(reward).collect();
    let network = Pubkey::new_from_array([7; 32]);
    let tree = fastest(args.rounds, || {
        black_box(RewardTree::new(&network, 1, &rewards).root());
    });
    // A leaf is 105 bytes in two blocks of SHA-256, a node 65 in two.
    let bare = fastest(args.rounds, || {
        let mut block = [0_u8; 105];
        for number in 0..args.rewards {
            block[..4].copy_from_slice(&number.to_le_bytes());
            black_box(Sha256::digest(block));
            black_box(Sha256::digest(&block[..65]));
        }
    });
    let whole = RewardTree::new(&network, 1, &rewards);
    let proofs = fastest(1, || {
        for index in 0..args.rewards {
            black_box(whole.proof(index));
        }
    });
    println!("rewards               {}", args.rewards);
    println!("tree                  {:.1} ms", tree * 1e3);
    println!("its hashes alone      {:.1} ms", bare * 1e3);
    println!("tree / hashes         {:.2}", tree / bare);
    println!("all proofs            {:.1} ms", proofs * 1e3);
}

fn reward(number: u32) -> Reward {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    Reward {
        recipient: Pubkey::new_from_array(key),
        amount: Amount(u64::from(number) + 1),
    }
}

/// The least time of several rounds, in seconds.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn fastest(rounds: usize, mut work: impl FnMut()) -> f64 {
    let times = (0..rounds).map(|_| {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}
