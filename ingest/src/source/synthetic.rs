//! Made-up blocks, for benchmarks and for demonstrations without a network.

mod transactions;
mod world;

use super::{Found, Source, SourceError, Unread};
use crate::{Block, Reward, RewardType};
use futures::{StreamExt, stream, stream::BoxStream};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{ops::Range, sync::Arc};
use streamsync_core::Slot;
use streamsync_lake::SlotSet;
use transactions::Author;
use world::World;

/// The first synthetic slot, far above those of the real chain, so that the two never mix.
pub const FIRST_SLOT: Slot = Slot(1_000_000_000);

/// The time of the first synthetic slot: 2024-01-01T00:00Z.
const FIRST_TIME: i64 = 1_704_067_200;

const MILLIS_A_SLOT: u64 = 400;
const SKIPPED_PERCENT: u64 = 3;

/// Blocks made up from a seed; the same seed makes the same blocks.
///
/// They are labelled: every blockhash begins with `Synthetic`, and slots begin at [`FIRST_SLOT`].
/// They are skewed as the real ones are: seven of ten transactions are votes, few accounts, mints
/// and programs take most of the others, some fail, and a few slots are skipped. Their signatures
/// are not genuine, and balances do not go on from one transaction to the next.
#[derive(Clone, Debug)]
pub struct Synthetic {
    seed: u64,
    slots: u64,
    transactions_per_second: u32,
}

impl Synthetic {
    /// A number of slots with about that many transactions a second.
    pub fn new(seed: u64, slots: u64, transactions_per_second: u32) -> Self {
        Self {
            seed,
            slots,
            transactions_per_second,
        }
    }

    fn range(&self) -> Range<u64> {
        FIRST_SLOT.0..FIRST_SLOT.0.saturating_add(self.slots)
    }
}

impl Source for Synthetic {
    fn describe(&self) -> String {
        let Self {
            seed,
            slots,
            transactions_per_second: tps,
        } = self;
        format!("{slots} synthetic slots of seed {seed} with {tps} transactions a second")
    }

    fn read(self, _covered: Arc<SlotSet>) -> BoxStream<'static, Result<Found, SourceError>> {
        let expected = Found::Expected(self.slots);
        let range = self.range();
        let maker = Arc::new(Maker {
            world: World::new(self.seed),
            range: range.clone(),
            transactions_per_second: self.transactions_per_second,
        });
        let found = range.map(move |slot| {
            let slot = Slot(slot);
            if maker.is_skipped(slot) {
                return Found::Skipped(slot, slot);
            }
            let maker = maker.clone();
            Found::Block(Unread {
                slot: Some(slot),
                origin: "the synthetic source".to_owned(),
                read: Box::new(move || Ok(maker.block(slot))),
            })
        });
        stream::iter(std::iter::once(expected).chain(found).map(Ok)).boxed()
    }
}

/// Makes any block of the range without making those before it.
struct Maker {
    world: World,
    range: Range<u64>,
    transactions_per_second: u32,
}

impl Maker {
    /// Neither the first nor the last slot is skipped, so that every skipped one has a block after
    /// it that proves it.
    fn is_skipped(&self, slot: Slot) -> bool {
        let inside = self.range.start < slot.0 && slot.0.saturating_add(1) < self.range.end;
        inside && self.world.number("skipped", slot.0) % 100 < SKIPPED_PERCENT
    }

    fn parent(&self, slot: Slot) -> Slot {
        let earlier = (self.range.start..slot.0).rev().map(Slot);
        let mut earlier = earlier.skip_while(|&slot| self.is_skipped(slot));
        let before_all = Slot(self.range.start.saturating_sub(1));
        earlier.next().unwrap_or(before_all)
    }

    fn block(&self, slot: Slot) -> Block {
        let mut rng = ChaCha8Rng::seed_from_u64(self.world.number("block", slot.0));
        let parent_slot = self.parent(slot);
        let offset = slot.0.saturating_sub(FIRST_SLOT.0);
        let seconds = offset.saturating_mul(MILLIS_A_SLOT) / 1000;
        let expected = f64::from(self.transactions_per_second) * MILLIS_A_SLOT as f64 / 1000.0;
        // Blocks differ in size by up to a quarter.
        let count = (expected * rng.random_range(0.75..1.25)).round() as usize;
        let mut author = Author::new(&self.world, &mut rng, slot, parent_slot);
        let transactions: Vec<_> = (0..count).map(|_| author.transaction()).collect();
        let fees = transactions.iter().map(|one| one.fee).sum::<u64>();
        // A leader has four slots in a row.
        let leader = self.world.number("leader", slot.0 / 4);
        let leader = self.world.validator(leader);
        Block {
            slot,
            parent_slot,
            blockhash: self.world.blockhash(slot),
            previous_blockhash: self.world.blockhash(parent_slot),
            block_height: Some(slot.0 - offset * SKIPPED_PERCENT / 100),
            block_time: Some(FIRST_TIME.saturating_add_unsigned(seconds)),
            transactions,
            rewards: vec![Reward {
                pubkey: leader.identity,
                lamports: i64::try_from(fees / 2).unwrap_or(i64::MAX),
                post_balance: rng.random_range(1_000_000_000..1_000_000_000_000),
                reward_type: Some(RewardType::Fee),
                commission: None,
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlockRows;

    fn maker(seed: u64) -> Maker {
        Maker {
            world: World::new(seed),
            range: Synthetic::new(seed, 200, 500).range(),
            transactions_per_second: 500,
        }
    }

    fn blocks(seed: u64) -> Vec<Block> {
        let maker = maker(seed);
        let slots = maker.range.clone().map(Slot);
        let slots = slots.filter(|&slot| !maker.is_skipped(slot));
        slots.map(|slot| maker.block(slot)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_blocks() {
        assert_eq!(blocks(1), blocks(1));
        assert_ne!(blocks(1), blocks(2));
    }

    #[test]
    fn blocks_hang_together_and_are_labelled() {
        let blocks = blocks(7);
        assert!((180..200).contains(&blocks.len()), "{}", blocks.len());
        for pair in blocks.windows(2) {
            assert_eq!(pair[1].parent_slot, pair[0].slot);
            assert_eq!(pair[1].previous_blockhash, pair[0].blockhash);
            assert!(pair[0].blockhash.to_string().starts_with("Synthetic"));
        }
    }

    #[test]
    fn blocks_are_sound_and_look_real() -> Result<(), Box<dyn std::error::Error>> {
        let blocks = blocks(7);
        let all = || blocks.iter().flat_map(|block| &block.transactions);
        for transaction in all() {
            transaction.check()?;
        }
        for block in &blocks {
            BlockRows::build(block)?;
        }
        let total = all().count() as f64;
        let share = |count: usize| count as f64 / total;
        assert!((0.66..0.74).contains(&share(all().filter(|one| one.is_vote()).count())));
        assert!((0.01..0.1).contains(&share(all().filter(|one| one.error.is_some()).count())));
        assert!(all().any(|one| one.loaded_writable > 0));
        assert!(all().any(|one| one.inner_instruction_count() > 0));
        assert!(all().any(|one| !one.post_token_balances.is_empty()));
        assert!(all().all(|one| !one.log_messages.is_empty()));
        Ok(())
    }
}
