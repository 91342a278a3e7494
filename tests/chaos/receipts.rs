//! Whether there is a receipt for every answer, once, and the accounts say the same.

use crate::{accounts::DEPOSIT, ledger::Entry, violation::Violations};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use streamsync_core::{ClientId, Receipt, SignedReceipt, WorkerId};
use streamsync_registry::Registry;

/// How many receipts are asked for at a time.
const PAGE: usize = 1_000;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub receipts: usize,
    /// Answers that clients got.
    pub answers: usize,
    pub charged: u64,
}

/// All receipts that Redis has.
async fn all(registry: &Registry) -> Vec<SignedReceipt> {
    let mut receipts = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = registry.receipts(after.as_deref(), PAGE).await.unwrap();
        let Some(last) = page.last() else {
            return receipts;
        };
        after = Some(last.id.clone());
        let signed = page.iter().map(|filed| &filed.receipt);
        receipts.extend(signed.map(|text| serde_json::from_str::<SignedReceipt>(text).unwrap()));
    }
}

/// Compares the receipts with each other, with what clients saw, and with the accounts. The routers
/// have stopped. Nothing was settled, so a Redis that had lost all has all again.
pub async fn check(
    registry: &Registry,
    clients: &[ClientId],
    entries: &HashMap<String, Entry>,
    violations: &Violations,
) -> Found {
    let signed = all(registry).await;
    let mut by_query: HashMap<String, &Receipt> = HashMap::new();
    let mut numbers: BTreeMap<WorkerId, Vec<u64>> = BTreeMap::new();
    let mut spent: BTreeMap<&ClientId, u64> = BTreeMap::new();
    for signed in &signed {
        let receipt = &signed.receipt;
        let name = format!("receipt {} of {}", receipt.number, receipt.router);
        if !signed.is_genuine() || !receipt.adds_up() {
            violations.note(format!("{name} is not signed, or does not add up"));
        }
        if by_query
            .insert(receipt.query.to_string(), receipt)
            .is_some()
        {
            violations.note(format!("query {} has two receipts", receipt.query));
        }
        numbers
            .entry(receipt.router)
            .or_default()
            .push(receipt.number);
        *spent.entry(&receipt.client).or_default() += receipt.charged.0;
    }
    for (router, numbers) in &mut numbers {
        numbers.sort_unstable();
        let whole = numbers.iter().copied().eq(1..=numbers.len() as u64);
        if !whole {
            let last = numbers.last().copied().unwrap_or_default();
            let there: BTreeSet<u64> = numbers.iter().copied().collect();
            let missing: Vec<u64> = (1..=last)
                .filter(|number| !there.contains(number))
                .collect();
            violations.note(format!(
                "router {router} has {} receipts up to number {last}; missing are {missing:?}",
                numbers.len()
            ));
        }
    }
    compare(entries, &by_query, clients, violations);
    for client in clients {
        let own = spent.get(client).copied().unwrap_or_default();
        let balance = registry.balance(client).await.unwrap();
        let adds_up = balance.spent.0 == own
            && balance.leased.0 == 0
            && balance.deposited == DEPOSIT
            && DEPOSIT.0 + balance.debt.0 == balance.balance.0 + own
            && balance.debt.0 == 0;
        if !adds_up {
            violations.note(format!(
                "{client} was charged {own} by receipts and has {balance:?}"
            ));
        }
    }
    Found {
        receipts: signed.len(),
        answers: entries.len(),
        charged: spent.values().sum(),
    }
}

/// Each answer against its receipt.
fn compare(
    entries: &HashMap<String, Entry>,
    receipts: &HashMap<String, &Receipt>,
    clients: &[ClientId],
    violations: &Violations,
) {
    let mut routers: BTreeMap<usize, WorkerId> = BTreeMap::new();
    for (query, entry) in entries {
        let Some(receipt) = receipts.get(query) else {
            violations.note(format!(
                "{query} was answered and has no receipt: {entry:?}"
            ));
            continue;
        };
        let written = Entry {
            router: entry.router,
            client: entry.client,
            number: receipt.number,
            charged: receipt.charged.0,
            snapshot: receipt.snapshot.to_string(),
            digest: receipt.digest.to_string(),
            rows: receipt.rows,
        };
        let router = routers.entry(entry.router).or_insert(receipt.router);
        if written != *entry || *router != receipt.router || receipt.client != clients[entry.client]
        {
            violations.note(format!(
                "{query} was answered as {entry:?}, its receipt: {receipt:?}"
            ));
        }
    }
}
