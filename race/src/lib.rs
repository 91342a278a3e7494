//! The race: who runs for a query, when, and who has won.
//!
//! All of it is decided here and none of it done: there is no network, no clock and no source of
//! randomness in this crate. What happened goes in, with the time at which it did; what to do comes
//! out. The router does it with real workers, the simulation in `benches/simulation` with thousands
//! of imagined ones, and both run the same code.
//!
//! - [`Roster`]: the workers as known at a moment, with their [`Standing`](streamsync_registry::Standing)
//!   in the network and this router's own [`Record`] of each.
//! - [`choose`]: the racers for one query, and their reserves.
//! - [`Race`]: one race, from the start to a decision.
//! - [`next_multiplier`]: how prices follow the load.

mod breaker;
mod choice;
mod latency;
mod market;
mod race;
mod record;
mod roster;
#[cfg(test)]
mod tests;

pub use breaker::{Breaker, Circuit};
pub use choice::{Asked, Choice, choose, seeded};
pub use latency::RecentLatency;
pub use market::next_multiplier;
pub use race::{Decision, Failure, Race, Rules, State};
pub use record::Record;
pub use roster::{Known, Member, Roster};
