//! Who is raced now, who waits, and who is told to come back later.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use streamsync_core::ClientId;
use tokio::sync::oneshot;

/// Who asks, as far as he is known.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Client {
    /// Somebody who has shown who he is.
    Named(ClientId),
    /// Somebody at an address.
    At(IpAddr),
}

/// A bounded number of places, and a bounded queue before them for each client. A place that gets
/// free goes to the clients in turn, so that one who asks a lot waits behind his own queries only.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Inner>);

struct Inner {
    limits: Limits,
    state: Mutex<State>,
}

/// How much is taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Queries at once.
    pub(crate) places: usize,
    /// Queries that wait.
    pub(crate) waiting: usize,
    /// Queries of one client that wait.
    pub(crate) waiting_per_client: usize,
    /// How long one waits.
    pub(crate) patience: Duration,
}

#[derive(Default)]
struct State {
    taken: usize,
    waiting: usize,
    /// Clients with queries that wait, next first.
    turns: VecDeque<Client>,
    queues: HashMap<Client, VecDeque<oneshot::Sender<Place>>>,
}

/// A place, until it is dropped.
pub(crate) struct Place(Option<Queue>);

/// Takes those of a client out of the queue who do not wait any longer.
struct Leaves<'a>(&'a Queue, Client);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let state = &mut *self.0.state();
        if let Some(queue) = state.queues.get_mut(&self.1) {
            let before = queue.len();
            queue.retain(|other| !other.is_closed());
            state.waiting -= before - queue.len();
            if queue.is_empty() {
                state.queues.remove(&self.1);
                state.turns.retain(|client| *client != self.1);
            }
        }
    }
}

/// There is no place, and no room to wait for one.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the router has {places} queries before it and no time for this one; come back later")]
pub struct Full {
    /// How many it answers at once.
    pub places: usize,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, at once or soon.
    pub(crate) async fn enter(&self, client: Client) -> Result<Place, Full> {
        let Limits {
            places,
            waiting,
            waiting_per_client,
            patience,
        } = self.0.limits;
        let full = Full { places };
        let place = {
            let mut state = self.state();
            if state.taken < places {
                state.taken += 1;
                return Ok(Place(Some(self.clone())));
            }
            if state.waiting >= waiting {
                return Err(full);
            }
            let state = &mut *state;
            let queue = state.queues.entry(client.clone()).or_default();
            if queue.len() >= waiting_per_client {
                return Err(full);
            }
            if queue.is_empty() && !state.turns.contains(&client) {
                state.turns.push_back(client.clone());
            }
            let (give, place) = oneshot::channel();
            queue.push_back(give);
            state.waiting += 1;
            place
        };
        let _leaves = Leaves(self, client);
        match tokio::time::timeout(patience, place).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(full),
        }
    }

    /// How many have a place, and how many wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state();
        (state.taken, state.waiting)
    }

    /// Who is next, if anyone waits. His place stays taken.
    fn next(state: &mut State) -> Option<oneshot::Sender<Place>> {
        while let Some(client) = state.turns.pop_front() {
            let Some(queue) = state.queues.get_mut(&client) else {
                continue;
            };
            let first = queue.pop_front();
            state.waiting -= usize::from(first.is_some());
            if queue.is_empty() {
                state.queues.remove(&client);
            } else {
                state.turns.push_back(client);
            }
            match first {
                Some(first) if !first.is_closed() => return Some(first),
                _ => {}
            }
        }
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else {
            return;
        };
        loop {
            let next = {
                let mut state = queue.state();
                let next = Queue::next(&mut state);
                if next.is_none() {
                    state.taken -= 1;
                }
                next
            };
            let Some(next) = next else {
                return;
            };
            // Who has just given up sends the place back, and it goes to the next.
            match next.send(Place(Some(queue.clone()))) {
                Ok(()) => return,
                Err(mut place) => drop(place.0.take()),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::{FutureExt, poll};
    use std::pin::pin;

    fn client(number: u8) -> Client {
        Client::At(IpAddr::from([127, 0, 0, number]))
    }

    fn queue(places: usize, waiting: usize, waiting_per_client: usize) -> Queue {
        Queue::new(Limits {
            places,
            waiting,
            waiting_per_client,
            patience: Duration::from_secs(60),
        })
    }

    #[tokio::test]
    async fn places_go_to_the_clients_in_turn() {
        let queue = queue(1, 10, 3);
        let first = queue.enter(client(1)).await.unwrap();
        let mut greedy: Vec<_> = (0..3).map(|_| Box::pin(queue.enter(client(1)))).collect();
        for one in &mut greedy {
            assert!(poll!(one).is_pending());
        }
        let mut modest = pin!(queue.enter(client(2)));
        assert!(poll!(&mut modest).is_pending());
        assert!(queue.enter(client(1)).now_or_never().unwrap().is_err());
        drop(first);
        let place = greedy.remove(0).await.unwrap();
        drop(place);
        let place = modest.await.unwrap();
        assert!(poll!(&mut greedy[0]).is_pending());
        drop(place);
        drop(greedy.remove(0).await.unwrap());
        drop(greedy.remove(0).await.unwrap());
        assert_eq!(queue.load(), (0, 0));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_no_place_taken() {
        let queue = queue(1, 2, 2);
        let first = queue.enter(client(1)).await.unwrap();
        {
            let mut second = pin!(queue.enter(client(1)));
            assert!(poll!(&mut second).is_pending());
        }
        drop(first);
        assert_eq!(queue.load(), (0, 0));
        let first = queue.enter(client(1)).await.unwrap();
        for _ in 0..5 {
            let mut other = pin!(queue.enter(client(2)));
            assert!(
                poll!(&mut other).is_pending(),
                "room for those who still wait"
            );
        }
        drop(first);
        assert_eq!(queue.load(), (0, 0));
    }

    #[tokio::test]
    async fn the_queue_of_all_is_bounded() {
        let queue = queue(1, 2, 2);
        let _first = queue.enter(client(1)).await.unwrap();
        let mut others: Vec<_> = (2..4)
            .map(|one| Box::pin(queue.enter(client(one))))
            .collect();
        for one in &mut others {
            assert!(poll!(one).is_pending());
        }
        assert!(queue.enter(client(5)).now_or_never().unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_his_patience() {
        let queue = queue(1, 2, 2);
        let _first = queue.enter(client(1)).await.unwrap();
        let waited = tokio::time::Instant::now();
        assert!(queue.enter(client(1)).await.is_err());
        assert_eq!(waited.elapsed(), Duration::from_secs(60));
    }
}
