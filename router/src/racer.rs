//! One racer: a worker that is asked, and what it sends back.

use crate::connections::Connections;
use arrow::{
    array::RecordBatch, buffer::Buffer, datatypes::SchemaRef, error::ArrowError,
    ipc::reader::StreamDecoder,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{panic::catch_unwind, time::Duration};
use streamsync_core::{
    ANSWER_HEADER, Digest, DigestError, Outcome, Problem, Protocols, QUEUED_HEADER, Query,
    SignedAnswer, WorkerId, with_causes,
};
use streamsync_registry::Heartbeat;
use streamsync_tls::Credentials;

/// The most bytes of an error that are read, and how long they are waited for.
const MAX_PROBLEM_BYTES: u64 = 64 << 10;
const PROBLEM_PATIENCE: Duration = Duration::from_secs(1);

/// What encoding adds to an answer at the most: schema, padding and offsets.
const ENCODING_OVERHEAD: u64 = 16 << 20;

/// Why a racer's answer does not count.
#[derive(Debug, thiserror::Error)]
pub enum RacerError {
    /// It could not be reached, or the connection broke.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// It does not understand this router.
    #[error("it speaks versions {} to {} of the protocol, and this router others", .0.oldest, .0.newest)]
    Protocol(Protocols),
    /// It stopped in the middle of its answer.
    #[error("it sent nothing for {0:?}")]
    Stalled(Duration),
    /// It has too much to do.
    #[error("it is busy")]
    Busy,
    /// It failed.
    #[error("it answered {status}: {detail}")]
    Failed {
        /// Its HTTP status.
        status: u16,
        /// Its own words.
        detail: String,
    },
    /// What it says is not an answer to this query.
    #[error("it lied: {0}")]
    Lied(&'static str),
    /// Its rows cannot be read.
    #[error("its rows cannot be read")]
    Garbage(#[source] ArrowError),
    /// Its rows have no digest.
    #[error("its rows cannot be compared")]
    Digest(#[from] DigestError),
}

impl RacerError {
    /// Whether the worker did something that an honest one never does.
    pub(crate) fn is_dishonest(&self) -> bool {
        matches!(self, Self::Lied(_) | Self::Garbage(_))
    }
}

/// The way to the workers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workers(Connections);

/// The rows of an answer.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

impl Rows {
    /// Their size in memory.
    pub fn bytes(&self) -> usize {
        let size = RecordBatch::get_array_memory_size;
        self.batches.iter().map(size).sum()
    }
}

/// A genuine answer, whose rows still have to be fetched.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) signed: SignedAnswer,
    /// In a refusal, what is wrong with the query.
    pub(crate) detail: Option<String>,
    rows: Option<Incoming>,
}

/// A query as it is sent to workers, with the time that is left for it.
pub(crate) fn body(query: &Query, time_left_ms: u64) -> Bytes {
    let query = Query {
        time_left_ms,
        ..query.clone()
    };
    // A query is made of text, numbers and maps with text for keys: it can always be written.
    serde_json::to_vec(&query).unwrap_or_default().into()
}

impl Workers {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        Self(Connections::new(credentials))
    }

    /// Has a worker answer a query, up to where its signed answer is known and checked.
    pub(crate) async fn ask(
        &self,
        worker: &Heartbeat,
        query: &Query,
        body: Bytes,
    ) -> Result<Reply, RacerError> {
        let protocol = Protocols::OWN.shared(worker.protocols);
        let protocol = protocol.ok_or(RacerError::Protocol(worker.protocols))?;
        let response = self
            .0
            .post(
                worker.worker,
                &worker.endpoint,
                "/v1/execute",
                protocol,
                body,
            )
            .await?;
        match response.status() {
            StatusCode::OK => {
                let signed = signed(response.headers(), worker.worker, query)?;
                note_queued(response.headers());
                match signed.outcome {
                    Outcome::Rows { .. } => Ok(Reply {
                        signed,
                        detail: None,
                        rows: Some(response.into_body()),
                    }),
                    Outcome::Refused(_) => Err(RacerError::Lied("rows under a signed refusal")),
                }
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                let signed = signed(response.headers(), worker.worker, query)?;
                match signed.outcome {
                    Outcome::Refused(_) => Ok(Reply {
                        signed,
                        detail: Some(detail(response.into_body()).await),
                        rows: None,
                    }),
                    Outcome::Rows { .. } => Err(RacerError::Lied("a refusal under signed rows")),
                }
            }
            StatusCode::SERVICE_UNAVAILABLE => Err(RacerError::Busy),
            status => Err(RacerError::Failed {
                status: status.as_u16(),
                detail: detail(response.into_body()).await,
            }),
        }
    }
}

/// Measures how long the query waited in the worker's own queue, as the worker says.
fn note_queued(headers: &HeaderMap) {
    let queued = headers.get(QUEUED_HEADER);
    let queued = queued.and_then(|micros| micros.to_str().ok()?.parse::<u32>().ok());
    if let Some(micros) = queued {
        metrics::histogram!("streamsync_router_worker_queue_seconds")
            .record(f64::from(micros) / 1e6);
    }
}

fn signed(
    headers: &HeaderMap,
    worker: WorkerId,
    query: &Query,
) -> Result<SignedAnswer, RacerError> {
    let signed: SignedAnswer = headers
        .get(ANSWER_HEADER)
        .and_then(|header| serde_json::from_slice(header.as_bytes()).ok())
        .ok_or(RacerError::Lied("no signed answer"))?;
    if signed.worker != worker {
        return Err(RacerError::Lied("another worker's answer"));
    }
    if signed.query != query.id {
        return Err(RacerError::Lied("an answer to another query"));
    }
    if signed.snapshot != query.snapshot {
        return Err(RacerError::Lied("an answer on another snapshot"));
    }
    if !signed.is_genuine() {
        return Err(RacerError::Lied("a false signature"));
    }
    Ok(signed)
}

async fn detail(body: Incoming) -> String {
    let bytes = read(body, MAX_PROBLEM_BYTES, PROBLEM_PATIENCE).await;
    serde_json::from_slice::<Problem>(&bytes.unwrap_or_default())
        .map(|problem| problem.detail)
        .unwrap_or_else(|_| "without saying why".to_owned())
}

async fn read(mut body: Incoming, limit: u64, stall: Duration) -> Result<Vec<u8>, RacerError> {
    let mut bytes = Vec::new();
    while let Some(frame) = tokio::time::timeout(stall, body.frame())
        .await
        .map_err(|_| RacerError::Stalled(stall))?
    {
        let frame = frame.map_err(|error| RacerError::Connection(with_causes(&error)))?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(RacerError::Lied("a longer answer than was allowed"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

impl Reply {
    /// Fetches the rows, and sees that they are the ones that were signed. Gives up when nothing
    /// comes for `stall`.
    pub(crate) async fn rows(
        &mut self,
        query: &Query,
        stall: Duration,
    ) -> Result<Rows, RacerError> {
        let body = self.rows.take().ok_or(RacerError::Lied("no rows"))?;
        let bytes = read(body, query.max_bytes + ENCODING_OVERHEAD, stall).await?;
        let rows = decode(bytes).map_err(RacerError::Garbage)?;
        let Outcome::Rows {
            digest: signed,
            rows: count,
        } = self.signed.outcome
        else {
            return Err(RacerError::Lied("no rows"));
        };
        // Before they are hashed: a column of nulls is of any length in no bytes.
        let sent = rows
            .batches
            .iter()
            .map(|batch| batch.num_rows() as u64)
            .sum::<u64>();
        if sent != count {
            return Err(RacerError::Lied("another number of rows than it signed"));
        }
        if Digest::of(&rows.schema, &rows.batches, query.ordered)? == signed {
            Ok(rows)
        } else {
            Err(RacerError::Lied("other rows than it signed"))
        }
    }
}

/// Reads the rows that a worker sent. What it claims to send is believed no further than its bytes
/// go: nothing is allocated on its word, and where the reader panics over it, it is no Arrow.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<Rows, ArrowError> {
    catch_unwind(|| {
        let mut decoder = StreamDecoder::new();
        let mut left = Buffer::from_vec(bytes);
        let mut batches = Vec::new();
        while !left.is_empty() {
            batches.extend(decoder.decode(&mut left)?);
        }
        decoder.finish()?;
        let schema = decoder.schema();
        let schema = schema.ok_or_else(|| ArrowError::IpcError("no schema".to_owned()))?;
        Ok(Rows { schema, batches })
    })
    .unwrap_or_else(|_panic| Err(ArrowError::IpcError("the reader panicked".to_owned())))
}
