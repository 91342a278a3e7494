//! The SQL of one level of a rollup.

use super::RollupLevel;
use crate::derived::{empty_view, quoted};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use duckdb::Connection;
use std::sync::Arc;
use streamsync_core::{
    Recorded,
    config::{MeasureConfig, MeasureFunction},
};
use streamsync_lake::Table;

/// The statements by which a level is computed.
#[derive(Debug)]
pub(super) struct Text {
    /// The rows that are grouped: a statement in parentheses, or the name of a table.
    from: String,
    /// The beginning of the time that a row is in.
    time: String,
    group_by: Vec<String>,
    /// Each column of figures with how it is computed from the rows, and from finer figures.
    figures: Vec<Figure>,
    finest: bool,
}

#[derive(Debug)]
struct Figure {
    recorded: Recorded,
    from_rows: String,
    from_finer: String,
    /// The column whose sum it is, if it is one.
    sum_of: Option<String>,
}

/// Why a level has no schema.
pub(super) enum SchemaError {
    Sql(duckdb::Error),
    Type { column: String, data_type: String },
}

impl From<duckdb::Error> for SchemaError {
    fn from(error: duckdb::Error) -> Self {
        Self::Sql(error)
    }
}

impl Text {
    pub(super) fn new(of: &RollupLevel<'_>) -> Self {
        let config = of.config;
        let from = match of.finer {
            None => format!("({})", config.rows),
            Some(finer) => quoted(&config.table(finer)),
        };
        let figures = config.measures.iter();
        Self {
            from,
            time: format!(
                "date_trunc('{}', {})",
                of.level,
                plain_time(&quoted(of.time_column()))
            ),
            group_by: config.group_by.clone(),
            figures: figures
                .flat_map(|measure| figures_of(measure, &config.order_by))
                .collect(),
            finest: of.finer.is_none(),
        }
    }

    /// The columns of figures.
    pub(super) fn recorded(&self) -> Vec<Recorded> {
        let figures = self.figures.iter();
        figures.map(|figure| figure.recorded.clone()).collect()
    }

    /// All columns but the partition's, in their order.
    pub(super) fn columns(&self) -> Vec<String> {
        let figures = self.figures.iter().map(|figure| &figure.recorded.name);
        let columns = self.group_by.iter().chain(figures).map(|name| quoted(name));
        std::iter::once(quoted("time")).chain(columns).collect()
    }

    /// The order of rows within a file.
    pub(super) fn order(&self) -> Vec<String> {
        let groups = self.group_by.iter().map(|name| quoted(name));
        groups.chain([quoted("time")]).collect()
    }

    /// The rows of all times that the sources hold, computed anew; `condition` is on `time`.
    pub(super) fn fresh(&self, condition: &str) -> String {
        let groups = self.group_by.iter().map(|name| quoted(name));
        let figures = self.figures.iter().map(|figure| {
            let how = match self.finest {
                true => &figure.from_rows,
                false => &figure.from_finer,
            };
            format!("{how} AS {}", quoted(&figure.recorded.name))
        });
        let time = format!("{} AS \"time\"", self.time);
        let columns: Vec<String> = std::iter::once(time).chain(groups).chain(figures).collect();
        let groups: Vec<String> = (1..=self.group_by.len() + 1)
            .map(|position| position.to_string())
            .collect();
        format!(
            "SELECT {} FROM {} AS given WHERE {} {condition} GROUP BY {}",
            columns.join(", "),
            self.from,
            self.time,
            groups.join(", ")
        )
    }

    /// The columns of the level's table, by asking DuckDB what it would compute.
    pub(super) fn schema(&self, sources: &[Table]) -> Result<SchemaRef, SchemaError> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("SET enable_external_access = false")?;
        for source in sources {
            connection.execute_batch(&empty_view(source.name().as_str(), source))?;
        }
        if self.finest {
            self.check_sums(&connection)?;
        }
        let mut statement = connection.prepare(&self.fresh("IS NOT NULL"))?;
        let _ = statement.stream_arrow([])?;
        let computed = statement.schema();
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut fields = vec![
            Field::new("date", DataType::Date32, false),
            Field::new("time", utc, false),
        ];
        for field in computed.fields().iter().skip(1) {
            let kept = matches!(
                field.data_type(),
                DataType::Int16
                    | DataType::Int32
                    | DataType::Int64
                    | DataType::Utf8
                    | DataType::Boolean
                    | DataType::Date32
                    | DataType::Decimal128(_, _)
            );
            if !kept {
                return Err(SchemaError::Type {
                    column: field.name().clone(),
                    data_type: field.data_type().to_string(),
                });
            }
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Sums are of whole numbers, so that they are exact whatever the order of the rows.
    fn check_sums(&self, connection: &Connection) -> Result<(), SchemaError> {
        let mut statement = connection.prepare(&format!("SELECT * FROM {} AS given", self.from))?;
        let _ = statement.stream_arrow([])?;
        let rows = statement.schema();
        for column in self
            .figures
            .iter()
            .filter_map(|figure| figure.sum_of.as_ref())
        {
            // One that is not there is named by DuckDB, when the level is computed.
            let Ok(field) = rows.field_with_name(column) else {
                continue;
            };
            let data_type = field.data_type();
            let whole = data_type.is_integer() || matches!(data_type, DataType::Decimal128(_, 0));
            if !whole {
                return Err(SchemaError::Type {
                    column: column.clone(),
                    data_type: data_type.to_string(),
                });
            }
        }
        Ok(())
    }
}

fn figures_of(measure: &MeasureConfig, order_by: &[String]) -> Vec<Figure> {
    let of = measure.of.as_deref().map(quoted).unwrap_or_default();
    let order: Vec<String> = order_by.iter().map(|column| quoted(column)).collect();
    let order = order.join(", ");
    let figure = |name: String, function, from_rows: String, from_finer: String| Figure {
        recorded: Recorded { name, function },
        from_rows,
        from_finer,
        sum_of: None,
    };
    let sum = |name: String| {
        let column = quoted(&name);
        let total = |of: &str| format!("CAST(sum({of}) AS DECIMAL(38, 0))");
        Figure {
            sum_of: measure.of.clone(),
            ..figure(name, MeasureFunction::Sum, total(&of), total(&column))
        }
    };
    let count = |name: String| {
        let column = quoted(&name);
        let counted = if of.is_empty() { "*" } else { &of };
        let rows = format!("count({counted})");
        let finer = format!("CAST(sum({column}) AS BIGINT)");
        figure(name, MeasureFunction::Count, rows, finer)
    };
    let name = measure.name.clone();
    let column = quoted(&name);
    let extreme = |function: &str| (format!("{function}({of})"), format!("{function}({column})"));
    // Of the rows that have one.
    let end = |function: &str| {
        (
            format!("{function}({of} ORDER BY {order}) FILTER (WHERE {of} IS NOT NULL)"),
            format!("{function}({column} ORDER BY \"time\") FILTER (WHERE {column} IS NOT NULL)"),
        )
    };
    let (rows, finer) = match measure.function {
        MeasureFunction::Sum => return vec![sum(name)],
        MeasureFunction::Count => return vec![count(name)],
        MeasureFunction::Avg => {
            return vec![sum(format!("{name}_sum")), count(format!("{name}_count"))];
        }
        MeasureFunction::Min => extreme("min"),
        MeasureFunction::Max => extreme("max"),
        MeasureFunction::First => end("first"),
        MeasureFunction::Last => end("last"),
    };
    vec![figure(name, measure.function, rows, finer)]
}

/// An instant as a timestamp without a zone, which needs no rules of time zones.
pub(super) fn plain_time(column: &str) -> String {
    format!("make_timestamp(epoch_us({column}))")
}
