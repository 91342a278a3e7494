//! How credit is lent to routers.

use crate::Amount;
use serde::{Deserialize, Serialize};

/// Leases of clients' credit to routers, section `[credit]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CreditConfig {
    /// How much of a client's credit a router takes at once, in base units of STRM; never more than
    /// an eighth of what the client has, unless one query needs it.
    pub lease: Amount,
    /// For how many seconds a router holds what it took while it cannot reach Redis: as long it can
    /// go on, and as long the credit is out of reach if the router dies and does not come back.
    pub lease_s: u64,
    /// After how many seconds without a query of the client a router gives back what it took.
    pub idle_s: u64,
}

impl Default for CreditConfig {
    fn default() -> Self {
        Self {
            lease: Amount(Amount::STRM.0 / 100),
            lease_s: 900,
            idle_s: 30,
        }
    }
}

impl CreditConfig {
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if self.lease == Amount::ZERO {
            faults.push("credit.lease is 0; it must be at least 1".to_owned());
        }
        if self.lease_s < 10 {
            faults.push("credit.lease_s is under 10".to_owned());
        }
        if self.idle_s == 0 {
            faults.push("credit.idle_s is 0; it must be at least 1".to_owned());
        }
    }
}
