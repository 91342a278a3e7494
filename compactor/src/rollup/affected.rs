//! Which times have to be computed anew.

use super::{KEPT_FROM_DOMAIN, RollupError, RollupLevel, day, error::lake};
use std::collections::{BTreeMap, BTreeSet};
use streamsync_core::{Level, Scalar, TableName};
use streamsync_lake::{ColumnRange, DataFile, Table};

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// The times of a level that have got new rows.
#[derive(Debug, Default)]
pub(super) struct Affected {
    /// Their beginnings, in microseconds since 1970, with the size of the source files that may hold
    /// rows of them.
    starts: BTreeMap<i64, u64>,
    level: Option<Level>,
    /// Those that were left out because not all of their rows are there any more.
    pub(super) too_late: u64,
}

/// Some of the times, which are computed at once.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Their beginnings, in microseconds since 1970.
    pub(super) starts: BTreeSet<i64>,
    /// From the first beginning to the last end.
    pub(super) span: Option<(i64, i64)>,
}

impl Affected {
    /// What the sources have got since these versions; everything where that cannot be told.
    pub(super) async fn find(
        of: &RollupLevel<'_>,
        sources: &[Table],
        known: &BTreeMap<TableName, u64>,
    ) -> Result<Self, RollupError> {
        let mut starts = BTreeSet::new();
        let mut kept_from = i64::MIN;
        for source in sources {
            let failed = |error| lake(source.name(), error);
            let changes = match known.get(source.name()) {
                Some(version) => source.changes_since(*version).await.map_err(failed)?,
                None => None,
            };
            let column = of.time_column();
            match changes {
                Some(commits) => {
                    for added in commits.iter().flat_map(|commit| &commit.added) {
                        let date = added.partition.get("date").cloned().flatten();
                        starts.extend(times(of.level, added.columns.get(column), date.as_deref()));
                    }
                }
                None => {
                    let files = source.files().await;
                    for file in files.map_err(|error| lake(source.name(), error))?.iter() {
                        let date = file.partition.get("date").cloned().flatten();
                        starts.extend(times(of.level, file.columns.get(column), date.as_deref()));
                    }
                }
            }
            let kept = source
                .domain(KEPT_FROM_DOMAIN)
                .await
                .map_err(|error| lake(source.name(), error))?;
            let kept = kept.and_then(|day| day.parse::<i64>().ok());
            kept_from = kept_from.max(kept.map_or(i64::MIN, |day| day * DAY));
        }
        let all = starts.len();
        starts.retain(|start| *start >= kept_from);
        let mut affected = Self {
            too_late: (all - starts.len()) as u64,
            level: Some(of.level),
            starts: BTreeMap::new(),
        };
        let mut sizes = Vec::new();
        for source in sources {
            let files = source
                .files()
                .await
                .map_err(|error| lake(source.name(), error))?;
            sizes.extend(files.iter().filter_map(|file| {
                let (low, high) = span_of(file, of.time_column())?;
                Some((low, high, file.size))
            }));
        }
        for start in starts {
            let end = of.level.next(start).unwrap_or(i64::MAX);
            let within = sizes
                .iter()
                .filter(|(low, high, _)| *low < end && *high >= start);
            let bytes = within.map(|(_, _, size)| size).sum();
            affected.starts.insert(start, bytes);
        }
        Ok(affected)
    }

    /// The times in groups, in their order, each of which has source files of no more than so many
    /// bytes, or only one time.
    pub(super) fn chunks(&self, most_bytes: u64) -> Vec<Chunk> {
        let Some(level) = self.level else {
            return Vec::new();
        };
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut bytes = u64::MAX;
        for (&start, &own) in &self.starts {
            let end = level.next(start).unwrap_or(i64::MAX);
            // Files that hold several of the times are counted for each of them, so a chunk is
            // rather too small; but one day of files is not cut into hours for that.
            let same_day = chunks
                .last()
                .and_then(|chunk| chunk.span)
                .is_some_and(|(first, _)| first.div_euclid(DAY) == start.div_euclid(DAY));
            match chunks.last_mut() {
                Some(chunk) if same_day || bytes.saturating_add(own) <= most_bytes => {
                    if !same_day {
                        bytes += own;
                    }
                    chunk.starts.insert(start);
                    chunk.span = chunk.span.map(|(first, _)| (first, end));
                }
                _ => {
                    bytes = own;
                    chunks.push(Chunk {
                        starts: [start].into(),
                        span: Some((start, end)),
                    });
                }
            }
        }
        chunks
    }
}

/// The beginnings of the times that rows within these bounds may be in. Without bounds they may be in
/// any of the partition's day; rows without a time are in none.
fn times(level: Level, range: Option<&ColumnRange>, date: Option<&str>) -> Vec<i64> {
    let Some((low, high)) = bounds(range, date) else {
        return Vec::new();
    };
    let mut starts = Vec::new();
    let mut next = level.start(low);
    while let Some(start) = next.filter(|start| *start <= high) {
        starts.push(start);
        next = level.next(start);
    }
    starts
}

fn bounds(range: Option<&ColumnRange>, date: Option<&str>) -> Option<(i64, i64)> {
    let date = Scalar::parse(&arrow::datatypes::DataType::Date32, date?);
    let Some(Scalar::Date(day)) = date else {
        return None;
    };
    let midnight = i64::from(day) * DAY;
    let micros = |bound: Option<&Scalar>| match bound {
        Some(Scalar::TimestampMicros(micros)) => Some(*micros),
        _ => None,
    };
    let low = micros(range.and_then(|range| range.min.as_ref()));
    let high = micros(range.and_then(|range| range.max.as_ref()));
    Some((low.unwrap_or(midnight), high.unwrap_or(midnight + DAY - 1)))
}

/// When the first and the last row of a file may be.
pub(super) fn span_of(file: &DataFile, time_column: &str) -> Option<(i64, i64)> {
    day(file)?;
    let date = file.partition.get("date").cloned().flatten();
    bounds(file.columns.get(time_column), date.as_deref())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn times_are_those_within_the_bounds() {
        let range = |low, high| ColumnRange {
            min: Some(Scalar::TimestampMicros(low)),
            max: Some(Scalar::TimestampMicros(high)),
            nulls: None,
        };
        let hours = times(
            Level::Hour,
            Some(&range(HOUR + 5, 3 * HOUR)),
            Some("1970-01-01"),
        );
        assert_eq!(hours, [HOUR, 2 * HOUR, 3 * HOUR]);
        let day = times(Level::Day, Some(&range(5, 7)), Some("1970-01-01"));
        assert_eq!(day, [0]);
        assert_eq!(times(Level::Hour, None, Some("1970-01-02")).len(), 24);
        assert!(times(Level::Hour, None, None).is_empty());
    }

    #[test]
    fn chunks_do_not_cut_a_day() {
        let hours = (0..72).map(|hour| (hour * HOUR, 10));
        let affected = Affected {
            starts: hours.collect(),
            level: Some(Level::Hour),
            too_late: 0,
        };
        let spans: Vec<_> = affected.chunks(1).iter().map(|chunk| chunk.span).collect();
        let days = [(0, DAY), (DAY, 2 * DAY), (2 * DAY, 3 * DAY)];
        assert_eq!(spans, days.map(Some));
        assert_eq!(affected.chunks(u64::MAX).len(), 1);
    }
}
