//! An authority that signs the certificates of one network.

use crate::worker_name;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use streamsync_core::WorkerId;
use time::OffsetDateTime;

/// How long an authority holds.
const AUTHORITY_HOLDS: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long before now certificates hold, for clocks that are late.
const TOLERANCE: Duration = Duration::from_secs(300);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error("could not {action} {path}", path = .path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is an authority already.
    #[error("there is an authority in {path} already; `streamsync certs rotate` replaces it", path = .0.display())]
    Exists(PathBuf),
    /// Only this authority is trusted as it is.
    #[error(
        "no earlier authority is trusted by {path}: `streamsync certs rotate` makes a new one, and once all \
         certificates are issued anew, --drop-old drops the old one", path = .0.display()
    )]
    NoEarlier(PathBuf),
    /// A certificate could not be made.
    #[error("could not make a certificate")]
    Make(#[from] rcgen::Error),
    /// A moment is out of bounds.
    #[error("the time is out of bounds")]
    Time(#[from] time::error::ComponentRange),
}

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A worker, under its public key. Good for servers.
    Worker(WorkerId),
    /// A router. Good for clients.
    Router,
}

/// The folder of an authority: `ca.pem`, which everyone gets, and `ca.key`, which nobody else does.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

const CERTIFICATE: &str = Authority::CERTIFICATE;
/// How a certificate ends in a file of several.
const END: &str = "-----END CERTIFICATE-----";
const KEY: &str = "ca.key";
pub(crate) const IDENTITY: &str = "identity.pem";

impl Authority {
    /// The file of its folder that everyone gets: its certificate, and behind it those of earlier ones that
    /// are still trusted.
    pub const CERTIFICATE: &str = "ca.pem";

    /// Makes an authority in a folder that has none, at a moment in seconds since 1970.
    pub fn init(folder: &Path, now_s: u64) -> Result<Self, AuthorityError> {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        if folder.join(KEY).exists() {
            return Err(AuthorityError::Exists(folder.to_owned()));
        }
        Self::make(folder, now_s, "")
    }

    fn make(folder: &Path, now_s: u64, others: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = format!("StreamSync authority of {now_s}");
        params.distinguished_name.push(DnType::CommonName, name);
        hold(&mut params, now_s, AUTHORITY_HOLDS)?;
        let certificate = params.self_signed(&key)?;
        // The certificate first: a key without one would be taken for an authority.
        replace(
            &folder.join(CERTIFICATE),
            &(certificate.pem() + others),
            0o644,
        )?;
        replace(&folder.join(KEY), &key.serialize_pem(), 0o600)?;
        Self::open(folder)
    }

    /// Opens the authority in a folder.
    pub fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(failed("read", &path))
        };
        let (certificate, key) = (read(CERTIFICATE)?, KeyPair::from_pem(&read(KEY)?)?);
        Ok(Self {
            folder: folder.to_owned(),
            issuer: Issuer::from_ca_cert_pem(&certificate, key)?,
        })
    }

    /// Puts a new authority in the place of this one. Certificates of the old one are trusted by whoever
    /// has the new `ca.pem`, until [`drop_earlier`](Self::drop_earlier).
    pub fn rotate(self, now_s: u64) -> Result<Self, AuthorityError> {
        let old = self.trusted()?;
        Self::make(&self.folder, now_s, &old)
    }

    /// Trusts no authority any more that was in the place of this one earlier.
    pub fn drop_earlier(&self) -> Result<(), AuthorityError> {
        let all = self.trusted()?;
        let end = all.find(END).map_or(all.len(), |end| end + END.len());
        let (own, earlier) = all.split_at(end);
        if !earlier.contains(END) {
            return Err(AuthorityError::NoEarlier(self.folder.clone()));
        }
        replace(&self.folder.join(CERTIFICATE), &format!("{own}\n"), 0o644)
    }

    /// All certificates that are trusted, its own first.
    fn trusted(&self) -> Result<String, AuthorityError> {
        let path = self.folder.join(CERTIFICATE);
        fs::read_to_string(&path).map_err(failed("read", &path))
    }

    /// Issues a certificate into a folder, with the authority's own beside it: what a router or a
    /// worker needs. One that is there is replaced.
    pub fn issue(
        &self,
        subject: Subject,
        folder: &Path,
        now_s: u64,
        holds: Duration,
    ) -> Result<(), AuthorityError> {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        let (name, usage) = match subject {
            Subject::Worker(worker) => (worker_name(worker), ExtendedKeyUsagePurpose::ServerAuth),
            Subject::Router => (
                "router.streamsync".to_owned(),
                ExtendedKeyUsagePurpose::ClientAuth,
            ),
        };
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name])?;
        params.distinguished_name.push(
            DnType::CommonName,
            match subject {
                Subject::Worker(_) => "StreamSync worker",
                Subject::Router => "StreamSync router",
            },
        );
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        hold(&mut params, now_s, holds)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        if folder != self.folder {
            replace(&folder.join(CERTIFICATE), &self.trusted()?, 0o644)?;
        }
        let identity = certificate.pem() + &key.serialize_pem();
        replace(&folder.join(IDENTITY), &identity, 0o600)
    }
}

fn hold(params: &mut CertificateParams, now_s: u64, holds: Duration) -> Result<(), AuthorityError> {
    let now = OffsetDateTime::from_unix_timestamp(i64::try_from(now_s).unwrap_or(i64::MAX))?;
    params.not_before = now - TOLERANCE;
    params.not_after = now + holds;
    Ok(())
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |source| AuthorityError::File {
        action,
        path: path.clone(),
        source,
    }
}

/// Writes a file whole or not at all: whoever reads it meanwhile reads the old one.
fn replace(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    written.map_err(failed("write", path))
}
