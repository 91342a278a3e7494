//! How prices follow the load.

/// The most that a price changes in one step: an eighth, as Ethereum's base fee does.
const STEPS: f64 = 8.0;
/// The least multiplier: a tenth, in millionths.
const LEAST: u64 = 100_000;
/// One, in millionths.
const ONE: u64 = 1_000_000;

/// The next multiplier of a class's prices, in millionths, from the one before and the share of its
/// workers' places that is taken: `m · (1 + (u - t) / t / 8)`, where `u - t` counts as `t` at the most.
/// That is the rule of EIP-1559 for the base fee, with utilisation in the place of gas. It stays
/// between 0.1 and `most`.
///
/// ```
/// use streamsync_race::next_multiplier;
///
/// assert_eq!(next_multiplier(1_000_000, 0.5, 0.5, 100), 1_000_000);
/// assert_eq!(next_multiplier(1_000_000, 1.0, 0.5, 100), 1_125_000);
/// assert_eq!(next_multiplier(1_000_000, 0.0, 0.5, 100), 875_000);
/// ```
pub fn next_multiplier(multiplier: u64, utilisation: f64, target: f64, most: u32) -> u64 {
    let over = ((utilisation - target) / target).clamp(-1.0, 1.0);
    let next = multiplier as f64 * (1.0 + over / STEPS);
    let next = if next.is_finite() {
        next.round() as u64
    } else {
        multiplier
    };
    // So that rounding does not hold a small one where it is.
    let next = if over > 0.0 {
        next.max(multiplier.saturating_add(1))
    } else {
        next
    };
    next.clamp(LEAST, u64::from(most).saturating_mul(ONE).max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_follows_the_load_within_bounds(before in LEAST..100 * ONE, used in 0.0..2.0_f64, target in 0.01..1.0_f64) {
            let next = next_multiplier(before, used, target, 100);
            prop_assert!((LEAST..=100 * ONE).contains(&next));
            if used > target {
                prop_assert!(next > before || next == 100 * ONE);
            }
            if used < target {
                prop_assert!(next <= before);
            }
            prop_assert!(next.abs_diff(before) <= before / 8 + 1);
        }
    }

    #[test]
    fn a_full_network_gets_dear_and_an_idle_one_cheap() {
        let after = |used: f64, steps: usize| {
            (0..steps).fold(ONE, |price, _| next_multiplier(price, used, 0.5, 100))
        };
        assert_eq!(after(1.0, 100), 100 * ONE);
        assert_eq!(after(0.0, 100), LEAST);
        assert_eq!(after(0.5, 100), ONE);
    }

    #[test]
    fn numbers_that_are_none_change_nothing() {
        assert_eq!(next_multiplier(ONE, f64::NAN, 0.5, 100), ONE);
    }
}
