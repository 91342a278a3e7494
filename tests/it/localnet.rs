//! Money on a chain: the real program on a node of this machine, driven by the real binary over
//! JSON-RPC.

use crate::{
    billing::{all_receipts, ask},
    cluster::{PATIENCE, streamsync, text},
    network::Network,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use streamsync_access::SigningKey;
use streamsync_core::{Identity, Limits, Scope, WorkerId, config::SettlementConfig};
use streamsync_settlement::{Chain, JsonRpc, Pubkey, Rpc};
use streamsync_testing::eventually;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

const STRM: u64 = 1_000_000_000;
const PROGRAM: &str = "Bg7AL8hBaBxKTeUz1tXU55FvpnZmPeVbv2kr1jwrDXJ3";

/// The node and the program, as `scripts/localnet` builds them.
#[derive(Clone)]
pub struct Built {
    node: PathBuf,
    program: PathBuf,
}

/// What `STREAMSYNC_TEST_LOCALNET` names: the folder with both.
pub fn built() -> Option<Built> {
    let folder = std::env::var_os("STREAMSYNC_TEST_LOCALNET");
    let folder = PathBuf::from(folder.filter(|folder| !folder.is_empty())?);
    let built = Built {
        node: folder.join("localnet/debug/streamsync-localnet"),
        program: folder.join("strm.so"),
    };
    assert!(
        built.node.is_file() && built.program.is_file(),
        "{folder:?}"
    );
    Some(built)
}

/// A chain with a network, and the flags that name both.
struct Money {
    network: Network,
    /// Ends with its standard input.
    _node: Child,
    rpc: String,
    address: String,
    folder: PathBuf,
}

fn wallet(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

fn key(worker: WorkerId) -> Pubkey {
    Pubkey::new_from_array(*worker.as_bytes())
}

const AUTHORITY: u8 = 1;
const TREASURY: u8 = 2;
const CLIENT: u8 = 3;
/// The workers' own keys: `Network` makes those.
const WORKERS: u8 = 5;

fn worker(number: u8) -> u8 {
    100 + number
}

impl Money {
    async fn start(built: &Built) -> Self {
        let network = Network::secured().await;
        let folder = network.folder();
        let named = [AUTHORITY, TREASURY, CLIENT];
        for number in named.into_iter().chain((0..WORKERS).map(worker)) {
            let file = folder.join(format!("wallet-{number}.json"));
            wallet(number).write_new(&file).unwrap();
        }
        let rich = [AUTHORITY, CLIENT];
        let rich = rich.into_iter().chain((0..WORKERS).map(worker));
        let mut node = Command::new(&built.node)
            .arg(&built.program)
            .arg(PROGRAM)
            .args(rich.map(|number| wallet(number).id().to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
        let (rpc, mint) = loop {
            let line = lines.next_line().await.unwrap().expect("the node ended");
            if let Some(rest) = line.strip_prefix("ready ") {
                let (rpc, mint) = rest.split_once(' ').unwrap();
                break (rpc.to_owned(), mint.to_owned());
            }
        };
        let mut money = Self {
            network,
            _node: node,
            rpc,
            address: String::new(),
            folder,
        };
        let treasury = wallet(TREASURY).id().to_string();
        let made = money
            .run(
                AUTHORITY,
                &[
                    "network",
                    "create",
                    &mint,
                    "--treasury",
                    &treasury,
                    "--cooldown-s",
                    "0",
                ],
            )
            .await;
        let line = made.lines().find(|line| line.starts_with("network "));
        money.address = line.unwrap().split_whitespace().nth(1).unwrap().to_owned();
        money
            .run(AUTHORITY, &["network", "allow-mint", &mint])
            .await;
        money
    }

    fn command(&self, who: u8, arguments: &[&str]) -> Command {
        let mut command = streamsync();
        let keypair = self.folder.join(format!("wallet-{who}.json"));
        command
            .args(arguments)
            .env("STREAMSYNC_SETTLEMENT__RPC_URL", &self.rpc)
            .env("STREAMSYNC_SETTLEMENT__KEYPAIR", keypair)
            .env("STREAMSYNC_SETTLEMENT__DUST", "2")
            .env("STREAMSYNC_SETTLEMENT__LEASE_S", "2")
            .env("STREAMSYNC_SETTLEMENT__POLL_MS", "50");
        if !self.address.is_empty() {
            command.env("STREAMSYNC_SETTLEMENT__NETWORK", &self.address);
        }
        command
    }

    async fn run(&self, who: u8, arguments: &[&str]) -> String {
        let output = self.command(who, arguments).output().await.unwrap();
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}{error}");
        out
    }

    fn settle(&self, router: WorkerId) -> Command {
        let lake = self.folder.join("lake").display().to_string();
        let (router, redis) = (router.to_string(), self.network.redis.url());
        let flags = [
            "--bucket",
            &lake,
            "--redis-url",
            &redis,
            "--router",
            &router,
        ];
        let arguments = [&["settlement", "once"][..], &flags].concat();
        self.command(AUTHORITY, &arguments)
    }

    async fn settle_once(&self, router: WorkerId) -> String {
        let output = self.settle(router).output().await.unwrap();
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{out}{error}");
        out
    }

    async fn query(&self, key: &SigningKey, sql: &str) -> u16 {
        let url = &self.network.routers[0].url;
        let body = json!({ "sql": sql });
        let answer = ask(&self.network.client, url, key, "/v1/query", Some(&body)).await;
        answer.unwrap().status().as_u16()
    }
}

/// The whole way: stakes, a deposit, queries, receipts, batches, claims; with settlements that are
/// killed, and a Redis that loses everything.
pub async fn paid(built: Built) {
    let mut money = Money::start(&built).await;
    (0..WORKERS).for_each(|_| money.network.start_worker(&[]));
    money.network.start_router(&[]).await;
    let router = Identity::read(&money.folder.join("spool-0/router.json"))
        .unwrap()
        .id();
    let registry = money.network.registry().await;

    let all = usize::from(WORKERS);
    eventually(PATIENCE, async || {
        registry.workers().await.unwrap().len() == all
    })
    .await;

    // Only who has enough at stake is asked.
    for number in 0..WORKERS - 1 {
        let staked = money
            .run(worker(number), &["stake", "deposit", "10000000000000"])
            .await;
        assert!(staked.contains("enough to be asked"), "{staked}");
    }
    let little = money
        .run(worker(WORKERS - 1), &["stake", "deposit", "1"])
        .await;
    assert!(little.contains("too little to be asked"), "{little}");
    let seen = money.settle_once(router).await;
    assert!(seen.contains("5 workers, 5 with another stake"), "{seen}");
    assert!(seen.contains("nothing to settle"), "{seen}");

    // Credit that was bought on the chain.
    let scopes = [Scope::Query, Scope::Operate];
    let acme = money.network.key("acme", &scopes, Limits::default()).await;
    assert_eq!(money.query(&acme, "select count(*) from blocks").await, 402);
    money
        .run(CLIENT, &["credit", "buy", "acme", "5000000000"])
        .await;
    let seen = money.settle_once(router).await;
    assert!(
        seen.contains("5 STRM of deposits credited to 1 clients"),
        "{seen}"
    );
    let balance = registry.balance(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!(balance.deposited.0, 5 * STRM);

    let mut asked = 0;
    let mut asks = async |money: &Money, count: usize| {
        let again = async || money.query(&acme, "select count(*) from blocks").await == 200;
        eventually(PATIENCE, again).await;
        for number in 0..count {
            // A lookup would be free on a machine that is slow.
            let sql = format!(
                "select {number} as n, program_id, count(*) from instructions group by program_id"
            );
            assert_eq!(money.query(&acme, &sql).await, 200);
        }
        asked += count + 1;
        let all = async || all_receipts(&registry).await.len() == asked;
        eventually(PATIENCE, all).await;
    };
    asks(&money, 20).await;
    let little = wallet(worker(WORKERS - 1)).id();
    for signed in all_receipts(&registry).await {
        assert_ne!(signed.receipt.winner, little);
        assert!(!signed.receipt.verifiers.contains(&little));
    }

    let charged = all_receipts(&registry).await;
    let charged: u64 = charged.iter().map(|signed| signed.receipt.charged.0).sum();
    assert!(charged > 0, "nothing to settle");

    // Settlements that are killed at any moment, and one that is not.
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..6 {
        let mut settlement = money.settle(router).stdout(Stdio::null()).spawn().unwrap();
        let moment = Duration::from_millis(random.random_range(20..1_500));
        let ended = tokio::time::timeout(moment, settlement.wait()).await;
        if ended.is_err() {
            settlement.kill().await.unwrap();
        }
    }
    settle_all(&money, router).await;
    let settled = all_receipts(&registry).await;

    // Redis loses receipts that are not settled: the router still has them.
    asks(&money, 10).await;
    money.network.redis.kill().await;
    money.network.redis.restart().await;
    eventually(PATIENCE, async || {
        let told = registry
            .receipt_progress(router)
            .await
            .unwrap_or_default()
            .recorded;
        told as usize == asked
    })
    .await;
    // Of those that were settled the router keeps some for a while.
    let mut receipts = settled;
    let before: BTreeSet<u64> = receipts.iter().map(|one| one.receipt.number).collect();
    let again = all_receipts(&registry).await;
    receipts.extend(
        again
            .into_iter()
            .filter(|one| !before.contains(&one.receipt.number)),
    );
    assert_eq!(receipts.len(), asked);
    settle_all(&money, router).await;

    check(&money, &receipts).await;
    let lake = money.folder.join("lake").display().to_string();
    let audited = money
        .run(
            AUTHORITY,
            &["settlement", "audit", "--all", "--bucket", &lake],
        )
        .await;
    assert!(audited.contains("as on the chain"), "{audited}");
    assert!(!audited.contains("should be"), "{audited}");

    // As operators see it.
    let url = money.network.routers[0].url.clone();
    let client = money.network.client.clone();
    let get = async |path: &str| -> serde_json::Value {
        let answer = ask(&client, &url, &acme_again(&money).await, path, None)
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    };
    let listed = get("/v1/settlements").await;
    let newest = &listed["settlements"][0];
    let shown = get(&format!("/v1/settlements/{}", newest["batch"])).await;
    assert_eq!(&shown, newest);
    let winner = receipts[0].receipt.winner;
    let rewards = get(&format!("/v1/rewards/{winner}")).await;
    assert_eq!(rewards["workers"][0]["worker"], winner.to_string());
    assert_eq!(rewards["workers"][0]["pending"], 0);
    assert!(
        rewards["workers"][0]["total"].as_u64().unwrap() > 0,
        "{rewards}"
    );

    // The way out.
    let back = money
        .run(worker(0), &["stake", "unstake", "10000000000000"])
        .await;
    assert!(back.contains("withdrawable  now"), "{back}");
    money.run(worker(0), &["stake", "withdraw"]).await;
    money.network.routers[0].stop().await;
}

/// A key of the operator, after Redis has lost the one before.
async fn acme_again(money: &Money) -> SigningKey {
    money
        .network
        .key("acme", &[Scope::Operate, Scope::Query], Limits::default())
        .await
}

async fn settle_all(money: &Money, router: WorkerId) {
    // A killed settlement has the lease for a while.
    eventually(Duration::from_secs(110), async || {
        let done = money.settle_once(router).await;
        done.contains("nothing to settle; 0 rewards")
    })
    .await;
}

/// What receipts give to whom is in their token accounts, to the unit, or carried over.
async fn check(money: &Money, receipts: &[streamsync_core::SignedReceipt]) {
    let config = SettlementConfig::default();
    let url = money.rpc.parse().unwrap();
    let rpc = std::sync::Arc::new(JsonRpc::new(
        &url,
        Duration::from_millis(config.rpc_timeout_ms),
    ));
    let network = money.address.parse().unwrap();
    let chain = Chain::open(rpc.clone(), network).await.unwrap();
    let state = chain.network().await.unwrap();
    let mut earned: BTreeMap<Pubkey, u64> = BTreeMap::new();
    for signed in receipts {
        let (receipt, split) = (&signed.receipt, &signed.receipt.split);
        let mut parts = vec![
            (key(receipt.winner), split.winner),
            (state.terms.treasury, split.treasury),
            (state.terms.data, split.data),
            (state.terms.governance, split.governance),
        ];
        let verifiers = receipt.verifiers.iter().map(|worker| key(*worker));
        parts.extend(verifiers.zip(split.verifiers.iter().copied()));
        for (who, amount) in parts {
            *earned.entry(who).or_default() += amount.0;
        }
    }
    assert_eq!(state.last_receipt, receipts.len() as u64);
    assert_eq!(state.owed, 0, "all is claimed");
    let stakes = 10_000 * STRM;
    let had = |who: &Pubkey| {
        let rich = 1_000_000 * STRM;
        let staked: Vec<_> = (0..WORKERS - 1)
            .map(|number| wallet(worker(number)).id())
            .collect();
        if staked.iter().any(|worker| key(*worker) == *who) {
            return rich - stakes;
        }
        if *who == key(wallet(worker(WORKERS - 1)).id()) {
            return rich - 1;
        }
        if *who == key(wallet(AUTHORITY).id()) {
            rich
        } else {
            0
        }
    };
    let mut paid = 0;
    for (who, amount) in &earned {
        let account = chain.address().tokens(who);
        let account = rpc.accounts(&[account]).await.unwrap()[0].clone();
        let held = account.map_or(0, |account| {
            u64::from_le_bytes(account.data[64..72].try_into().unwrap())
        });
        // Less than the dust may be carried over.
        let got = held - had(who);
        assert!(*amount - got < 2, "{who} earned {amount} and got {got}");
        paid += got;
    }
    assert!(paid > 0);
}
