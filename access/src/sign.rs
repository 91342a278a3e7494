//! Signing requests, as a client does.

use crate::{KeySecret, Message, content_digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};
use streamsync_core::KeyId;

/// An API key with its secret: what a client signs with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SigningKey {
    /// Its public name.
    pub id: KeyId,
    /// Its secret.
    pub secret: KeySecret,
}

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It could not be read.
    #[error("could not read the API key in {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be written.
    #[error("could not write the API key to {path}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no key. What stands in it is not repeated, as it may be a secret.
    #[error("{path} is not an API key: it must be {{\"key\": \"key_…\", \"secret\": \"…\"}}", path = .0.display())]
    Malformed(PathBuf),
}

impl SigningKey {
    /// Reads the file that `streamsync keys create --out` writes.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        #[derive(Deserialize)]
        struct File {
            key: KeyId,
            secret: String,
        }
        let json = std::fs::read(path).map_err(|source| KeyFileError::Read {
            path: path.to_owned(),
            source,
        })?;
        let malformed = || KeyFileError::Malformed(path.to_owned());
        let file: File = serde_json::from_slice(&json).map_err(|_| malformed())?;
        Ok(Self {
            id: file.key,
            secret: file.secret.parse().map_err(|_| malformed())?,
        })
    }

    /// Writes a new file that only its owner can read; it never replaces one.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyFileError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let json = serde_json::json!({ "key": self.id, "secret": self.secret.expose() });
        let written = options.open(path).and_then(|mut file| {
            writeln!(file, "{json}")?;
            file.sync_all()
        });
        written.map_err(|source| KeyFileError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// The headers that sign a request: `content-digest` if it has a body, `signature-input` and
    /// `signature`. The nonce must be new each time: 8 to 64 printable characters.
    pub fn sign(&self, message: Message<'_>, body: &[u8], now_s: u64, nonce: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut covered = vec!["@method", "@authority", "@path"];
        if message.query.is_some() {
            covered.push("@query");
        }
        if !body.is_empty() {
            insert(&mut headers, content_digest::HEADER, content_digest(body));
            covered.push(content_digest::HEADER);
        }
        let message = Message {
            headers: &headers,
            ..message
        };
        let mut base = String::new();
        for component in &covered {
            // What is covered is there, so no line fails.
            let _ = message.line(component, &mut base);
        }
        let names: Vec<String> = covered.iter().map(|name| format!("\"{name}\"")).collect();
        let parameters = format!(
            "({});created={now_s};keyid=\"{}\";nonce=\"{nonce}\";alg=\"hmac-sha256\"",
            names.join(" "),
            self.id
        );
        base.push_str("\"@signature-params\": ");
        base.push_str(&parameters);
        let signature = STANDARD.encode(self.secret.hmac(base.as_bytes()));
        insert(&mut headers, "signature-input", format!("sig={parameters}"));
        insert(&mut headers, "signature", format!("sig=:{signature}:"));
        headers
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
