//! Hostile requests, one after the other.

use crate::{
    network::now_s,
    signed::{Answer, Request, nonce, send},
};
use std::collections::BTreeMap;
use streamsync_access::SigningKey;

/// A query that is answered.
pub const QUERY: &[u8] = br#"{"sql": "SELECT 41 + 1 AS n"}"#;

/// What hostile requests are made of, and what came of them.
pub struct Attack<'a> {
    pub router: &'a str,
    pub other_router: &'a str,
    pub good: &'a SigningKey,
    /// All that was said, to look for secrets in it.
    pub said: String,
    /// What came of each: status and problem.
    pub results: BTreeMap<String, (u16, String)>,
}

impl Attack<'_> {
    pub fn request(&self) -> Request {
        Request::signed(self.good, self.router, "POST", "/v1/query", QUERY)
    }

    pub async fn bytes(&mut self, name: &str, bytes: &[u8]) {
        let answer = send(self.router, bytes).await;
        self.note(name, &answer);
    }

    pub fn note(&mut self, name: &str, answer: &Answer) {
        self.said.push_str(&answer.text);
        let result = (answer.status, answer.problem());
        assert!(
            self.results.insert(name.to_owned(), result).is_none(),
            "{name} twice"
        );
    }

    pub async fn send(&mut self, name: &str, request: Request) {
        self.bytes(name, &request.bytes()).await;
    }

    /// Sends a request that both routers would take, as behind one name, to one and then to the other. Where
    /// Redis does not answer in time they take it, and count that; then another one is sent.
    pub async fn replay(&mut self, name: &str, operator: &SigningKey) {
        for _ in 0..10 {
            let before = self.unchecked(operator).await;
            let (host, at) = ("lake.example", now_s());
            let request =
                Request::signed_at(self.good, host, "POST", "/v1/query", QUERY, at, &nonce());
            assert_eq!(send(self.router, &request.bytes()).await.status, 200);
            let answer = send(self.other_router, &request.bytes()).await;
            if answer.status != 200 || self.unchecked(operator).await == before {
                self.note(name, &answer);
                return;
            }
        }
        panic!("Redis never answered in time");
    }

    /// How many nonces both routers took without Redis.
    async fn unchecked(&self, operator: &SigningKey) -> u64 {
        let mut count = 0;
        for router in [self.router, self.other_router] {
            let request = Request::signed(operator, router, "GET", "/metrics", b"");
            let said = send(router, &request.bytes()).await.text;
            assert!(said.contains("streamsync_router_workers "), "{said}");
            let lines = said.lines();
            count += lines
                .filter_map(|line| line.strip_prefix("streamsync_router_unchecked_nonces_total "))
                .map(|value| value.parse::<u64>().unwrap())
                .sum::<u64>();
        }
        count
    }

    /// The good request with another `signature-input`, signed by nobody.
    pub async fn input(&mut self, name: &str, edit: impl Fn(&str) -> String) {
        let request = self.request().edit("signature-input", edit);
        self.send(name, request).await;
    }
}

/// The table in the documents: name to status and problem.
pub fn documented() -> BTreeMap<String, (u16, String)> {
    let text = include_str!("../../docs/API.md");
    let (_, table) = text
        .split_once("| hostile request | status | `type` |")
        .unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let status = cells[2].parse().unwrap_or(0);
        (
            cells[1].to_owned(),
            (status, cells[3].trim_matches('`').to_owned()),
        )
    })
    .collect()
}
