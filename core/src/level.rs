//! Levels of time that rows are rolled up to.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How long the time is that one row of a rollup stands for. Ordered from fine to coarse, and each
/// begins where some of the finer ones begin. All in UTC.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

/// A text that is no level.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no level: write minute, hour, day, month or year")]
pub struct UnknownLevel(pub String);

impl Level {
    /// All of them, from fine to coarse.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Year];

    /// Its name, which is also what `date_trunc` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The beginning of the time that an instant is in, both in microseconds since 1970. `None`
    /// beyond the years that a calendar knows.
    ///
    /// ```
    /// use streamsync_core::Level;
    /// let instant = 1_649_289_599_000_000; // 2022-04-06T23:59:59Z
    /// assert_eq!(Level::Day.start(instant), Some(1_649_203_200_000_000));
    /// assert_eq!(Level::Year.start(instant), Some(1_640_995_200_000_000));
    /// ```
    pub fn start(self, micros: i64) -> Option<i64> {
        let fixed = |length: TimeDelta| {
            let length = length.num_microseconds()?;
            Some(micros.div_euclid(length) * length)
        };
        let date = || Some(DateTime::from_timestamp_micros(micros)?.date_naive());
        match self {
            Self::Minute => fixed(TimeDelta::minutes(1)),
            Self::Hour => fixed(TimeDelta::hours(1)),
            Self::Day => fixed(TimeDelta::days(1)),
            Self::Month => midnight(date()?.with_day(1)?),
            Self::Year => midnight(NaiveDate::from_ymd_opt(date()?.year(), 1, 1)?),
        }
    }

    /// The beginning of the time after that which begins here.
    pub fn next(self, start: i64) -> Option<i64> {
        let fixed = |length: TimeDelta| start.checked_add(length.num_microseconds()?);
        let months = |count| {
            let date = DateTime::from_timestamp_micros(start)?.date_naive();
            midnight(date.checked_add_months(Months::new(count))?)
        };
        match self {
            Self::Minute => fixed(TimeDelta::minutes(1)),
            Self::Hour => fixed(TimeDelta::hours(1)),
            Self::Day => fixed(TimeDelta::days(1)),
            Self::Month => months(1),
            Self::Year => months(12),
        }
    }
}

fn midnight(date: NaiveDate) -> Option<i64> {
    Some(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let level = Self::ALL.into_iter().find(|level| level.name() == text);
        level.ok_or_else(|| UnknownLevel(text.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Each instant is in one time of each level, and the coarser ones begin with finer ones.
        #[test]
        fn levels_nest(micros in -1_000_000_000_000_000_i64..10_000_000_000_000_000) {
            for (index, level) in Level::ALL.into_iter().enumerate() {
                let start = level.start(micros).unwrap();
                let next = level.next(start).unwrap();
                prop_assert!(start <= micros && micros < next);
                prop_assert_eq!(level.start(start), Some(start));
                prop_assert_eq!(level.start(next), Some(next));
                for finer in &Level::ALL[..index] {
                    prop_assert_eq!(finer.start(start), Some(start));
                }
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("week".parse::<Level>().is_err());
    }
}
