//! What a request says of its signature, and whether that holds.

use crate::{KeySecret, Message, content_digest, message::shown};
use http::HeaderMap;
use sfv::{BareItem, Dictionary, FieldType, InnerList, List, ListEntry, Parser};
use streamsync_core::KeyId;

/// For how many seconds a signature holds, before and after the moment that it names.
pub const WINDOW_S: u64 = 30;

const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";
/// What a nonce may be long: short ones are guessed to be there twice, long ones are paid by us.
const NONCE: std::ops::RangeInclusive<usize> = 8..=64;
/// The most components that a signature may cover.
const MOST_COVERED: usize = 32;

/// Why a signature does not hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("the request is not signed: it has no header `{0}`; docs/API.md says how to sign")]
    Missing(&'static str),
    /// A header is not what it should be.
    #[error(
        "the header `{0}` is not a dictionary of structured fields as RFC 9421 and RFC 9530 ask for"
    )]
    Malformed(&'static str),
    /// A header is there twice, or has two entries where there may be one.
    #[error("the header `{0}` may be there once only, with one entry")]
    Repeated(&'static str),
    /// The two headers do not belong together.
    #[error("`signature-input` and `signature` name different signatures")]
    OtherLabel,
    /// A parameter is missing or not of its type.
    #[error("the signature's parameter `{0}` is missing or not what it should be")]
    Parameter(&'static str),
    /// It is made by something else.
    #[error("the signature's algorithm is not hmac-sha256")]
    Algorithm,
    /// It covers what is not understood here.
    #[error(
        "the signature covers `{0}`, which is not understood here; cover @method, @authority, @path, @query and header fields"
    )]
    Unsupported(String),
    /// It covers a header that is not there.
    #[error("the signature covers the header `{0}`, which the request has not")]
    Absent(String),
    /// It covers something twice.
    #[error("the signature covers `{0}` twice")]
    CoveredTwice(String),
    /// It does not cover what it has to.
    #[error("the signature does not cover `{0}`")]
    NotCovered(&'static str),
    /// There is no digest of the body.
    #[error("the request has no `content-digest` by sha-256 or sha-512")]
    NoDigest,
    /// The digest is of another body.
    #[error("the body is not the one that `content-digest` was made of")]
    OtherBody,
    /// It was made too long ago.
    #[error("the signature was made {age_s} s ago and holds for {WINDOW_S} s; is the clock right?")]
    TooOld {
        /// How long ago.
        age_s: u64,
    },
    /// It was made in the future.
    #[error(
        "the signature is from {ahead_s} s in the future, and {WINDOW_S} s are tolerated; is the clock right?"
    )]
    Future {
        /// How far.
        ahead_s: u64,
    },
    /// The key did not make it.
    #[error("the signature is not one that the key made of this request")]
    Mismatch,
}

/// What a request says of its signature: who made it, when, and what it covers.
#[derive(Clone, Debug)]
pub struct SignatureInput {
    key: KeyId,
    created: u64,
    expires: Option<u64>,
    nonce: String,
    covered: Vec<String>,
    /// The value of `@signature-params`.
    parameters: String,
    signature: Vec<u8>,
}

impl SignatureInput {
    /// Reads the headers `signature-input` and `signature`. Nothing is verified yet.
    pub fn parse(headers: &HeaderMap) -> Result<Self, SignatureError> {
        let inputs = dictionary(headers, INPUT)?;
        let signatures = dictionary(headers, SIGNATURE)?;
        let ((label, input), (same_label, signature)) =
            (only(&inputs, INPUT)?, only(&signatures, SIGNATURE)?);
        if label != same_label {
            return Err(SignatureError::OtherLabel);
        }
        let ListEntry::InnerList(input) = input else {
            return Err(SignatureError::Malformed(INPUT));
        };
        let signature = match signature {
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::ByteSequence(bytes) => bytes.clone(),
                _ => return Err(SignatureError::Malformed(SIGNATURE)),
            },
            ListEntry::InnerList(_) => return Err(SignatureError::Malformed(SIGNATURE)),
        };
        if let Some(algorithm) = input.params.get("alg")
            && !matches!(algorithm, BareItem::String(name) if name.as_str() == "hmac-sha256")
        {
            return Err(SignatureError::Algorithm);
        }
        let key = text(input, "keyid")?.parse();
        let nonce = text(input, "nonce")?.to_owned();
        if !NONCE.contains(&nonce.len()) {
            return Err(SignatureError::Parameter("nonce"));
        }
        let expires = match input.params.get("expires") {
            Some(_) => Some(seconds(input, "expires")?),
            None => None,
        };
        Ok(Self {
            key: key.map_err(|_| SignatureError::Parameter("keyid"))?,
            created: seconds(input, "created")?,
            expires,
            nonce,
            covered: covered(input)?,
            parameters: List::from([ListEntry::InnerList(input.clone())])
                .serialize()
                .ok_or(SignatureError::Malformed(INPUT))?,
            signature,
        })
    }

    /// The key that it claims to be made with.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// What the same key must not use again while the signature holds.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Verifies the signature of a request at a moment in seconds since 1970, against the secrets
    /// of its key. It has to cover the method, the authority, the path, the query if there is one,
    /// and the digest of the body if there is one.
    ///
    /// That its nonce is new is left to the caller.
    pub fn verify(
        &self,
        message: Message<'_>,
        body: &[u8],
        now_s: u64,
        secrets: &[KeySecret],
    ) -> Result<(), SignatureError> {
        let required = [
            ("@method", true),
            ("@authority", true),
            ("@path", true),
            ("@query", message.query.is_some()),
            (content_digest::HEADER, !body.is_empty()),
        ];
        for (component, needed) in required {
            if needed && !self.covered.iter().any(|covered| covered == component) {
                return Err(SignatureError::NotCovered(component));
            }
        }
        let age_s = now_s.saturating_sub(self.created);
        if age_s > WINDOW_S || self.expires.is_some_and(|expires| expires < now_s) {
            return Err(SignatureError::TooOld { age_s });
        }
        let ahead_s = self.created.saturating_sub(now_s);
        if ahead_s > WINDOW_S {
            return Err(SignatureError::Future { ahead_s });
        }
        let mut base = String::with_capacity(512);
        for component in &self.covered {
            message.line(component, &mut base)?;
        }
        base.push_str("\"@signature-params\": ");
        base.push_str(&self.parameters);
        if !secrets
            .iter()
            .any(|secret| secret.made(base.as_bytes(), &self.signature))
        {
            return Err(SignatureError::Mismatch);
        }
        if self
            .covered
            .iter()
            .any(|covered| covered == content_digest::HEADER)
        {
            content_digest::verify(message.headers, body)?;
        }
        Ok(())
    }
}

fn dictionary(headers: &HeaderMap, name: &'static str) -> Result<Dictionary, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(SignatureError::Missing(name))?;
    if values.next().is_some() {
        return Err(SignatureError::Repeated(name));
    }
    let parsed = Parser::new(value.as_bytes()).parse();
    parsed.map_err(|_| SignatureError::Malformed(name))
}

fn only<'a>(
    dictionary: &'a Dictionary,
    name: &'static str,
) -> Result<(&'a sfv::Key, &'a ListEntry), SignatureError> {
    let mut entries = dictionary.iter();
    let first = entries.next().ok_or(SignatureError::Malformed(name))?;
    match entries.next() {
        None => Ok(first),
        Some(_) => Err(SignatureError::Repeated(name)),
    }
}

fn covered(input: &InnerList) -> Result<Vec<String>, SignatureError> {
    if input.items.len() > MOST_COVERED {
        return Err(SignatureError::Malformed(INPUT));
    }
    let mut covered: Vec<String> = Vec::with_capacity(input.items.len());
    for item in &input.items {
        let BareItem::String(name) = &item.bare_item else {
            return Err(SignatureError::Malformed(INPUT));
        };
        let name = name.as_str();
        // `sf`, `bs`, `key`, `req` and `tr` change what is covered.
        if !item.params.is_empty() {
            return Err(SignatureError::Unsupported(shown(name)));
        }
        if covered.iter().any(|other| other == name) {
            return Err(SignatureError::CoveredTwice(shown(name)));
        }
        covered.push(name.to_owned());
    }
    Ok(covered)
}

fn text<'a>(input: &'a InnerList, name: &'static str) -> Result<&'a str, SignatureError> {
    match input.params.get(name) {
        Some(BareItem::String(text)) => Ok(text.as_str()),
        _ => Err(SignatureError::Parameter(name)),
    }
}

fn seconds(input: &InnerList, name: &'static str) -> Result<u64, SignatureError> {
    match input.params.get(name) {
        Some(BareItem::Integer(seconds)) => {
            u64::try_from(i64::from(*seconds)).map_err(|_| SignatureError::Parameter(name))
        }
        _ => Err(SignatureError::Parameter(name)),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
