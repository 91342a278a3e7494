//! One racer: a worker that is asked, and what it sends back.

use arrow::{
    array::RecordBatch, datatypes::SchemaRef, error::ArrowError, ipc::reader::StreamReader,
};
use reqwest::{Client, Response, StatusCode, header::HeaderMap};
use std::{error::Error, io::Cursor, time::Duration};
use streamsync_core::{
    ANSWER_HEADER, Digest, DigestError, Outcome, Problem, Query, SignedAnswer, WorkerId,
};
use streamsync_registry::Heartbeat;
use url::Url;

/// The most bytes of an error that are read.
const MAX_PROBLEM_BYTES: u64 = 64 << 10;

/// What encoding adds to an answer at the most: schema, padding and offsets.
const ENCODING_OVERHEAD: u64 = 16 << 20;

/// Why a racer's answer does not count.
#[derive(Debug, thiserror::Error)]
pub enum RacerError {
    /// It could not be reached, or the connection broke.
    #[error("the connection failed: {0}")]
    Connection(String),
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
    fn connection(error: &reqwest::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::Connection(message)
    }

    /// Whether the worker did something that an honest one never does.
    pub(crate) fn is_dishonest(&self) -> bool {
        matches!(self, Self::Lied(_) | Self::Garbage(_))
    }
}

/// The rows of an answer.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// A genuine answer, whose rows still have to be fetched.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) signed: SignedAnswer,
    /// In a refusal, what is wrong with the query.
    pub(crate) detail: Option<String>,
    response: Option<Response>,
}

/// A client for workers: HTTP/2 without encryption, connections kept.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .http2_prior_knowledge()
        .http2_adaptive_window(true)
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(1))
        .no_proxy()
        .build()
}

/// Has a worker answer a query, up to where its signed answer is known and checked.
pub(crate) async fn ask(
    client: &Client,
    worker: &Heartbeat,
    query: &Query,
) -> Result<Reply, RacerError> {
    let url = execute_url(&worker.endpoint);
    let sent = client.post(url).json(query).send().await;
    let response = sent.map_err(|error| RacerError::connection(&error))?;
    match response.status() {
        StatusCode::OK => {
            let signed = signed(response.headers(), worker.worker, query)?;
            match signed.outcome {
                Outcome::Rows { .. } => Ok(Reply {
                    signed,
                    detail: None,
                    response: Some(response),
                }),
                Outcome::Refused(_) => Err(RacerError::Lied("rows under a signed refusal")),
            }
        }
        StatusCode::UNPROCESSABLE_ENTITY => {
            let signed = signed(response.headers(), worker.worker, query)?;
            match signed.outcome {
                Outcome::Refused(_) => {
                    let detail = Some(detail(response).await);
                    Ok(Reply {
                        signed,
                        detail,
                        response: None,
                    })
                }
                Outcome::Rows { .. } => Err(RacerError::Lied("a refusal under signed rows")),
            }
        }
        StatusCode::SERVICE_UNAVAILABLE => Err(RacerError::Busy),
        status => {
            let detail = detail(response).await;
            Err(RacerError::Failed {
                status: status.as_u16(),
                detail,
            })
        }
    }
}

fn execute_url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    url.set_path("/v1/execute");
    url
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

async fn detail(response: Response) -> String {
    let bytes = read(response, MAX_PROBLEM_BYTES).await.unwrap_or_default();
    serde_json::from_slice::<Problem>(&bytes)
        .map(|problem| problem.detail)
        .unwrap_or_else(|_| "without saying why".to_owned())
}

async fn read(mut response: Response, limit: u64) -> Result<Vec<u8>, RacerError> {
    let mut bytes = Vec::new();
    let failed = |error| RacerError::connection(&error);
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(RacerError::Lied("a longer answer than was allowed"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

impl Reply {
    /// Fetches the rows, and sees that they are the ones that were signed.
    pub(crate) async fn rows(&mut self, query: &Query) -> Result<Rows, RacerError> {
        let response = self.response.take().ok_or(RacerError::Lied("no rows"))?;
        let bytes = read(response, query.max_bytes + ENCODING_OVERHEAD).await?;
        let rows = decode(bytes).map_err(RacerError::Garbage)?;
        let Outcome::Rows { digest: signed, .. } = self.signed.outcome else {
            return Err(RacerError::Lied("no rows"));
        };
        if Digest::of(&rows.schema, &rows.batches, query.ordered)? == signed {
            Ok(rows)
        } else {
            Err(RacerError::Lied("other rows than it signed"))
        }
    }
}

fn decode(bytes: Vec<u8>) -> Result<Rows, ArrowError> {
    let reader = StreamReader::try_new(Cursor::new(bytes), None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<_, _>>()?;
    Ok(Rows { schema, batches })
}
