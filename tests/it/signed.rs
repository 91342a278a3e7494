//! Requests as a client signs them, byte by byte.

use crate::network::now_s;
use reqwest::header::HeaderMap;
use std::sync::atomic::{AtomicU64, Ordering};
use streamsync_access::{Message, SigningKey};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A nonce that was not used before.
pub fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("test-{process}-{number:08}")
}

/// A request before it is written.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A signed request to a router at `host:port`.
    pub fn signed(
        key: &SigningKey,
        authority: &str,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Self {
        Self::signed_at(key, authority, method, target, body, now_s(), &nonce())
    }

    pub fn signed_at(
        key: &SigningKey,
        authority: &str,
        method: &str,
        target: &str,
        body: &[u8],
        at: u64,
        nonce: &str,
    ) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let message = Message {
            method,
            authority,
            path,
            query,
            headers: &HeaderMap::new(),
        };
        let signed = key.sign(message, body, at, nonce);
        let mut headers = vec![
            ("host".to_owned(), authority.to_owned()),
            ("content-length".to_owned(), body.len().to_string()),
        ];
        headers.extend(
            signed
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())),
        );
        Self {
            method: method.to_owned(),
            path: target.to_owned(),
            headers,
            body: body.to_vec(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other == name);
        &found.unwrap().1
    }

    /// Puts another value in the place of a header's.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.add(name, value)
    }

    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Changes the text of a header.
    pub fn edit(self, name: &str, edit: impl Fn(&str) -> String) -> Self {
        let value = edit(self.header(name));
        self.set(name, &value)
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.set("content-length", &body.len().to_string())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("connection: close\r\n\r\n");
        [head.into_bytes(), self.body.clone()].concat()
    }
}

/// What came back: the status (0 if nothing did), and all of it as text.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    /// The problem's name after `/problems/`, or `-`.
    pub fn problem(&self) -> String {
        let found = self.text.split_once("\"type\":\"/problems/");
        let found = found.and_then(|(_, rest)| rest.split_once('"'));
        found.map_or("-", |(name, _)| name).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        head.lines().find_map(|line| {
            let (other, value) = line.split_once(": ")?;
            other.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends bytes, in pieces with a moment between them, and reads until the other end hangs up.
pub async fn send(authority: &str, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(authority).await.unwrap();
    // A router that refuses early may hang up before it has all.
    let _ = stream.write_all(bytes).await;
    receive(stream).await
}

pub async fn receive(mut stream: TcpStream) -> Answer {
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received).await;
    let text = String::from_utf8_lossy(&received).into_owned();
    let status = text.split_whitespace().nth(1);
    Answer {
        status: status.and_then(|status| status.parse().ok()).unwrap_or(0),
        text,
    }
}
