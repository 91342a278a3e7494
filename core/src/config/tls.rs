//! How routers and workers know each other.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Mutual TLS between routers and workers, section `[tls]`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The folder with `ca.pem` (the authorities that are trusted) and `identity.pem` (this process's
    /// certificate and key), as `streamsync certs` makes it. Changes are taken up while it runs.
    pub folder: Option<PathBuf>,
    /// Whether routers and workers talk without TLS. Only for addresses of the loopback interface.
    pub insecure_no_tls: bool,
}
