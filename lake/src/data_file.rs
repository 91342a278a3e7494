//! The files of a table.

use crate::{Scalar, file_name};
use arrow::datatypes::Schema;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use streamsync_core::PartitionValues;

/// One Parquet file of a table, with what the Delta log says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    /// The path, relative to the table's root, as the log writes it (percent-encoded).
    pub path: String,
    /// The size in bytes.
    pub size: u64,
    /// The number of rows, where the writer recorded it.
    pub rows: Option<u64>,
    /// The value of every partition column.
    pub partition: PartitionValues,
    /// What is known of the values of top-level primitive columns, by column name.
    pub columns: BTreeMap<String, ColumnRange>,
}

impl DataFile {
    /// How often the rows of the file were rewritten since they were first written, by its name.
    pub fn generation(&self) -> u32 {
        file_name::generation(&self.path)
    }
}

/// Bounds of one column's values in one file. The bounds need not be tight: `min` is not above,
/// and `max` not below, any value in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnRange {
    /// A lower bound of the values that are not NULL.
    pub min: Option<Scalar>,
    /// An upper bound of the values that are not NULL.
    pub max: Option<Scalar>,
    /// The number of NULLs.
    pub nulls: Option<u64>,
}

/// The statistics that the log has of one file. Nothing in them is required, and what cannot be
/// read counts as unknown, because a query is right without them, only slower.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) rows: Option<u64>,
    pub(crate) columns: BTreeMap<String, ColumnRange>,
}

impl Statistics {
    /// Reads the JSON of an `add` action's `stats`.
    pub(crate) fn parse(json: &str, schema: &Schema) -> Self {
        let Ok(Value::Object(all)) = serde_json::from_str(json) else {
            return Self::default();
        };
        let part = |name: &str| all.get(name).and_then(Value::as_object);
        let (min, max, nulls) = (part("minValues"), part("maxValues"), part("nullCount"));
        let mut columns = BTreeMap::new();
        for field in schema.fields() {
            let of = |part: Option<&Map<String, Value>>| part?.get(field.name()).cloned();
            let bound = |part| Scalar::from_statistic(field.data_type(), &of(part)?);
            let range = ColumnRange {
                min: bound(min),
                max: bound(max).map(whole_millisecond),
                nulls: of(nulls).as_ref().and_then(Value::as_u64),
            };
            if range != ColumnRange::default() {
                columns.insert(field.name().clone(), range);
            }
        }
        Self {
            rows: all.get("numRecords").and_then(Value::as_u64),
            columns,
        }
    }
}

/// Delta's statistics cut instants down to whole milliseconds, so the greatest one stands for the
/// whole millisecond.
fn whole_millisecond(max: Scalar) -> Scalar {
    match max {
        Scalar::TimestampMicros(micros) if micros % 1000 == 0 => {
            Scalar::TimestampMicros(micros.saturating_add(999))
        }
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::tables;

    #[test]
    fn statistics_of_known_columns_are_kept() {
        let schema = &tables::definition("blocks").unwrap().schema;
        let json = r#"{"numRecords":3,
            "minValues":{"slot":5,"block_time":"2024-03-14T00:00:00.000Z","other":1},
            "maxValues":{"slot":9,"block_time":"2024-03-14T00:00:01.000Z"},
            "nullCount":{"slot":0,"leader":3}}"#;
        let statistics = Statistics::parse(json, schema);
        assert_eq!(statistics.rows, Some(3));
        assert_eq!(statistics.columns.len(), 3);
        let slot = &statistics.columns["slot"];
        assert_eq!(slot.min, Some(Scalar::Int(5)));
        assert_eq!(slot.max, Some(Scalar::Int(9)));
        assert_eq!(slot.nulls, Some(0));
        assert_eq!(statistics.columns["leader"].nulls, Some(3));
        let midnight = 1_710_374_400_000_000;
        let time = &statistics.columns["block_time"];
        assert_eq!(time.min, Some(Scalar::TimestampMicros(midnight)));
        assert_eq!(
            time.max,
            Some(Scalar::TimestampMicros(midnight + 1_000_999))
        );
    }

    #[test]
    fn broken_statistics_are_unknown() {
        let schema = &tables::definition("blocks").unwrap().schema;
        for json in ["", "[]", "{\"numRecords\":\"many\",\"minValues\":7}"] {
            let statistics = Statistics::parse(json, schema);
            assert_eq!(statistics.rows, None);
            assert!(statistics.columns.is_empty());
        }
    }
}
