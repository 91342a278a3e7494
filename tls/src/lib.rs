//! Mutual TLS between routers and workers: an authority of one's own, certificates that are bound to
//! workers, and connections that use them.
//!
//! A worker's certificate carries its public key as a DNS name ([`worker_name`]), so that the ordinary
//! check of a server's name is the check of who it is. Certificates of workers are good for servers
//! only and those of routers for clients only: no worker can pass for a router.

mod authority;
mod credentials;
mod name;

pub use authority::{Authority, AuthorityError, Subject};
pub use credentials::{Credentials, CredentialsError, RELOAD_EVERY};
pub use name::worker_name;
