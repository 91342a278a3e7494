//! What is rolled up.

use crate::{Level, TableName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A rollup, one `[[compactor.rollups]]`: figures of the rows of some tables, for each minute, hour,
/// day, month or year and for each group. It has a table for each level, `<name>_<level>`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RollupConfig {
    /// What queries call it.
    pub name: TableName,
    /// The tables that its rows come from; all of them are cut by date.
    pub tables: Vec<TableName>,
    /// A `SELECT` over those tables that gives `block_time`, the columns to group by, and those to
    /// measure. It must not look across days: it sees some days of the tables at a time.
    pub rows: String,
    /// The columns to group by.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// The columns that order rows of the same time, for `first` and `last`.
    #[serde(default)]
    pub order_by: Vec<String>,
    /// What is measured.
    pub measures: Vec<MeasureConfig>,
    /// The levels, from fine to coarse; each is computed from the one before it.
    pub levels: Vec<Level>,
}

/// One figure of a rollup.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureConfig {
    /// The name of its column. An `avg` has two: `<name>_sum` and `<name>_count`.
    pub name: String,
    /// How it is computed.
    pub function: MeasureFunction,
    /// The column that it is computed from; a `count` without one counts rows. NULLs do not count.
    #[serde(default)]
    pub of: Option<String>,
}

/// How a figure is computed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MeasureFunction {
    /// The exact sum of whole numbers.
    Sum,
    /// How many there are.
    Count,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// A sum and a count, of which the average is one by the other.
    Avg,
    /// That of the first row.
    First,
    /// That of the last row.
    Last,
}

impl RollupConfig {
    /// The name of the table of a level.
    pub fn table(&self, level: Level) -> String {
        format!("{}_{level}", self.name)
    }

    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        let mut fault = |what: &str| {
            faults.push(format!("compactor.rollups `{}` {what}", self.name));
        };
        if self.tables.is_empty() {
            fault("names no tables");
        }
        if self.measures.is_empty() {
            fault("has no measures");
        }
        if self.levels.is_empty() || !self.levels.is_sorted_by(|one, other| one < other) {
            fault("needs levels, from fine to coarse and each once");
        }
        let mut names: BTreeSet<&str> = ["time", "date"].into();
        let measures = self.measures.iter().map(|measure| &measure.name);
        for name in self.group_by.iter().chain(measures) {
            if !is_column(name) {
                fault(&format!("has a column `{name}`: write it as a_word"));
            }
            if !names.insert(name) {
                fault(&format!("has two columns `{name}`"));
            }
        }
        for measure in &self.measures {
            if measure.of.is_none() && measure.function != MeasureFunction::Count {
                fault(&format!("does not say what `{}` is of", measure.name));
            }
            let ordered = matches!(
                measure.function,
                MeasureFunction::First | MeasureFunction::Last
            );
            if ordered && self.order_by.is_empty() {
                fault(&format!("needs order_by for `{}`", measure.name));
            }
        }
        let more = self.order_by.iter();
        for column in more.chain(self.measures.iter().filter_map(|one| one.of.as_ref())) {
            if !is_column(column) {
                fault(&format!("names a column `{column}`: write it as a_word"));
            }
        }
    }
}

fn is_column(name: &str) -> bool {
    let mut letters = name.bytes();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && letters
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
}

/// The rollups that are there without any configuration.
pub(super) fn shipped() -> Vec<RollupConfig> {
    let measure = |name: &str, function, of: Option<&str>| MeasureConfig {
        name: name.to_owned(),
        function,
        of: of.map(str::to_owned),
    };
    let rollup = |name: &str, tables: &[&str], rows: &str| RollupConfig {
        name: known(name),
        tables: tables.iter().map(|table| known(table)).collect(),
        rows: rows.to_owned(),
        group_by: Vec::new(),
        order_by: Vec::new(),
        measures: Vec::new(),
        levels: vec![Level::Hour, Level::Day, Level::Month, Level::Year],
    };
    use MeasureFunction::{Count, First, Last, Max, Min, Sum};
    vec![
        RollupConfig {
            group_by: vec!["mint".to_owned()],
            measures: vec![
                measure("transfers", Count, None),
                measure("amount", Sum, Some("amount")),
            ],
            ..rollup(
                "token_transfers",
                &["token_balances"],
                "SELECT block_time, mint, coalesce(post_amount, 0) - coalesce(pre_amount, 0) AS amount \
                 FROM token_balances WHERE coalesce(post_amount, 0) > coalesce(pre_amount, 0)",
            )
        },
        RollupConfig {
            group_by: vec!["pool".to_owned()],
            order_by: ["slot", "transaction_index", "swap_index"]
                .map(str::to_owned)
                .to_vec(),
            measures: vec![
                measure("swaps", Count, None),
                measure("volume_a", Sum, Some("amount_a")),
                measure("volume_b", Sum, Some("amount_b")),
                measure("open", First, Some("price")),
                measure("high", Max, Some("price")),
                measure("low", Min, Some("price")),
                measure("close", Last, Some("price")),
            ],
            levels: Level::ALL.to_vec(),
            ..rollup(
                "pool_swaps",
                &["swaps"],
                "SELECT block_time, pool, slot, transaction_index, swap_index, amount_a, amount_b, \
                 amount_b::HUGEINT * 1000000000000 // nullif(amount_a::HUGEINT, 0) AS price \
                 FROM swaps",
            )
        },
        RollupConfig {
            group_by: vec!["program_id".to_owned()],
            measures: vec![
                measure("transactions", Count, None),
                measure("failed", Sum, Some("failed")),
                measure("fees", Sum, Some("fee")),
            ],
            ..rollup(
                "program_fees",
                &["transactions", "instructions"],
                "SELECT t.block_time, i.program_id, t.fee, (NOT t.success)::BIGINT AS failed \
                 FROM (SELECT DISTINCT slot, transaction_index, program_id FROM instructions) i \
                 JOIN transactions t USING (slot, transaction_index)",
            )
        },
        RollupConfig {
            measures: vec![
                measure("transactions", Count, None),
                measure("votes", Sum, Some("vote")),
                measure("failed", Sum, Some("failed")),
                measure("fees", Sum, Some("fee")),
            ],
            ..rollup(
                "transaction_rates",
                &["transactions"],
                "SELECT block_time, is_vote::BIGINT AS vote, (NOT success)::BIGINT AS failed, fee \
                 FROM transactions",
            )
        },
    ]
}

/// A name that is written here.
fn known(name: &str) -> TableName {
    TableName::known(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_has_no_faults() {
        let mut faults = Vec::new();
        for rollup in shipped() {
            rollup.faults(&mut faults);
            let name = rollup.name.as_str();
            assert_eq!(TableName::new(name).unwrap(), rollup.name);
        }
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn faults_are_named() {
        let mut rollup = shipped().remove(1);
        rollup.levels = vec![Level::Day, Level::Hour];
        rollup.order_by = Vec::new();
        rollup.group_by.push("swaps".to_owned());
        rollup.measures[1].of = None;
        rollup.measures[2].name = "volume\"b".to_owned();
        let mut faults = Vec::new();
        rollup.faults(&mut faults);
        let said = faults.join("\n");
        for what in [
            "from fine to coarse",
            "order_by for `open`",
            "two columns `swaps`",
            "what `volume_a` is of",
            "volume\"b",
        ] {
            assert!(said.contains(what), "{what}: {said}");
        }
    }
}
