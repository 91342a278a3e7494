//! Nonces of signed requests, so that no request is taken twice: family `nonce:{key}:{nonce}`.

use crate::{Registry, RegistryError};
use redis::Value;
use std::time::Duration;

impl Registry {
    /// Claims nonces, each a text that names the key as well, for a time. Says of each whether it
    /// was free.
    pub async fn claim_nonces(
        &self,
        nonces: &[String],
        time: Duration,
    ) -> Result<Vec<bool>, RegistryError> {
        if nonces.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for nonce in nonces {
            commands
                .cmd("SET")
                .arg(self.key(&format!("nonce:{nonce}")))
                .arg("")
                .arg("NX")
                .arg("EX")
                .arg(time.as_secs().max(1));
        }
        let answers: Vec<Value> = commands
            .query_async(&mut self.redis())
            .await
            .map_err(self.failed("claim nonces"))?;
        Ok(answers
            .iter()
            .map(|answer| !matches!(answer, Value::Nil))
            .collect())
    }
}
