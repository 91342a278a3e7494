//! A network with workers that earn, and what it must come to.

use crate::{bank::Bank, faulty_node::Node};
use solana_pubkey::Pubkey;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use streamsync_core::{
    Amount, Class, Identity, KeyId, Promise, QueryId, Receipt, SignedReceipt, Split, WorkerId,
    clock::{ManualClock, SystemClock},
    config::{BucketConfig, RedisConfig, SettlementConfig},
};
use streamsync_lake::Lake;
use streamsync_registry::{Debit, Registry};
use streamsync_settlement::{JsonRpc, Outcome, Rpc, SettleError, Settler, Steps, audit};
use streamsync_testing::Redis;
use uuid::Uuid;

pub struct TestNetwork {
    pub bank: Bank,
    pub redis: Redis,
    pub registry: Registry,
    pub lake: Lake,
    pub routers: Vec<Identity>,
    /// How many receipts each router has written.
    pub written: Vec<u64>,
    /// What the receipts that were written give to whom.
    pub earned: BTreeMap<Pubkey, u64>,
    pub receipts: u64,
    /// How many have been made: each has the lease in its own name.
    settlers: AtomicU64,
    /// The receipts of each router that were noted, as in the router's own files.
    pub files: Vec<Vec<SignedReceipt>>,
    pub dust: Amount,
}

pub fn worker(number: u8) -> Identity {
    Identity::from_seed([100 + number; 32])
}

fn key(worker: WorkerId) -> Pubkey {
    Pubkey::new_from_array(*worker.as_bytes())
}

impl TestNetwork {
    /// A network over a lake in memory.
    pub async fn start(name: &str) -> Self {
        let lake = Lake::open(&BucketConfig {
            url: format!("memory:///settlement-{name}"),
            ..BucketConfig::default()
        });
        Self::over(lake.unwrap()).await
    }

    pub async fn over(lake: Lake) -> Self {
        let redis = Redis::start().await;
        let registry = connect(&redis).await;
        Self {
            bank: Bank::new().await,
            registry,
            redis,
            lake,
            routers: vec![Identity::from_seed([1; 32]), Identity::from_seed([2; 32])],
            written: vec![0, 0],
            earned: BTreeMap::new(),
            receipts: 0,
            settlers: AtomicU64::new(0),
            files: vec![Vec::new(), Vec::new()],
            dust: Amount(1_000),
        }
    }

    /// The next receipt of a router, over which so much is charged.
    pub fn receipt(&mut self, router: usize, charged: u64) -> SignedReceipt {
        self.written[router] += 1;
        let number = self.written[router];
        let seed = number * 2 + router as u64;
        let verifiers: Vec<WorkerId> = (0..seed % 3)
            .map(|place| worker(((seed + place + 1) % 5) as u8).id())
            .collect();
        let receipt = Receipt {
            router: self.routers[router].id(),
            number,
            at_ms: 1_710_374_400_000 + number * 1_000,
            query: QueryId::new(&ManualClock::at(number), [router as u8; 10]),
            client: "acme".parse().unwrap(),
            key: KeyId::new([1; 16]),
            class: Class::Lookup,
            snapshot: "blocks@3".parse().unwrap(),
            digest: "07".repeat(32).parse().unwrap(),
            rows: 2,
            price: Amount(charged),
            charged: Amount(charged),
            promise: Promise::None,
            latency_us: 4_100,
            winner: worker((seed % 5) as u8).id(),
            split: Split::new(Amount(charged), verifiers.len()),
            verifiers,
            dissenters: Vec::new(),
        };
        receipt.sign(&self.routers[router]).unwrap()
    }

    /// Notes what a receipt gives to whom.
    pub fn note(&mut self, signed: &SignedReceipt) {
        let receipt = &signed.receipt;
        let (split, terms) = (&receipt.split, &self.bank.terms);
        let mut parts = vec![
            (key(receipt.winner), split.winner),
            (terms.treasury, split.treasury),
            (terms.data, split.data),
            (terms.governance, split.governance),
        ];
        let verifiers = receipt.verifiers.iter().map(|worker| key(*worker));
        parts.extend(verifiers.zip(split.verifiers.iter().copied()));
        for (who, amount) in parts {
            *self.earned.entry(who).or_default() += amount.0;
        }
        self.receipts += 1;
    }

    /// Writes receipts of a router, each over one amount.
    pub async fn earn(&mut self, router: usize, charges: &[u64]) {
        let first = self.written[router] + 1;
        let receipts: Vec<_> = charges
            .iter()
            .map(|charged| self.receipt(router, *charged))
            .collect();
        for receipt in &receipts {
            self.note(receipt);
        }
        self.files[router].extend(receipts.iter().cloned());
        self.record(router, first, &receipts).await;
    }

    pub async fn record(&self, router: usize, first: u64, receipts: &[SignedReceipt]) {
        let debits: Vec<Debit> = receipts
            .iter()
            .map(|signed| Debit {
                client: signed.receipt.client.clone(),
                charged: signed.receipt.charged,
                receipt: serde_json::to_string(signed).unwrap(),
            })
            .collect();
        let router = self.routers[router].id();
        self.registry
            .record_receipts(router, "holder", first, first, &debits)
            .await
            .unwrap();
    }

    /// Tells a Redis that has lost everything what the routers have in their files.
    pub async fn tell_again(&self) {
        for (router, receipts) in self.files.iter().enumerate() {
            self.record(router, 1, receipts).await;
        }
    }

    pub fn config(&self) -> SettlementConfig {
        SettlementConfig {
            routers: self.routers.iter().map(Identity::id).collect(),
            dust: self.dust,
            poll_ms: 1,
            tries: 3,
            claim_batches: 200,
            keep_s: 0,
            priority_fee_micro_lamports: 1,
            lease_s: 1,
            ..SettlementConfig::default()
        }
    }

    /// A node that fails so often of a hundred times.
    pub fn node(&self, trouble: u32, seed: u64) -> Arc<dyn Rpc> {
        let bank = self.bank.context.banks_client.clone();
        Arc::new(Node::new(bank, trouble, seed))
    }

    pub async fn settler_of(
        &self,
        config: SettlementConfig,
        node: Arc<dyn Rpc>,
        steps: Option<Arc<dyn Steps>>,
    ) -> Result<Settler, SettleError> {
        let number = self.settlers.fetch_add(1, Ordering::Relaxed);
        let holder = Uuid::from_u64_pair(1, number);
        self.settler_as(holder, config, node, steps).await
    }

    pub async fn settler_as(
        &self,
        holder: Uuid,
        config: SettlementConfig,
        node: Arc<dyn Rpc>,
        steps: Option<Arc<dyn Steps>>,
    ) -> Result<Settler, SettleError> {
        let settler = Settler::open(
            node,
            self.bank.address.network,
            self.bank.settler.insecure_clone(),
            (self.lake.clone(), self.registry.clone()),
            config,
            (Arc::new(SystemClock), holder),
        )
        .await?;
        Ok(match steps {
            Some(steps) => settler.told(steps),
            None => settler,
        })
    }

    pub async fn settler(&self) -> Settler {
        let settler = self.settler_of(self.config(), self.node(0, 0), None).await;
        settler.unwrap()
    }

    /// Deletes something in Redis, behind everybody's back.
    pub async fn delete(&self, name: &str) {
        let mut connection = self.redis.connection().await.unwrap();
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("*:{name}"))
            .query_async(&mut connection)
            .await
            .unwrap();
        if keys.is_empty() {
            return;
        }
        let _: u64 = redis::cmd("DEL")
            .arg(keys)
            .query_async(&mut connection)
            .await
            .unwrap();
    }

    /// Settles until there is nothing left to settle.
    pub async fn settle_all(&self) -> u64 {
        let settler = self.settler().await;
        let mut settled = 0;
        loop {
            match settler.once().await.unwrap() {
                Outcome::Settled { .. } => settled += 1,
                Outcome::Idle { .. } => return settled,
                // Whoever is gone had the lease.
                Outcome::Busy => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Every unit is where it has to be: in the recipients' accounts, or carried over; every
    /// receipt is in the lake once; and every batch is what the chain says.
    pub async fn check(&mut self) {
        let settler = self.settler().await;
        let chain = settler.chain();
        let network = chain.network().await.unwrap();
        let carried = self.carried(network.last_batch).await;
        for (who, earned) in self.earned.clone() {
            let account = self.bank.address.tokens(&who);
            let paid = match self.bank.exists(account).await {
                true => self.bank.balance(account).await,
                false => 0,
            };
            let waiting = carried.get(&who).copied().unwrap_or_default();
            assert_eq!(paid + waiting, earned, "{who}: {paid} paid");
        }
        assert_eq!(network.last_receipt, self.receipts);
        assert_eq!(network.owed, 0);
        let mut audited = 0;
        for number in 1..=network.last_batch {
            let done = audit(chain, &self.lake, number).await.unwrap();
            assert_eq!(done.difference, None, "batch {number}");
            audited += done.receipts;
        }
        assert_eq!(audited, self.receipts);
        let left = self.registry.receipts(None, 10).await.unwrap();
        assert_eq!(left, []);
    }

    async fn carried(&self, last_batch: u64) -> BTreeMap<Pubkey, u64> {
        let name = format!("settlements/batch-{last_batch:012}.jsonl.zst");
        let Some(bytes) = self.lake.get_object(&name).await.unwrap() else {
            return BTreeMap::new();
        };
        let text = zstd::decode_all(bytes.as_ref()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let header: streamsync_settlement::Header =
            serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let carried = header.carried_out.into_iter();
        carried
            .map(|reward| (reward.recipient, reward.amount.0))
            .collect()
    }
}

pub async fn connect(redis: &Redis) -> Registry {
    let config = RedisConfig {
        url: redis.url().parse::<url::Url>().unwrap().into(),
        timeout_ms: 30_000,
        ..RedisConfig::default()
    };
    Registry::connect(&config).await.unwrap()
}

/// A client of a node that is not there.
pub fn nowhere() -> Arc<dyn Rpc> {
    let url = "http://127.0.0.1:1/?api-key=hunter2".parse().unwrap();
    Arc::new(JsonRpc::new(&url, Duration::from_secs(1)))
}
