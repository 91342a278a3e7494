//! What a query costs now.

use std::sync::atomic::{AtomicU64, Ordering};
use streamsync_core::{Amount, Class, config::PriceConfig};
use streamsync_race::{Roster, next_multiplier};
use streamsync_registry::Multipliers;

/// One, in millionths.
const ONE: u64 = 1_000_000;
const GIB: u128 = 1 << 30;
/// Of a payment, in hundredths, what the winner gets: 70% of the nodes' half.
const WINNER: u64 = 35;

/// Prices, and what they are multiplied by.
pub(crate) struct Market {
    config: PriceConfig,
    multipliers: [AtomicU64; Class::ALL.len()],
}

/// A price, with how it came about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Price {
    /// What any query of the class costs, before the multiplier.
    pub base: Amount,
    /// What the bytes that it may have to read cost, before the multiplier.
    pub for_bytes: Amount,
    /// What both are multiplied by, in millionths.
    pub multiplier: u64,
    /// The least for which as many workers as race take part.
    pub asked: Amount,
    /// What the query costs.
    pub price: Amount,
}

impl Market {
    pub(crate) fn new(config: PriceConfig) -> Self {
        Self {
            config,
            multipliers: Multipliers::default().0.map(AtomicU64::new),
        }
    }

    pub(crate) fn config(&self) -> &PriceConfig {
        &self.config
    }

    pub(crate) fn multipliers(&self) -> Multipliers {
        Multipliers(Class::ALL.map(|class| self.multipliers[class.index()].load(Ordering::Relaxed)))
    }

    pub(crate) fn set(&self, multipliers: Multipliers) {
        for (kept, new) in self.multipliers.iter().zip(multipliers.0) {
            kept.store(new, Ordering::Relaxed);
        }
    }

    /// The multipliers that should follow the ones that hold, by the load of the workers.
    pub(crate) fn next(&self, roster: &Roster) -> Multipliers {
        let now = self.multipliers();
        Multipliers(Class::ALL.map(|class| {
            let multiplier = now.0[class.index()];
            match roster.utilisation(class) {
                Some(used) => next_multiplier(
                    multiplier,
                    used,
                    self.config.target_utilisation,
                    self.config.most,
                ),
                None => multiplier,
            }
        }))
    }

    /// The price of a query that may have to read so many bytes, such that `racers` workers take
    /// part.
    pub(crate) fn price(&self, class: Class, bytes: u64, roster: &Roster, racers: usize) -> Price {
        let prices = self.config.class(class);
        let multiplier = self.multipliers[class.index()].load(Ordering::Relaxed);
        let for_bytes = Amount(clamped(
            u128::from(bytes) * u128::from(prices.per_gib.0) / GIB,
        ));
        let plain = u128::from(prices.base.0) + u128::from(for_bytes.0);
        let wanted = clamped((plain * u128::from(multiplier)).div_ceil(u128::from(ONE)));
        let asked = paying(roster.ask(racers));
        Price {
            base: prices.base,
            for_bytes,
            multiplier,
            asked,
            price: Amount(wanted).max(asked),
        }
    }
}

/// The least price of which a winner gets so much.
fn paying(ask: Amount) -> Amount {
    Amount(clamped(
        (u128::from(ask.0) * 100).div_ceil(u128::from(WINNER)),
    ))
}

/// What a winner gets of a price, but for rounding.
pub(crate) fn winners_part(price: Amount) -> Amount {
    Amount(clamped(u128::from(price.0) * u128::from(WINNER) / 100))
}

/// Prices above what an account can hold are all the same to everyone.
fn clamped(units: u128) -> u64 {
    u64::try_from(units)
        .unwrap_or(u64::MAX)
        .min(streamsync_registry::MOST_CREDIT.0 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_follow_bytes_and_the_market() {
        let market = Market::new(PriceConfig::default());
        let price = |class, bytes| market.price(class, bytes, &Roster::default(), 5);
        assert_eq!(price(Class::Lookup, 1 << 40).price, Amount(10_000));
        assert_eq!(price(Class::Scan, 1 << 30).price, Amount(1_020_000));
        market.set(Multipliers([2_500_000, 100_000, 1]));
        assert_eq!(price(Class::Lookup, 0).price, Amount(25_000));
        let scan = price(Class::Scan, 1 << 30);
        assert_eq!(
            (scan.price, scan.for_bytes),
            (Amount(102_000), Amount(1_000_000))
        );
        assert_eq!(price(Class::Archive, u64::MAX).multiplier, 1);
    }

    proptest! {
        #[test]
        fn the_winner_gets_what_it_asked_for(ask in 0_u64..1 << 40) {
            prop_assert!(winners_part(paying(Amount(ask))).0 >= ask);
        }
    }
}
