//! What happens when.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

/// Events in the order of their times; of the same time, in the order in which they were added.
pub struct Agenda<E> {
    events: BinaryHeap<Entry<E>>,
    added: u64,
}

struct Entry<E> {
    at: Duration,
    number: u64,
    event: E,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self {
            events: BinaryHeap::new(),
            added: 0,
        }
    }
}

impl<E> Agenda<E> {
    /// Adds an event.
    pub fn add(&mut self, at: Duration, event: E) {
        let number = self.added;
        self.added += 1;
        self.events.push(Entry { at, number, event });
    }

    /// The next event and its time.
    pub fn next(&mut self) -> Option<(Duration, E)> {
        self.events.pop().map(|entry| (entry.at, entry.event))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}
