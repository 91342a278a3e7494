//! The forms in which rows are sent.

use super::error::Failure;
use crate::racer::Rows;
use arrow::{
    csv,
    error::ArrowError,
    ipc::writer::StreamWriter,
    json::{LineDelimitedWriter, WriterBuilder, writer::JsonArray},
};
use axum::http::{HeaderMap, header::ACCEPT};
use serde_json::json;

/// A form of rows, chosen by the header `Accept`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Json,
    Ndjson,
    Csv,
    Arrow,
}

const ALL: [Format; 4] = [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow];

impl Format {
    /// The first form that the client accepts. Without a wish it is JSON.
    pub(super) fn accepted(headers: &HeaderMap) -> Result<Self, Failure> {
        let Some(accept) = headers.get(ACCEPT) else {
            return Ok(Self::Json);
        };
        let accept = accept.to_str().unwrap_or_default();
        let media_types = accept
            .split(',')
            .map(|part| part.split(';').next().unwrap_or_default().trim());
        for wanted in media_types {
            if ["*/*", "application/*", ""].contains(&wanted) {
                return Ok(Self::Json);
            }
            let known = ALL.into_iter().find(|format| {
                format.media_type() == wanted || (wanted == "text/*" && *format == Self::Csv)
            });
            if let Some(format) = known {
                return Ok(format);
            }
        }
        Err(Failure::not_acceptable(accept))
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    pub(super) fn encode(self, rows: &Rows) -> Result<Vec<u8>, Failure> {
        let encoded = match self {
            Self::Json => json(rows),
            Self::Ndjson => ndjson(rows),
            Self::Csv => csv(rows),
            Self::Arrow => ipc(rows),
        };
        encoded.map_err(|error| Failure::unencodable(self.media_type(), &error))
    }
}

/// `{"columns": [{"name", "type"}…], "rows": [{…}…]}`.
fn json(rows: &Rows) -> Result<Vec<u8>, ArrowError> {
    let columns = rows.schema.fields().iter();
    let columns: Vec<_> = columns
        .map(|field| json!({ "name": field.name(), "type": field.data_type().to_string() }))
        .collect();
    let mut out = format!("{{\"columns\":{},\"rows\":", json!(columns)).into_bytes();
    let start = out.len();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, JsonArray>(&mut out);
    rows.batches
        .iter()
        .try_for_each(|batch| writer.write(batch))?;
    writer.finish()?;
    drop(writer);
    if out.len() == start {
        out.extend(b"[]");
    }
    out.extend(b"}\n");
    Ok(out)
}

fn ndjson(rows: &Rows) -> Result<Vec<u8>, ArrowError> {
    let mut writer: LineDelimitedWriter<Vec<u8>> = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build(Vec::new());
    rows.batches
        .iter()
        .try_for_each(|batch| writer.write(batch))?;
    writer.finish()?;
    Ok(writer.into_inner())
}

fn csv(rows: &Rows) -> Result<Vec<u8>, ArrowError> {
    let mut out = Vec::new();
    let mut writer = csv::Writer::new(&mut out);
    if rows.batches.is_empty() {
        let empty = arrow::array::RecordBatch::new_empty(rows.schema.clone());
        writer.write(&empty)?;
    }
    rows.batches
        .iter()
        .try_for_each(|batch| writer.write(batch))?;
    drop(writer);
    Ok(out)
}

fn ipc(rows: &Rows) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema)?;
    rows.batches
        .iter()
        .try_for_each(|batch| writer.write(batch))?;
    writer.finish()?;
    writer.into_inner()
}
