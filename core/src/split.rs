//! Who gets what of a payment.

use crate::Amount;
use serde::{Deserialize, Serialize};

/// Parts of a payment in hundredths: nodes, treasury, data providers, governance.
const PARTS: [u64; 4] = [50, 20, 20, 10];
/// Of the nodes' part, in hundredths, what the winner gets; the verifiers share the rest evenly.
const WINNER: u64 = 70;

/// What each receives of a payment, in base units. The parts sum to the payment exactly.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The worker that was first.
    pub winner: Amount,
    /// Each of the workers that confirmed it, in the order of the receipt.
    pub verifiers: Vec<Amount>,
    /// The network's treasury.
    pub treasury: Amount,
    /// Those who brought the data into the lake.
    pub data: Amount,
    /// The network's governance.
    pub governance: Amount,
}

impl Split {
    /// Splits a payment between a winner, so many verifiers, and the network: 50% to the nodes, 20%
    /// to the treasury, 20% to data providers, 10% to governance; of the nodes' part 70% to the
    /// winner and the rest in equal shares to the verifiers, or all to the winner if there are
    /// none.
    ///
    /// ```
    /// use streamsync_core::{Amount, Split};
    ///
    /// let split = Split::new(Amount(10_001), 2);
    /// assert_eq!(split.winner, Amount(3_501));
    /// assert_eq!(split.verifiers, [Amount(750), Amount(750)]);
    /// assert_eq!(split.total(), Some(Amount(10_001)));
    /// ```
    pub fn new(payment: Amount, verifiers: usize) -> Self {
        let parts = largest_remainder(payment.0, &PARTS);
        let shares = verifiers as u64;
        let weights: Vec<u64> = std::iter::once(if shares == 0 { 1 } else { WINNER * shares })
            .chain((0..verifiers).map(|_| 100 - WINNER))
            .collect();
        let mut nodes = largest_remainder(parts[0], &weights)
            .into_iter()
            .map(Amount);
        Self {
            winner: nodes.next().unwrap_or_default(),
            verifiers: nodes.collect(),
            treasury: Amount(parts[1]),
            data: Amount(parts[2]),
            governance: Amount(parts[3]),
        }
    }

    /// The sum of the parts; `None` if it is more than an amount can be.
    pub fn total(&self) -> Option<Amount> {
        let parts = [self.winner, self.treasury, self.data, self.governance];
        let mut parts = parts.iter().chain(&self.verifiers);
        parts
            .try_fold(0_u64, |sum, part| sum.checked_add(part.0))
            .map(Amount)
    }
}

/// Divides a number in proportion to weights: each part is rounded down, and what is left goes, one
/// by one, to the parts that lost most by it, the earlier ones first (the method of Hamilton).
fn largest_remainder(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let exact = |weight: &u64| u128::from(total) * u128::from(*weight);
    let mut parts: Vec<u64> = weights
        .iter()
        .map(|weight| u64::try_from(exact(weight) / sum.max(1)).unwrap_or(u64::MAX))
        .collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|place| std::cmp::Reverse(exact(&weights[*place]) % sum.max(1)));
    let left = total - parts.iter().sum::<u64>();
    // Less than one is lost for each part, so what is left is less than the number of parts.
    for place in order
        .into_iter()
        .take(usize::try_from(left).unwrap_or(usize::MAX))
    {
        parts[place] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_split_sums_to_the_payment(payment: u64, verifiers in 0_usize..7) {
            let split = Split::new(Amount(payment), verifiers);
            prop_assert_eq!(split.total(), Some(Amount(payment)));
            prop_assert_eq!(split.verifiers.len(), verifiers);
        }

        #[test]
        fn nobody_is_off_by_a_unit_or_more(payment in 0_u64..1 << 50, verifiers in 1_usize..7) {
            let split = Split::new(Amount(payment), verifiers);
            let near = |part: Amount, share: f64| (part.0 as f64 - payment as f64 * share).abs() < 2.0;
            prop_assert!(near(split.winner, 0.35), "{:?}", split);
            for part in &split.verifiers {
                prop_assert!(near(*part, 0.15 / verifiers as f64), "{:?}", split);
            }
            prop_assert!(near(split.treasury, 0.2) && near(split.data, 0.2));
            prop_assert!(near(split.governance, 0.1));
        }
    }

    #[test]
    fn single_units_go_to_the_largest_remainders() {
        let split = Split::new(Amount(1), 2);
        assert_eq!((split.winner, split.treasury), (Amount(1), Amount::ZERO));
        assert_eq!(Split::new(Amount(7), 0).winner, Amount(4));
    }
}
