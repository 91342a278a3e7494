//! One race, from the start to a decision.

use crate::{Choice, Member};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use streamsync_core::{Class, WorkerId, config::Policy};
use streamsync_registry::Observed;

/// After how many times the usual time a further worker is asked; after twice as many the next.
const BACKUP_AFTER: u32 = 4;

/// How a race is run.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What kind of work the query is.
    pub class: Class,
    /// When the racers start.
    pub policy: Policy,
    /// How many workers have to agree.
    pub needed: usize,
    /// How many race.
    pub racers: usize,
    /// The most that are asked, those included that replace others.
    pub most_asked: usize,
    /// When the rest starts in a hedged race, after its start.
    pub hedge_after: Duration,
}

/// Why a racer's answer does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// It has too much to do. That is no fault.
    Busy,
    /// It could not be reached, or failed, or took too long.
    Broken,
    /// It sent what no honest worker sends.
    Dishonest,
}

/// Where a race stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State<O> {
    /// Nobody has won yet.
    Running,
    /// Enough racers agree.
    Decided(Decision<O>),
    /// Nobody is left who could win.
    Lost,
}

/// What enough racers agree on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision<O> {
    /// What they answered.
    pub outcome: O,
    /// Who they are, in the order in which they answered.
    pub agreed: Vec<WorkerId>,
    /// How many different operators they have.
    pub operators: usize,
}

/// A race under way. It does nothing by itself: its methods are told what happened and return who
/// is to be asked next.
///
/// An outcome wins when `needed` racers have answered it. If the racers and their reserves have as
/// many different operators, so must those who agree; if they have fewer, all of these must be
/// among them.
///
/// ```
/// use std::time::Duration;
/// use streamsync_core::{Class, config::Policy};
/// use streamsync_race::{Choice, Race, Rules, State};
///
/// let rules = Rules {
///     class: Class::Lookup,
///     policy: Policy::Full,
///     needed: 3,
///     racers: 5,
///     most_asked: 15,
///     hedge_after: Duration::from_millis(5),
/// };
/// let (race, asked) = Race::<u8>::start(rules, Choice::default(), Duration::ZERO);
/// assert!(asked.is_empty());
/// assert_eq!(race.state(), State::Lost);
/// ```
#[derive(Debug)]
pub struct Race<O> {
    rules: Rules,
    reserves: VecDeque<Arc<Member>>,
    runners: Vec<Runner<O>>,
    /// How many different operators have to agree.
    operators: usize,
    began: Duration,
    /// Whether all racers run, and not only as many as have to agree.
    open: bool,
    /// How many more run because the race takes long.
    backups: usize,
    /// Whether the reports are in.
    closed: bool,
}

#[derive(Debug)]
struct Runner<O> {
    member: Arc<Member>,
    began: Duration,
    end: End<O>,
}

#[derive(Debug)]
enum End<O> {
    /// Not yet.
    Running,
    Answered(O, Duration),
    Failed(Failure),
    /// It answered, and could then not deliver.
    Withdrawn(Failure),
}

impl<O: Clone + Eq> Race<O> {
    /// Starts a race. Returns it, and who is to be asked.
    pub fn start(rules: Rules, choice: Choice, now: Duration) -> (Self, Vec<Arc<Member>>) {
        let operators = operators(choice.racers.iter().chain(&choice.reserves));
        let racers = rules.racers.min(choice.racers.len().max(rules.needed));
        let mut race = Self {
            rules: Rules { racers, ..rules },
            reserves: choice.racers.into_iter().chain(choice.reserves).collect(),
            runners: Vec::with_capacity(racers),
            operators: operators.clamp(1, rules.needed.max(1)),
            began: now,
            open: rules.policy == Policy::Full,
            backups: 0,
            closed: false,
        };
        let asked = race.replenish(now);
        (race, asked)
    }

    /// When to call [`Race::hedge`], if nothing happens before.
    pub fn hedge_at(&self) -> Option<Duration> {
        if !self.open {
            Some(self.began + self.rules.hedge_after)
        } else if self.backups < self.rules.needed && !self.reserves.is_empty() {
            let after = BACKUP_AFTER << self.backups;
            Some(self.began + self.rules.hedge_after * after)
        } else {
            None
        }
    }

    /// The race takes longer than such races do. A hedged race lets its other racers run; one in
    /// which all run gets a further one each time, as many as make a quorum in the end: racers that
    /// hang are not told from slow ones, and may be the majority.
    pub fn hedge(&mut self, now: Duration) -> Vec<Arc<Member>> {
        if self.open {
            self.backups += 1;
        }
        self.open = true;
        self.replenish(now)
    }

    /// A racer has answered.
    pub fn answered(&mut self, worker: WorkerId, outcome: O, now: Duration) -> Vec<Arc<Member>> {
        let class = self.rules.class;
        let Some(runner) = self.running_mut(worker) else {
            return Vec::new();
        };
        let took = now.saturating_sub(runner.began);
        runner.member.record().answered(class, took, now);
        runner.end = End::Answered(outcome, now);
        // A disagreement is as bad as a failure: somebody has to settle it.
        let disputed = self.votes().nth(1).is_some();
        self.open |= disputed;
        self.replenish(now)
    }

    /// A racer has failed. `jitter`, 0 to 1, is for its circuit breaker.
    pub fn failed(
        &mut self,
        worker: WorkerId,
        failure: Failure,
        now: Duration,
        jitter: f64,
    ) -> Vec<Arc<Member>> {
        let Some(runner) = self.running_mut(worker) else {
            return Vec::new();
        };
        match failure {
            Failure::Busy => runner.member.record().busy(now),
            Failure::Broken | Failure::Dishonest => runner.member.record().failed(now, jitter),
        }
        runner.end = End::Failed(failure);
        self.open = true;
        self.replenish(now)
    }

    /// A racer that had answered did not deliver what it promised: its answer counts no more.
    pub fn withdrawn(
        &mut self,
        worker: WorkerId,
        failure: Failure,
        now: Duration,
        jitter: f64,
    ) -> Vec<Arc<Member>> {
        let answered = self
            .runners
            .iter_mut()
            .find(|runner| runner.member.id() == worker && matches!(runner.end, End::Answered(..)));
        let Some(runner) = answered else {
            return Vec::new();
        };
        runner.member.record().broke_promise(now, jitter);
        runner.end = End::Withdrawn(failure);
        self.open = true;
        self.replenish(now)
    }

    /// From now on so many have to agree, and the race is open if it was decided with fewer.
    /// Returns who is to be asked for that.
    pub fn require(&mut self, needed: usize, now: Duration) -> Vec<Arc<Member>> {
        let runners = self.runners.iter().map(|runner| &runner.member);
        let operators = operators(runners.chain(&self.reserves));
        self.rules.needed = needed;
        self.rules.racers = self.rules.racers.max(needed);
        self.operators = operators.clamp(1, needed.max(1));
        self.replenish(now)
    }

    /// Where the race stands.
    pub fn state(&self) -> State<O> {
        let decided = self
            .votes()
            .find(|vote| self.decides(&vote.operators, vote.workers.len()));
        if let Some(vote) = decided {
            return State::Decided(Decision {
                outcome: vote.outcome.clone(),
                agreed: vote.workers,
                operators: vote.operators.len(),
            });
        }
        if self.running() == 0 {
            State::Lost
        } else {
            State::Running
        }
    }

    /// Whether a worker was asked.
    pub fn has_asked(&self, worker: WorkerId) -> bool {
        self.runners
            .iter()
            .any(|runner| runner.member.id() == worker)
    }

    /// How many racers run.
    pub fn running(&self) -> usize {
        let running = |runner: &&Runner<O>| matches!(runner.end, End::Running);
        self.runners.iter().filter(running).count()
    }

    /// Ends the race: who still runs is hung up on. Returns what it has shown of each racer.
    /// `decided` is the outcome that others have confirmed, if there is one; `blame`, whether those
    /// that still run have failed, because others answered in time.
    pub fn close(
        &mut self,
        decided: Option<&O>,
        blame: bool,
        now: Duration,
        jitter: f64,
    ) -> BTreeMap<WorkerId, Observed> {
        let mut observed = BTreeMap::new();
        if std::mem::replace(&mut self.closed, true) {
            return observed;
        }
        let places = self.places();
        for (runner, place) in self.runners.iter().zip(places) {
            let record = runner.member.record();
            let mut seen = Observed::default();
            match &runner.end {
                End::Running if blame => {
                    record.failed(now, jitter);
                    seen.failed = 1;
                }
                // Who began later, or in a race that nobody won, has not lost it.
                End::Running if decided.is_none() || runner.began > self.began => {
                    record.given_up();
                }
                End::Running => {
                    let after = now.saturating_sub(runner.began);
                    record.hung_up(self.rules.class, after, now, jitter);
                }
                End::Answered(outcome, _) => {
                    seen.answered = 1;
                    if let Some(decided) = decided {
                        seen.right = u64::from(outcome == decided);
                        seen.wrong = u64::from(outcome != decided);
                    }
                }
                End::Failed(Failure::Busy) => {}
                End::Failed(failure) | End::Withdrawn(failure) => {
                    seen.failed = 1;
                    seen.wrong = u64::from(*failure == Failure::Dishonest);
                }
            }
            if let Some(place) = place {
                (seen.places, seen.placed) = (place, 1);
            }
            *observed.entry(runner.member.id()).or_default() += seen;
        }
        observed
    }

    /// The place of each runner that ran from the start, 1 for the first to 0 for the last. Those
    /// that were hung up on share the places behind those that answered.
    fn places(&self) -> Vec<Option<f64>> {
        let from_start = |runner: &Runner<O>| {
            let took_part = matches!(runner.end, End::Running | End::Answered(..));
            took_part && runner.began == self.began
        };
        let field = self
            .runners
            .iter()
            .filter(|runner| from_start(runner))
            .count();
        let at = |runner: &Runner<O>| match runner.end {
            End::Answered(_, at) if from_start(runner) => Some(at),
            _ => None,
        };
        let answered = self.runners.iter().filter_map(at).count();
        let place = |behind: f64| 1.0 - behind / (field as f64 - 1.0);
        let each = self.runners.iter().map(|runner| {
            if field < 2 || !from_start(runner) {
                return None;
            }
            let behind = match at(runner) {
                Some(own) => self
                    .runners
                    .iter()
                    .filter_map(at)
                    .filter(|at| *at < own)
                    .count() as f64,
                None => (answered + field - 1) as f64 / 2.0,
            };
            Some(place(behind))
        });
        each.collect()
    }

    /// Asks reserves: so many that all racers run, and that a quorum is still within reach.
    fn replenish(&mut self, now: Duration) -> Vec<Arc<Member>> {
        let mut asked = Vec::new();
        if matches!(self.state(), State::Decided(_)) {
            return asked;
        }
        while self.wants_more() && self.runners.len() < self.rules.most_asked {
            let Some(member) = self.next_reserve() else {
                break;
            };
            member.record().asked(now);
            asked.push(Arc::clone(&member));
            self.runners.push(Runner {
                member,
                began: now,
                end: End::Running,
            });
        }
        asked
    }

    /// The next reserve: first one whose operator does not run or has not answered, as only such a
    /// one can help to a quorum of different operators.
    fn next_reserve(&mut self) -> Option<Arc<Member>> {
        let counts = |runner: &&Runner<O>| matches!(runner.end, End::Running | End::Answered(..));
        let operators: Vec<WorkerId> = self
            .runners
            .iter()
            .filter(counts)
            .map(|runner| runner.member.operator)
            .collect();
        let new = self
            .reserves
            .iter()
            .position(|member| !operators.contains(&member.operator));
        match new {
            Some(place) => self.reserves.remove(place),
            // Enough operators take part: another worker of one of them cannot help.
            None if self.operators >= self.rules.needed => None,
            None => self.reserves.pop_front(),
        }
    }

    fn wants_more(&self) -> bool {
        let answers = |runner: &&Runner<O>| matches!(runner.end, End::Running | End::Answered(..));
        let taking_part = self.runners.iter().filter(answers).count();
        let wanted = if self.open {
            self.rules.racers + self.backups
        } else {
            self.rules.needed
        };
        taking_part < wanted || !self.within_reach()
    }

    /// Whether those that run could still make a quorum with those that agree.
    fn within_reach(&self) -> bool {
        let running = || {
            let running = |runner: &&Runner<O>| matches!(runner.end, End::Running);
            self.runners.iter().filter(running)
        };
        let with_all = |vote: &Vote<'_, O>| {
            let mut operators = vote.operators.clone();
            operators.extend(running().map(|runner| runner.member.operator));
            operators.sort_unstable();
            operators.dedup();
            self.decides(&operators, vote.workers.len() + running().count())
        };
        let mut votes = self.votes().peekable();
        match votes.peek() {
            Some(_) => votes.any(|vote| with_all(&vote)),
            None => {
                let mut operators: Vec<_> =
                    running().map(|runner| runner.member.operator).collect();
                operators.sort_unstable();
                operators.dedup();
                self.decides(&operators, running().count())
            }
        }
    }

    fn decides(&self, operators: &[WorkerId], workers: usize) -> bool {
        workers >= self.rules.needed && operators.len() >= self.operators
    }

    /// The outcomes with those who answered them, in the order in which they first came.
    fn votes(&self) -> impl Iterator<Item = Vote<'_, O>> {
        let mut votes: Vec<Vote<'_, O>> = Vec::new();
        let mut answers: Vec<_> = self
            .runners
            .iter()
            .filter_map(|runner| match &runner.end {
                End::Answered(outcome, at) => Some((at, outcome, &runner.member)),
                _ => None,
            })
            .collect();
        answers.sort_by_key(|answer| answer.0);
        for (_, outcome, member) in answers {
            let index = match votes.iter().position(|vote| vote.outcome == outcome) {
                Some(index) => index,
                None => {
                    votes.push(Vote {
                        outcome,
                        workers: Vec::new(),
                        operators: Vec::new(),
                    });
                    votes.len() - 1
                }
            };
            let vote = &mut votes[index];
            vote.workers.push(member.id());
            if !vote.operators.contains(&member.operator) {
                vote.operators.push(member.operator);
            }
        }
        votes.into_iter()
    }

    fn running_mut(&mut self, worker: WorkerId) -> Option<&mut Runner<O>> {
        self.runners
            .iter_mut()
            .find(|runner| runner.member.id() == worker && matches!(runner.end, End::Running))
    }
}

/// How many different operators workers have.
fn operators<'a>(members: impl Iterator<Item = &'a Arc<Member>>) -> usize {
    members
        .map(|member| member.operator)
        .collect::<BTreeSet<_>>()
        .len()
}

struct Vote<'a, O> {
    outcome: &'a O,
    workers: Vec<WorkerId>,
    operators: Vec<WorkerId>,
}

impl<O> Drop for Race<O> {
    /// A race that is given up hangs up on all racers.
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        for runner in &self.runners {
            if matches!(runner.end, End::Running) {
                runner.member.record().given_up();
            }
        }
    }
}
