//! Credit of clients, and its leases to routers: family `credit:{client}`; `credit.lua` says what an
//! account is made of.

use crate::{Act, Registry, RegistryError};
use redis::{AsyncCommands, Script};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::LazyLock, time::Duration};
use streamsync_core::{Amount, ClientId};

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("credit.lua"), include_str!($file))))
    };
}
pub(crate) use script;

static DEPOSIT: LazyLock<Script> = script!("credit_deposit.lua");
static LEASE: LazyLock<Script> = script!("credit_lease.lua");
static RETURN: LazyLock<Script> = script!("credit_return.lua");
static BALANCE: LazyLock<Script> = script!("credit_balance.lua");

/// The most credit that an account may hold: nine million STRM, so that its balance is a number that
/// Lua holds exactly.
pub const MOST_CREDIT: Amount = Amount(9_000_000 * Amount::STRM.0);

/// For how many seconds a deposit is remembered, so that it is not added again.
const REMEMBERED_S: u64 = 90 * 24 * 3_600;

/// What an account holds, in base units: deposited + debt = balance + leased + spent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// All that was ever added.
    pub deposited: Amount,
    /// What nobody holds.
    pub balance: Amount,
    /// What routers hold for the client and have not spent.
    pub leased: Amount,
    /// What was charged by receipts.
    pub spent: Amount,
    /// What was spent from a lease that had been given back; paid by the next deposit.
    pub debt: Amount,
}

/// What a router got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Grant {
    /// What it may spend; nothing if there was less than it needs.
    pub granted: Amount,
    /// What is left in the account.
    pub balance: Amount,
    /// What the account owes.
    pub debt: Amount,
    /// What other routers hold.
    pub leased_elsewhere: Amount,
}

/// Why credit was not added.
#[derive(Debug, thiserror::Error)]
pub enum DepositRefused {
    /// The account would hold too much.
    #[error("{client} would hold more than {MOST_CREDIT}")]
    TooMuch {
        /// Whose.
        client: ClientId,
    },
    /// Nothing is no deposit.
    #[error("a deposit must be at least one base unit of STRM")]
    Nothing,
    /// Redis did not do it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Registry {
    pub(crate) fn account(&self, client: &ClientId) -> String {
        self.key(&format!("credit:{client}"))
    }

    /// Adds credit. A deposit of the same name is added once; then this returns false.
    pub async fn deposit(
        &self,
        client: &ClientId,
        amount: Amount,
        name: &str,
        act: &Act,
    ) -> Result<bool, DepositRefused> {
        if amount == Amount::ZERO {
            return Err(DepositRefused::Nothing);
        }
        let too_much = || DepositRefused::TooMuch {
            client: client.clone(),
        };
        if amount > MOST_CREDIT {
            return Err(too_much());
        }
        let added: i64 = DEPOSIT
            .key(self.account(client))
            .key(self.key("lessees"))
            .key(self.key(&format!("deposit:{client}:{name}")))
            .key(self.admin_key())
            .key(self.key("clients"))
            .key(self.key("deposits"))
            .arg(amount.0)
            .arg(MOST_CREDIT.0)
            .arg(REMEMBERED_S)
            .arg(serde_json::to_string(act).map_err(RegistryError::from)?)
            .arg(client.as_str())
            .arg(format!("{client}:{name}"))
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("add credit"))?;
        match added {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(too_much()),
        }
    }

    /// What an account holds. Leases of routers that are gone are given back first.
    pub async fn balance(&self, client: &ClientId) -> Result<Balance, RegistryError> {
        let fields: HashMap<String, u64> = BALANCE
            .key(self.account(client))
            .key(self.key("lessees"))
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("read an account"))?;
        let field = |name: &str| Amount(fields.get(name).copied().unwrap_or_default());
        let leases = fields.iter().filter(|(name, _)| name.starts_with("lease:"));
        Ok(Balance {
            deposited: field("deposited"),
            balance: field("balance"),
            leased: Amount(leases.map(|(_, amount)| amount).sum()),
            spent: field("spent"),
            debt: field("debt"),
        })
    }

    /// Lends a router what it needs of a client's credit, or more: up to what it would like, but no
    /// more than an eighth. All that a holder has, of all clients, is given back by itself if the
    /// holder neither takes nor keeps a lease for `time`. A router is another holder each time that
    /// it starts, as it does not know then what it held before.
    pub async fn lease_credit(
        &self,
        holder: &str,
        client: &ClientId,
        needed: Amount,
        wanted: Amount,
        time: Duration,
    ) -> Result<Grant, RegistryError> {
        let (granted, balance, debt, elsewhere) = LEASE
            .key(self.account(client))
            .key(self.key("lessees"))
            .arg(holder)
            .arg(needed.0)
            .arg(wanted.0)
            .arg(time.as_millis() as u64)
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("lease credit"))?;
        Ok(Grant {
            granted: Amount(granted),
            balance: Amount(balance),
            debt: Amount(debt),
            leased_elsewhere: Amount(elsewhere),
        })
    }

    /// Takes back what a router holds of a client's credit and has not spent.
    pub async fn return_credit(
        &self,
        holder: &str,
        client: &ClientId,
        amount: Amount,
    ) -> Result<(), RegistryError> {
        RETURN
            .key(self.account(client))
            .key(self.key("lessees"))
            .arg(holder)
            .arg(amount.0)
            .invoke_async::<u64>(&mut self.redis())
            .await
            .map(drop)
            .map_err(self.failed("give credit back"))
    }

    /// Keeps all leases of a router for `time` from now by Redis's clock. Returns false, and keeps
    /// nothing, if they have ended.
    pub async fn keep_credit(&self, holder: &str, time: Duration) -> Result<bool, RegistryError> {
        static KEEP: LazyLock<Script> = LazyLock::new(|| {
            Script::new(
                "local clock = redis.call('TIME') \
                 local now = clock[1] * 1000 + math.floor(clock[2] / 1000) \
                 if tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') <= now then return 0 end \
                 redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + ARGV[2])) return 1",
            )
        });
        KEEP.key(self.key("lessees"))
            .arg(holder)
            .arg(time.as_millis() as u64)
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("keep leases of credit"))
    }

    /// Ends all leases of a router: what it has not spent is its clients' again.
    pub async fn end_credit(&self, holder: &str) -> Result<(), RegistryError> {
        self.redis()
            .hdel(self.key("lessees"), holder)
            .await
            .map_err(self.failed("end leases of credit"))
    }
}
