//! Which requests fail, and how.

use super::Asked;
use hyper::Method;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request goes on only after a while.
    Slow(Duration),
    /// `500 InternalError`, and nothing is done.
    InternalError,
    /// `503 SlowDown`, and nothing is done.
    SlowDown,
    /// The connection is reset in the middle of the answer's body.
    Reset(Cut),
    /// The body ends before it is as long as the answer says, and the connection is closed.
    Truncated(Cut),
    /// The body ends early, and the answer's `content-length` is that of what is left: a server that
    /// lies. Only reading it tells that something is missing.
    Shortened(Cut),
    /// What was asked for is done, and the connection is closed without an answer.
    LostAnswer,
    /// What was asked for is done, and the answer is `500 InternalError`.
    ErrorAfterwards,
    /// Lists leave out the objects that were put, through the proxy, after the rule was made.
    StaleList,
}

impl Fault {
    /// One fault of each kind; bodies are cut in the middle.
    pub fn every_kind() -> [Self; 9] {
        let half = Cut::Percent(50);
        [
            Self::Slow(Duration::from_millis(300)),
            Self::InternalError,
            Self::SlowDown,
            Self::Reset(half),
            Self::Truncated(half),
            Self::Shortened(half),
            Self::LostAnswer,
            Self::ErrorAfterwards,
            Self::StaleList,
        ]
    }

    /// The fault's name, by which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Slow(_) => "slow",
            Self::InternalError => "internal error",
            Self::SlowDown => "slow down",
            Self::Reset(_) => "reset",
            Self::Truncated(_) => "truncated",
            Self::Shortened(_) => "shortened",
            Self::LostAnswer => "lost answer",
            Self::ErrorAfterwards => "error afterwards",
            Self::StaleList => "stale list",
        }
    }

    /// Whether it can happen to such a request.
    fn concerns(&self, asked: &Asked) -> bool {
        match self {
            Self::Reset(_) | Self::Truncated(_) | Self::Shortened(_) => asked.method == Method::GET,
            Self::StaleList => asked.lists,
            _ => true,
        }
    }
}

/// Where a body is cut.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// After so many bytes.
    After(usize),
    /// After this share of it, in percent.
    Percent(usize),
    /// Before its last line.
    LastLine,
}

impl Cut {
    /// How much of a body is left; `None` where nothing would be missing.
    pub(super) fn of(self, body: &[u8]) -> Option<usize> {
        let kept = match self {
            Self::After(bytes) => bytes,
            Self::Percent(percent) => body.len() * percent / 100,
            Self::LastLine => {
                let end = body.len() - usize::from(body.ends_with(b"\n"));
                let last = body[..end].iter().rposition(|byte| *byte == b'\n');
                last.map_or(0, |newline| newline + 1)
            }
        };
        (kept < body.len()).then_some(kept)
    }
}

/// Which of the requests that a rule is about it picks.
#[derive(Debug)]
enum Pick {
    All,
    Every(usize),
    First(usize),
    Share(f64, Box<StdRng>),
}

/// A fault, and the requests that it happens to.
///
/// ```
/// use streamsync_testing::{Cut, Fault, Rule};
///
/// // Every tenth file of rows comes only half.
/// let rule = Rule::new(Fault::Reset(Cut::Percent(50))).path(".parquet").every(10);
/// # drop(rule);
/// ```
#[derive(Debug)]
pub struct Rule {
    fault: Fault,
    method: Option<Method>,
    path: String,
    pick: Pick,
    seen: usize,
    since: usize,
}

impl Rule {
    /// A fault of every request that it can happen to.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            method: None,
            path: String::new(),
            pick: Pick::All,
            seen: 0,
            since: 0,
        }
    }

    /// Of requests with this method only.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Method::from_bytes(method.as_bytes()).ok();
        self
    }

    /// Of requests only that have this text in their path or query, which are looked at without
    /// escapes.
    pub fn path(mut self, text: &str) -> Self {
        self.path = text.to_owned();
        self
    }

    /// Of every n-th of them only, the first included.
    pub fn every(mut self, n: usize) -> Self {
        self.pick = Pick::Every(n);
        self
    }

    /// Of the first so many of them only.
    pub fn first(mut self, count: usize) -> Self {
        self.pick = Pick::First(count);
        self
    }

    /// Of a share of them only, drawn at random from this seed.
    pub fn share(mut self, share: f64, seed: u64) -> Self {
        self.pick = Pick::Share(share, Box::new(StdRng::seed_from_u64(seed)));
        self
    }

    /// From the moment on at which so many objects had been put.
    pub(super) fn since(mut self, put: usize) -> Self {
        self.since = put;
        self
    }

    /// The fault of this request, if the rule picks it.
    pub(super) fn applies(&mut self, asked: &Asked) -> Option<(Fault, usize)> {
        let about = self.fault.concerns(asked)
            && self
                .method
                .as_ref()
                .is_none_or(|method| *method == asked.method)
            && asked.text.contains(&self.path);
        if !about {
            return None;
        }
        let number = self.seen;
        self.seen += 1;
        let picked = match &mut self.pick {
            Pick::All => true,
            Pick::Every(n) => number.is_multiple_of(*n),
            Pick::First(count) => number < *count,
            Pick::Share(share, random) => random.random_bool(*share),
        };
        picked.then(|| (self.fault.clone(), self.since))
    }
}
