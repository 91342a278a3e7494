//! What queries cost.

use crate::{Amount, Class};
use serde::{Deserialize, Serialize};

/// Prices, section `[price]`. Routers of a network should agree on them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceConfig {
    /// Of lookups.
    pub lookup: ClassPrice,
    /// Of scans.
    pub scan: ClassPrice,
    /// Of queries on days long past.
    pub archive: ClassPrice,
    /// The share of its workers' places that a class should take, 0 to 1: above it prices rise,
    /// below it they fall.
    pub target_utilisation: f64,
    /// How often the multipliers are set anew, in seconds.
    pub update_s: u64,
    /// The most that prices are multiplied by.
    pub most: u32,
}

/// The price of a class, before the market's multiplier.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClassPrice {
    /// Of any query, in base units of STRM.
    pub base: Amount,
    /// For each GiB of the files that the query may have to read, in base units of STRM.
    pub per_gib: Amount,
}

impl Default for PriceConfig {
    fn default() -> Self {
        let price = |base, per_gib| ClassPrice {
            base: Amount(base),
            per_gib: Amount(per_gib),
        };
        Self {
            lookup: price(10_000, 0),
            scan: price(20_000, 1_000_000),
            archive: price(40_000, 2_000_000),
            target_utilisation: 0.5,
            update_s: 5,
            most: 100,
        }
    }
}

impl PriceConfig {
    /// The price of a class.
    pub fn class(&self, class: Class) -> ClassPrice {
        match class {
            Class::Lookup => self.lookup,
            Class::Scan => self.scan,
            Class::Archive => self.archive,
        }
    }

    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if !(0.01..=1.0).contains(&self.target_utilisation) {
            faults.push(format!(
                "price.target_utilisation is {}; it must be 0.01 to 1",
                self.target_utilisation
            ));
        }
        for (name, value) in [("update_s", self.update_s), ("most", u64::from(self.most))] {
            if value == 0 {
                faults.push(format!("price.{name} is 0; it must be at least 1"));
            }
        }
    }
}
