//! Who may ask: requests signed with HTTP Message Signatures (RFC 9421, `hmac-sha256`) over a
//! Content-Digest (RFC 9530), and the secrets that they are signed with.
//!
//! Clients sign, and routers verify; nothing here talks to a network.
//!
//! ```
//! use http::HeaderMap;
//! use streamsync_access::{KeySecret, Message, SignatureInput, SigningKey};
//! use streamsync_core::KeyId;
//!
//! let key = SigningKey { id: KeyId::new([1; 16]), secret: KeySecret::from_bytes([2; 32]) };
//! let body = br#"{"sql": "SELECT 1"}"#;
//! let unsigned = Message {
//!     method: "POST",
//!     authority: "router:8080",
//!     path: "/v1/query",
//!     query: None,
//!     headers: &HeaderMap::new(),
//! };
//! let headers = key.sign(unsigned, body, 1_700_000_000, "one-nonce-for-each");
//!
//! let message = Message { headers: &headers, ..unsigned };
//! let input = SignatureInput::parse(&headers)?;
//! assert_eq!(input.key(), &key.id);
//! input.verify(message, body, 1_700_000_010, &[key.secret])?;
//! # Ok::<(), streamsync_access::SignatureError>(())
//! ```

mod content_digest;
#[cfg(test)]
mod fuzz;
mod master_secrets;
mod message;
mod seal;
mod secret;
mod sign;
mod signature_input;

pub use content_digest::content_digest;
pub use master_secrets::{MasterFileError, MasterSecrets};
pub use message::Message;
pub use seal::SealError;
pub use secret::{InvalidKeySecret, KeySecret};
pub use sign::{KeyFileError, SigningKey};
pub use signature_input::{SignatureError, SignatureInput, WINDOW_S};
