//! Copies of what only Redis knows: API keys, credit, deposits that must not be added again, what
//! workers are thought of.
//!
//! Receipts are not among them: routers keep them until they are settled, and the bucket from then on.
//! What a copy says of credit holds for the receipts up to the numbers that it names, and not for later
//! ones. Both are read at one instant, so nothing is charged twice or not at all.

use crate::{Debit, Registry, RegistryError, Standing};
use redis::{AsyncCommands, Pipeline, Value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use streamsync_core::{Amount, ApiKey, ClientId, WorkerId};
use uuid::Uuid;

/// The format of copies that this version writes, and the latest that it reads.
pub const BACKUP_FORMAT: u32 = 1;

/// How often the accounts are read again because one came to them meanwhile.
const ATTEMPTS: usize = 5;

/// A copy.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RegistryBackup {
    /// Its format: 1.
    pub format: u32,
    /// When it was made, by Redis's clock, in milliseconds since 1970.
    pub taken_ms: u64,
    /// What one Redis has and no other, from its first copy on until it is emptied. Copies of a version
    /// that did not know of it have none.
    #[serde(default)]
    pub lineage: Option<Uuid>,
    /// The place of the newest administrative act that is in it.
    pub newest_act: Option<String>,
    /// All API keys.
    pub keys: Vec<ApiKey>,
    /// The fields of each account; `credit.lua` says what they are.
    pub accounts: BTreeMap<ClientId, BTreeMap<String, String>>,
    /// The deposits that are remembered, as `client:name`, and until when, in milliseconds since 1970.
    pub deposits: BTreeMap<String, u64>,
    /// Up to which number the receipts of each router are charged for in the accounts.
    pub charged: BTreeMap<WorkerId, u64>,
    /// Up to which number they are settled.
    pub settled: BTreeMap<WorkerId, u64>,
    /// What is thought of each worker.
    pub standings: BTreeMap<WorkerId, Standing>,
    /// What a worker's operator must have at stake.
    pub minimum_stake: Option<Amount>,
}

impl RegistryBackup {
    /// Whether this can be a later copy of the same: not if Redis was emptied in between, or put back to an
    /// earlier state.
    pub fn follows(&self, before: &Self) -> bool {
        let other = match (self.lineage, before.lineage) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        };
        !other && place(self.newest_act.as_deref()) >= place(before.newest_act.as_deref())
    }

    /// Whether it says nothing that would be missed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.accounts.is_empty()
    }
}

/// The place of an entry of a stream, `milliseconds-number`, in an order; before all others if there is none.
fn place(id: Option<&str>) -> (u64, u64) {
    let parts = id.and_then(|id| id.split_once('-'));
    let parts =
        parts.and_then(|(millis, number)| Some((millis.parse().ok()?, number.parse().ok()?)));
    parts.unwrap_or_default()
}

/// A receipt that was settled after a copy was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettledReceipt {
    /// Who has signed it.
    pub router: WorkerId,
    /// Its number.
    pub number: u64,
    /// What it takes from whom.
    pub debit: Debit,
}

/// Why a copy was not put back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something already.
    #[error(
        "Redis is not empty, it holds {what}: stop the routers and the settlement, empty it, and restore \
         before they run again"
    )]
    NotEmpty {
        /// What was found.
        what: &'static str,
    },
    /// A later version has made it.
    #[error(
        "the backup has format {0}, and this version reads up to {BACKUP_FORMAT}: use a later one"
    )]
    Newer(u32),
    /// What an account holds is no number.
    #[error("the backup says of {client} that its {field} is `{value}`, which is no amount")]
    Damaged {
        /// Whose account.
        client: ClientId,
        /// Which field.
        field: String,
        /// What it says.
        value: String,
    },
    /// Redis did not do it. It has all of the copy, or at most what is thought of workers.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Registry {
    /// The place of the newest administrative act, also where it is archived already. `None` before the
    /// first. Whoever knows it can tell whether there were others since.
    pub async fn newest_act(&self) -> Result<Option<String>, RegistryError> {
        let known: bool = self
            .redis()
            .exists(self.admin_key())
            .await
            .map_err(self.failed("look at the administrative log"))?;
        if !known {
            return Ok(None);
        }
        let stream: HashMap<String, Value> = redis::cmd("XINFO")
            .arg("STREAM")
            .arg(self.admin_key())
            .query_async(&mut self.redis())
            .await
            .map_err(self.failed("look at the administrative log"))?;
        let id = stream.get("last-generated-id").cloned();
        Ok(id.and_then(|id| redis::from_redis_value(id).ok()))
    }

    /// What this Redis has and no other; made when it is asked for first.
    async fn lineage(&self) -> Result<Uuid, RegistryError> {
        #[allow(
            clippy::disallowed_methods,
            reason = "must differ from that of every other Redis"
        )]
        let new = Uuid::new_v4();
        let key = self.key("lineage");
        let (_, lineage): (Value, String) = redis::pipe()
            .set_nx(&key, new.to_string())
            .get(&key)
            .query_async(&mut self.redis())
            .await
            .map_err(self.failed("ask for the lineage"))?;
        Ok(lineage.parse().unwrap_or(new))
    }

    /// The clients that have an account or a key.
    async fn clients(&self) -> Result<BTreeSet<ClientId>, RegistryError> {
        let known: Vec<String> = self
            .redis()
            .smembers(self.key("clients"))
            .await
            .map_err(self.failed("list the clients"))?;
        let keys = self.api_keys().await?;
        let known = known.iter().filter_map(|client| client.parse().ok());
        Ok(known
            .chain(keys.into_iter().map(|key| key.client))
            .collect())
    }

    /// Makes a copy.
    pub async fn back_up(&self) -> Result<RegistryBackup, RegistryError> {
        // First: what is done while this reads belongs to the next copy, too.
        let newest_act = self.newest_act().await?;
        let lineage = self.lineage().await?;
        let keys = self.api_keys().await?;
        let minimum_stake = self.minimum_stake().await?;
        let standings = self.standings().await?;
        let mut clients = self.clients().await?;
        for _ in 0..ATTEMPTS {
            let instant = self.accounts_at_an_instant(&clients).await?;
            let after = self.clients().await?;
            if after.is_subset(&clients) {
                return Ok(RegistryBackup {
                    lineage: Some(lineage),
                    newest_act,
                    keys,
                    standings,
                    minimum_stake,
                    ..instant
                });
            }
            clients = after;
        }
        Err(self.failed("read accounts while new ones are made")(
            redis::RedisError::from((redis::ErrorKind::Io, "too many new accounts")),
        ))
    }

    /// The accounts with the numbers of the receipts that are charged in them: in one transaction, so that
    /// they belong together.
    async fn accounts_at_an_instant(
        &self,
        clients: &BTreeSet<ClientId>,
    ) -> Result<RegistryBackup, RegistryError> {
        let mut transaction = redis::pipe();
        transaction.atomic();
        transaction
            .cmd("TIME")
            .hgetall(self.key("journals"))
            .hgetall(self.key("charged"))
            .hgetall(self.key("settled"))
            .zrange_withscores(self.key("deposits"), 0, -1);
        for client in clients {
            transaction.hgetall(self.account(client));
        }
        type Numbers = HashMap<String, u64>;
        type Fields = BTreeMap<String, String>;
        let mut values: Vec<Value> = transaction
            .query_async(&mut self.redis())
            .await
            .map_err(self.failed("read all accounts"))?;
        let accounts = values.split_off(values.len().min(5));
        let failed = self.failed("understand all accounts");
        let head = Value::Array(values);
        type Head = ((u64, u64), Numbers, Numbers, Numbers, Vec<(String, f64)>);
        let ((seconds, micros), journals, charged, settled, deposits): Head =
            redis::from_redis_value(head).map_err(|error| failed(error.into()))?;
        let mut read = BTreeMap::new();
        for (client, fields) in clients.iter().zip(accounts) {
            let fields: Fields =
                redis::from_redis_value(fields).map_err(|error| failed(error.into()))?;
            if !fields.is_empty() {
                read.insert(client.clone(), fields);
            }
        }
        let mut up_to = by_router(charged);
        // What was charged before a copy was put back may be more than what is recorded since.
        for (router, number) in by_router(journals) {
            let known = up_to.entry(router).or_default();
            *known = number.max(*known);
        }
        Ok(RegistryBackup {
            format: BACKUP_FORMAT,
            taken_ms: seconds * 1_000 + micros / 1_000,
            lineage: None,
            newest_act: None,
            keys: Vec::new(),
            accounts: read,
            deposits: deposits
                .into_iter()
                .map(|(name, until)| (name, until as u64))
                .collect(),
            charged: up_to,
            settled: by_router(settled),
            standings: BTreeMap::new(),
            minimum_stake: None,
        })
    }

    /// Puts a copy into an empty Redis, with the receipts that were settled since: all of it or nothing, but
    /// for what is thought of workers, which is there first and can be put back again.
    /// `settled` is up to which number the receipts of each router are settled now. From there on routers
    /// tell of their receipts again.
    pub async fn restore_backup(
        &self,
        backup: &RegistryBackup,
        settled: &BTreeMap<WorkerId, u64>,
        since: &[SettledReceipt],
    ) -> Result<(), RestoreError> {
        if backup.format > BACKUP_FORMAT {
            return Err(RestoreError::Newer(backup.format));
        }
        for (key, what) in [
            ("keys", "API keys"),
            ("clients", "accounts"),
            ("journals", "receipts"),
        ] {
            let found: bool = self
                .redis()
                .exists(self.key(key))
                .await
                .map_err(self.failed("see whether Redis is empty"))?;
            if found {
                return Err(RestoreError::NotEmpty { what });
            }
        }
        let mut accounts: BTreeMap<&ClientId, Account> = BTreeMap::new();
        for (client, fields) in &backup.accounts {
            let account = Account::of(fields);
            let account = account.map_err(|NoAmount { field, value }| RestoreError::Damaged {
                client: client.clone(),
                field,
                value,
            })?;
            accounts.insert(client, account);
        }
        let mut charged = backup.charged.clone();
        for receipt in since {
            let up_to = charged.entry(receipt.router).or_default();
            if receipt.number > backup.charged.get(&receipt.router).copied().unwrap_or(0) {
                let account = accounts.entry(&receipt.debit.client).or_default();
                account.spend(receipt.debit.charged);
                *up_to = receipt.number.max(*up_to);
            }
        }
        let mut recorded = backup.settled.clone();
        for (router, number) in settled {
            let known = recorded.entry(*router).or_default();
            *known = (*number).max(*known);
        }
        // Who was caught lying must not be asked again because of what fails below.
        self.restore(&backup.standings).await?;
        let mut transaction = redis::pipe();
        transaction.atomic();
        self.put_keys(&mut transaction, backup)
            .map_err(RegistryError::from)?;
        for (client, account) in accounts {
            transaction.sadd(self.key("clients"), client.as_str());
            transaction.hset_multiple(self.account(client), &account.fields());
        }
        for (deposit, until) in &backup.deposits {
            let mark = self.key(&format!("deposit:{deposit}"));
            transaction
                .cmd("SET")
                .arg(mark)
                .arg(1)
                .arg("PXAT")
                .arg(until);
            transaction.zadd(self.key("deposits"), deposit, *until);
        }
        for (name, numbers) in [
            ("journals", &recorded),
            ("settled", &recorded),
            ("charged", &charged),
        ] {
            for (router, number) in numbers {
                transaction.hset(self.key(name), router.to_string(), number);
            }
        }
        if let Some(minimum) = backup.minimum_stake {
            transaction.set(self.key("minimum_stake"), minimum.0);
        }
        transaction
            .query_async::<Value>(&mut self.redis())
            .await
            .map_err(self.failed("put a backup back"))?;
        Ok(())
    }

    fn put_keys(
        &self,
        transaction: &mut Pipeline,
        backup: &RegistryBackup,
    ) -> Result<(), serde_json::Error> {
        for key in &backup.keys {
            let json = serde_json::to_string(key)?;
            transaction.hset(self.key("keys"), key.id.as_str(), json);
        }
        Ok(())
    }
}

fn by_router(numbers: HashMap<String, u64>) -> BTreeMap<WorkerId, u64> {
    let routers = numbers.into_iter();
    routers
        .filter_map(|(router, number)| Some((router.parse().ok()?, number)))
        .collect()
}

/// An account that no router has leases on.
#[derive(Debug, Default)]
struct Account {
    balance: u64,
    spent: u64,
    debt: u64,
    /// What else is known of it: all deposits, and those on chain.
    others: BTreeMap<String, String>,
}

/// A field whose value is no number.
struct NoAmount {
    field: String,
    value: String,
}

impl Account {
    fn of(fields: &BTreeMap<String, String>) -> Result<Self, NoAmount> {
        let mut account = Self::default();
        for (field, value) in fields {
            let amount = value.parse().map_err(|_| NoAmount {
                field: field.clone(),
                value: value.clone(),
            });
            match field.as_str() {
                "balance" => account.balance += amount?,
                "spent" => account.spent = amount?,
                "debt" => account.debt = amount?,
                // The routers that hold them are told anew what they may spend.
                lease if lease.starts_with("lease:") => account.balance += amount?,
                _ => {
                    account.others.insert(field.clone(), value.clone());
                }
            }
        }
        Ok(account)
    }

    fn spend(&mut self, charged: Amount) {
        self.spent += charged.0;
        let from_balance = self.balance.min(charged.0);
        self.balance -= from_balance;
        self.debt += charged.0 - from_balance;
    }

    fn fields(self) -> Vec<(String, String)> {
        let amounts = [
            ("balance", self.balance),
            ("spent", self.spent),
            ("debt", self.debt),
        ];
        let amounts = amounts.map(|(name, amount)| (name.to_owned(), amount.to_string()));
        amounts.into_iter().chain(self.others).collect()
    }
}
