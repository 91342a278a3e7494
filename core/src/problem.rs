//! Errors over HTTP, in the form of RFC 9457.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// An error as a client sees it: a stable machine name, and what happened in words.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// The stable name, a relative reference: `/problems/unknown-table`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The kind in words.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do about it.
    pub detail: String,
    /// The query, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_id: Option<String>,
    /// Further facts, by name: a position, a list of racers.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}
