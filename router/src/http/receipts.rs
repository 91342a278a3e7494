//! `GET /v1/receipts`: what a client was charged.

use super::{
    access::{Allowed, Operates, Reads},
    error::Failure,
};
use axum::{
    extract::{Query, State},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use streamsync_registry::{FiledReceipt, Registry};

/// How many receipts are sent at once, unless fewer are asked for.
const AT_ONCE: usize = 1_000;

/// Which receipts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(AT_ONCE).clamp(1, AT_ONCE)
    }

    /// A place in the stream, and nothing else that Redis would take for one.
    fn after(&self) -> Result<Option<&str>, Failure> {
        let is_place = |text: &str| {
            let parts = text.split_once('-');
            parts.is_some_and(|(one, two)| one.parse::<u64>().is_ok() && two.parse::<u64>().is_ok())
        };
        match self.after.as_deref() {
            Some(text) if !is_place(text) => Err(Failure::no_place(text)),
            after => Ok(after),
        }
    }
}

type Pages = Result<Query<Page>, axum::extract::rejection::QueryRejection>;

fn page(pages: Pages) -> Result<Page, Failure> {
    pages
        .map(|Query(page)| page)
        .map_err(|error| Failure::unreadable(&error))
}

/// A receipt a line; where the next page begins is in a header.
fn lines(receipts: &[FiledReceipt]) -> Response {
    let mut body = String::new();
    for filed in receipts {
        body.push_str(&filed.receipt);
        body.push('\n');
    }
    let last = receipts.last().map(|filed| filed.id.clone());
    let next = HeaderName::from_static("streamsync-after");
    let mut response = ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response();
    if let Some(last) = last.and_then(|last| last.parse().ok()) {
        response.headers_mut().insert(next, last);
    }
    response
}

pub(super) async fn own(
    State(registry): State<Registry>,
    pages: Pages,
    allowed: Allowed<Reads>,
) -> Result<Response, Failure> {
    let page = page(pages)?;
    let client = &allowed.named()?.client;
    Ok(lines(
        &registry
            .receipts_of(client, page.after()?, page.limit())
            .await?,
    ))
}

pub(super) async fn all(
    State(registry): State<Registry>,
    pages: Pages,
    _allowed: Allowed<Operates>,
) -> Result<Response, Failure> {
    let page = page(pages)?;
    Ok(lines(
        &registry.receipts(page.after()?, page.limit()).await?,
    ))
}
