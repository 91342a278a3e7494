//! Flags about who may ask and who is believed.

use crate::{
    Failure,
    settings::{flag, quoted},
};
use std::path::PathBuf;
use streamsync_core::config::{Flag, TlsConfig};
use streamsync_tls::Credentials;
use tokio_util::sync::CancellationToken;

/// Flags about clients.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct AuthArgs {
    /// The file of the master secrets, as `streamsync keys init` makes it; all routers need the same.
    #[arg(long, value_name = "FILE")]
    pub master_secrets: Option<PathBuf>,
    /// Let everyone do everything, and charge nobody. Only on a loopback address.
    #[arg(long)]
    pub insecure_no_auth: bool,
}

impl AuthArgs {
    /// The flags as settings.
    pub fn flags(&self) -> Vec<Option<Flag>> {
        let path = self.master_secrets.as_ref();
        vec![
            flag(
                "auth.master_secrets",
                path.map(|path| quoted(path.display())),
            ),
            flag(
                "auth.insecure_no_auth",
                self.insecure_no_auth.then_some(true),
            ),
        ]
    }
}

/// Flags about TLS between routers and workers.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// The folder with `ca.pem` and `identity.pem`, as `streamsync certs issue` makes it.
    #[arg(long, value_name = "FOLDER")]
    pub tls: Option<PathBuf>,
    /// Talk in plain text. Only between loopback addresses.
    #[arg(long)]
    pub insecure_no_tls: bool,
}

impl TlsArgs {
    /// The flags as settings.
    pub fn flags(&self) -> Vec<Option<Flag>> {
        let path = self.tls.as_ref();
        vec![
            flag("tls.folder", path.map(|path| quoted(path.display()))),
            flag("tls.insecure_no_tls", self.insecure_no_tls.then_some(true)),
        ]
    }
}

/// Loads the credentials of this process, and keeps them fresh until told to stop. `None` if it is
/// said explicitly that there are none.
pub fn credentials(
    config: &TlsConfig,
    stop: &CancellationToken,
) -> Result<Option<Credentials>, Failure> {
    if config.insecure_no_tls {
        tracing::warn!(
            "INSECURE: routers and workers talk in plain text, and believe whoever answers"
        );
        return Ok(None);
    }
    let folder = config.folder.as_ref().ok_or(
        "tls.folder is not set: run `streamsync certs init` and `streamsync certs issue`, and start with \
         --tls FOLDER; between loopback addresses, --insecure-no-tls goes without",
    )?;
    let credentials = Credentials::load(folder)?;
    tokio::spawn(credentials.clone().reload_until(stop.clone()));
    Ok(Some(credentials))
}
