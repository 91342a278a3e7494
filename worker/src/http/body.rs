//! Rows as an Arrow IPC stream, encoded batch by batch as the caller takes them.

use arrow::{
    array::RecordBatch, datatypes::SchemaRef, error::ArrowError, ipc::writer::StreamWriter,
};
use axum::body::Body;
use bytes::Bytes;
use futures::stream;

pub(super) fn stream(schema: SchemaRef, batches: Vec<RecordBatch>) -> Body {
    let pieces = match StreamWriter::try_new(Vec::new(), &schema) {
        Ok(writer) => Pieces {
            writer: Some(writer),
            batches: batches.into_iter(),
        },
        Err(error) => return Body::from_stream(stream::iter([Err::<Bytes, _>(error)])),
    };
    Body::from_stream(stream::iter(pieces))
}

struct Pieces {
    writer: Option<StreamWriter<Vec<u8>>>,
    batches: std::vec::IntoIter<RecordBatch>,
}

impl Iterator for Pieces {
    type Item = Result<Bytes, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut writer = self.writer.take()?;
        let batch = self.batches.next();
        let written = match &batch {
            Some(batch) => writer.write(batch),
            None => writer.finish(),
        };
        let piece = Bytes::from(std::mem::take(writer.get_mut()));
        if batch.is_some() && written.is_ok() {
            self.writer = Some(writer);
        }
        Some(written.map(|()| piece))
    }
}
