//! Who may ask.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Authentication of clients by the router, section `[auth]`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// The file of the master secrets that the secrets of API keys are derived from, as `streamsync
    /// keys init` makes it. All routers of a network need the same, and nobody else may have it.
    pub master_secrets: Option<PathBuf>,
    /// Whether anyone may do anything without a signature, and nothing is charged. Only for a router
    /// that listens on a loopback address.
    pub insecure_no_auth: bool,
}
