//! Hostile requests, one after the other.

use crate::signed::{Answer, Request, send};
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
