//! Counting votes: which outcome enough racers agree on.

use crate::racer::Reply;
use streamsync_core::Outcome;

/// The genuine replies of a race so far, grouped by outcome, in the order in which they came.
#[derive(Default)]
pub(crate) struct Votes(Vec<(Outcome, Vec<Reply>)>);

impl Votes {
    /// Counts a reply.
    pub(crate) fn count(&mut self, reply: Reply) {
        let outcome = reply.signed.outcome;
        match self.0.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, replies)) => replies.push(reply),
            None => self.0.push((outcome, vec![reply])),
        }
    }

    /// Takes the replies that agree, if there are enough of them; first the first that came.
    pub(crate) fn decided(&mut self, needed: usize) -> Option<Vec<Reply>> {
        let index = self
            .0
            .iter()
            .position(|(_, replies)| replies.len() >= needed)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Puts back replies that turned out not to decide the race.
    pub(crate) fn put_back(&mut self, replies: Vec<Reply>) {
        replies.into_iter().for_each(|reply| self.count(reply));
    }

    /// The replies that differ from the outcome that was decided.
    pub(crate) fn dissenters(self) -> Vec<Reply> {
        self.0
            .into_iter()
            .flat_map(|(_, replies)| replies)
            .collect()
    }
}
