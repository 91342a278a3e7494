//! What clients were given and charged, as they saw it.

use std::{collections::HashMap, sync::Mutex};

/// An answer, by its headers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Which of the routers gave it.
    pub router: usize,
    pub client: usize,
    /// The number of the receipt.
    pub number: u64,
    pub charged: u64,
    pub snapshot: String,
    pub digest: String,
    pub rows: u64,
}

/// All answers, by the id of the query.
#[derive(Default)]
pub struct Ledger(Mutex<HashMap<String, Entry>>);

impl Ledger {
    /// Notes an answer; false if the query was answered before.
    pub fn note(&self, query: String, entry: Entry) -> bool {
        self.0.lock().unwrap().insert(query, entry).is_none()
    }

    pub fn entries(&self) -> HashMap<String, Entry> {
        self.0.lock().unwrap().clone()
    }
}
