//! Which versions of what routers and workers say to each other a process understands.
//!
//! A change that others do not have to know of (a field that may be left out, a header that may be ignored)
//! is none of the protocol. One that they must know of gets the next number, and both numbers are spoken
//! for as long as both are in use: so routers and workers are upgraded one by one, in any order.

use serde::{Deserialize, Serialize};

/// The header of a request in which a router says what it speaks to the worker; without it, version 1.
pub const PROTOCOL_HEADER: &str = "streamsync-protocol";

/// The versions that a process understands, with both ends.
///
/// ```
/// use streamsync_core::Protocols;
///
/// let (old, new) = (Protocols { oldest: 1, newest: 2 }, Protocols { oldest: 2, newest: 4 });
/// assert_eq!(old.shared(new), Some(2));
/// assert_eq!(Protocols::FIRST.shared(new), None);
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Protocols {
    /// The oldest one.
    pub oldest: u16,
    /// The newest one.
    pub newest: u16,
}

impl Protocols {
    /// What those speak who do not say.
    pub const FIRST: Self = Self {
        oldest: 1,
        newest: 1,
    };
    /// What this version of StreamSync speaks.
    pub const OWN: Self = Self::FIRST;

    /// The newest version that both understand.
    pub fn shared(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// Whether a version is among them.
    pub fn include(self, version: u16) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

/// Of who does not say.
impl Default for Protocols {
    fn default() -> Self {
        Self::FIRST
    }
}
