//! What operators have at stake on chain: the field `stake` of the family `standing:{id}`, and the
//! key `minimum_stake`.

use crate::{Registry, RegistryError};
use redis::{AsyncCommands, Script};
use std::{collections::BTreeMap, sync::LazyLock};
use streamsync_core::{Amount, WorkerId};

static SET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("stake_set.lua")));

impl Registry {
    /// Sets what the operators of workers have at stake, worker by worker, and the least that they
    /// must have to be asked. Returns how many changed.
    pub async fn set_stakes(
        &self,
        minimum: Amount,
        stakes: &BTreeMap<WorkerId, Amount>,
    ) -> Result<u64, RegistryError> {
        let mut call = SET.prepare_invoke();
        call.key(self.key("minimum_stake"))
            .key(self.key("standings"))
            .arg(self.key(""))
            .arg(minimum.0);
        for (worker, stake) in stakes {
            call.arg(worker.to_string()).arg(stake.0);
        }
        call.invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("set the stakes of workers"))
    }

    /// What a worker's operator must have at stake; `None` where no chain is followed.
    pub async fn minimum_stake(&self) -> Result<Option<Amount>, RegistryError> {
        let minimum: Option<u64> = self
            .redis()
            .get(self.key("minimum_stake"))
            .await
            .map_err(self.failed("ask for the least stake"))?;
        Ok(minimum.map(Amount))
    }
}
