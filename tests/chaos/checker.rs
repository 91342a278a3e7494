//! Whether answers are right.

use crate::{
    history::History,
    question::{Question, Subjects},
    schedule::seconds,
    violation::Violations,
};
use serde_json::Value;
use std::{collections::HashMap, time::Duration};
use streamsync_core::{
    Snapshot,
    clock::{Clock, SystemClock},
};
use streamsync_lake::Lake;
use tokio::sync::mpsc;

/// An answer that a client got.
pub struct Answer {
    pub question: Question,
    pub snapshot: Snapshot,
    pub rows: Value,
    /// The query's id.
    pub query: String,
    pub at: Duration,
}

/// What was checked.
#[derive(Debug, Default)]
pub struct Checked {
    pub answers: usize,
    /// Different questions on different snapshots.
    pub distinct: usize,
    pub versions: usize,
    pub files: usize,
    /// The longest that an answer waited to be checked.
    pub longest_wait: Duration,
}

/// Works out the right answer to each question on each snapshot that it was answered on, and compares,
/// until nobody sends any more. It keeps up with the storm, so that the compactor has not deleted what
/// it needs. What was answered before the storm is so for ever: `base` is the snapshot of then.
pub async fn check(
    lake: Lake,
    base: Snapshot,
    subjects: Subjects,
    mut answers: mpsc::UnboundedReceiver<Answer>,
    violations: Violations,
) -> Checked {
    let mut history = History::new(lake, subjects);
    history.learn(&base).await.unwrap();
    let mut right: HashMap<(Question, Snapshot), Value> = HashMap::new();
    let mut checked = Checked::default();
    while let Some(answer) = answers.recv().await {
        let waited = SystemClock.monotonic().saturating_sub(answer.at);
        checked.longest_wait = checked.longest_wait.max(waited);
        if let Err(error) = history.learn(&answer.snapshot).await {
            let (query, snapshot) = (&answer.query, &answer.snapshot);
            violations.note(format!(
                "query {query} was answered on {snapshot}, which could not be read {} later: {error:?}",
                seconds(waited)
            ));
            continue;
        }
        let place = (answer.question, answer.snapshot);
        if !right.contains_key(&place) {
            let (question, held) = (place.0.clone(), history.held(&place.1));
            let answer = tokio::task::spawn_blocking(move || question.answer(&held));
            right.insert(place.clone(), answer.await.unwrap());
        }
        let expected = &right[&place];
        if answer.rows != *expected {
            let ((question, snapshot), query) = (&place, &answer.query);
            violations.note(format!(
                "query {query}, {question:?} on {snapshot}: answered {}, right is {expected}",
                answer.rows
            ));
        }
        if place.0.is_for_ever() {
            let before = place.0.answer(&history.held(&base));
            if before != Value::Array(Vec::new()) && answer.rows != before {
                let ((question, snapshot), query) = (&place, &answer.query);
                violations.note(format!(
                    "query {query}, {question:?} on {snapshot}: answered {}, and {before} on {base}",
                    answer.rows
                ));
            }
        }
        checked.answers += 1;
    }
    checked.distinct = right.len();
    (checked.versions, checked.files) = history.read();
    checked
}
