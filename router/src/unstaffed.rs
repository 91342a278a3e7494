//! Queries that wait for workers to come.

use crate::{Fleet, RaceError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use streamsync_race::Roster;

/// How many queries wait because too few workers live. Who scales workers looks at it: a network that
/// was scaled down to none is woken by it.
#[derive(Default)]
pub(crate) struct Unstaffed(AtomicUsize);

/// Counts one that waits, until it stops to.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Unstaffed {
    pub(crate) fn waiting(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// The workers, as soon as so many live.
    pub(crate) async fn staffed(
        &self,
        fleet: &Fleet,
        needed: usize,
        patience: Duration,
    ) -> Result<Arc<Roster>, RaceError> {
        let roster = fleet.roster();
        if roster.members().len() >= needed {
            return Ok(roster);
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.0);
        let staffed = fleet.staffed(needed);
        tokio::time::timeout(patience, staffed)
            .await
            .map_err(|_over| RaceError::TooFew {
                alive: fleet.roster().members().len(),
                needed,
            })
    }
}
