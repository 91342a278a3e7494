//! What a process shows of itself, and whom it believes.

use crate::{authority::IDENTITY, worker_name};
use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    version::TLS13,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use streamsync_core::{WorkerId, with_causes};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::sync::CancellationToken;
use x509_parser::parse_x509_certificate;

/// How often it is looked whether the files have changed.
pub const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read as PEM.
    #[error("could not read {path}; `streamsync certs issue` makes it", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A file is not there.
    #[error("could not look at {path}; `streamsync certs issue` makes it", path = .path.display())]
    Absent {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process would show nothing of itself.
    #[error("there is no certificate in {path}; `streamsync certs issue` makes one", path = .0.display())]
    NoCertificate(PathBuf),
    /// Nobody would be believed.
    #[error("there is no authority in {path}", path = .0.display())]
    NoAuthority(PathBuf),
    /// The certificate and the key do not belong together, or are not understood.
    #[error("could not use the certificate in {path}", path = .path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities cannot be used.
    #[error("could not use the authorities in {path}", path = .path.display())]
    Verifier {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// The certificate and key of a process, and the authorities that it believes. Cheap to clone; all
/// clones see when the files change.
#[derive(Clone)]
pub struct Credentials {
    folder: PathBuf,
    configs: Arc<ArcSwap<Configs>>,
}

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    changed: Option<Stamp>,
    /// In seconds since 1970.
    expires_at_s: i64,
}

/// By which it is seen that the files have changed.
type Stamp = [(SystemTime, u64); 2];

impl Credentials {
    /// Loads `ca.pem` and `identity.pem`.
    pub fn load(folder: &Path) -> Result<Self, CredentialsError> {
        Ok(Self {
            folder: folder.to_owned(),
            configs: Arc::new(ArcSwap::from_pointee(load(folder)?)),
        })
    }

    /// Loads the files again whenever they change, until told to stop. What cannot be used is logged,
    /// and the old stays in use. Connections that exist stay as they are.
    pub async fn reload_until(self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(RELOAD_EVERY);
        let mut failed_on = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = turns.tick() => {}
            }
            let now = stamp(&self.folder).ok();
            if now == self.configs.load().changed || now == failed_on {
                continue;
            }
            match load(&self.folder) {
                Ok(configs) => {
                    failed_on = None;
                    self.configs.store(Arc::new(configs));
                    tracing::info!(folder = %self.folder.display(), "took up new certificates");
                }
                Err(error) => {
                    failed_on = now;
                    let error = with_causes(&error);
                    tracing::error!(
                        error,
                        "new certificates cannot be used; the old stay in use"
                    );
                }
            }
        }
    }

    /// Takes a connection of somebody whom the authorities vouch for.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let config = Arc::clone(&self.configs.load().server);
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Until when the certificate holds, in seconds since 1970.
    pub fn expires_at_s(&self) -> i64 {
        self.configs.load().expires_at_s
    }

    /// Makes a connection to a worker, and to nobody else.
    pub async fn connect(
        &self,
        worker: WorkerId,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(worker_name(worker));
        let name = name.map_err(|error: InvalidDnsNameError| io::Error::other(error))?;
        let config = Arc::clone(&self.configs.load().client);
        TlsConnector::from(config).connect(name, stream).await
    }
}

fn stamp(folder: &Path) -> Result<Stamp, CredentialsError> {
    let of = |name: &str| {
        let path = folder.join(name);
        let looked = path
            .metadata()
            .and_then(|file| Ok((file.modified()?, file.len())));
        looked.map_err(|source| CredentialsError::Absent { path, source })
    };
    Ok([of("ca.pem")?, of(IDENTITY)?])
}

fn load(folder: &Path) -> Result<Configs, CredentialsError> {
    // Before the files are read: what changes meanwhile is read again.
    let changed = stamp(folder)?;
    let (authorities, identity) = (folder.join("ca.pem"), folder.join(IDENTITY));
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CredentialsError::File { path, source }
    };
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
        let read = CertificateDer::pem_file_iter(path).map_err(unreadable(path))?;
        read.collect::<Result<_, _>>().map_err(unreadable(path))
    };
    let unusable = |source| CredentialsError::Unusable {
        path: folder.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(&authorities)? {
        roots.add(authority).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(CredentialsError::NoAuthority(authorities));
    }
    let roots = Arc::new(roots);
    let chain = certificates(&identity)?;
    let expires_at_s = chain
        .first()
        .and_then(|certificate| parse_x509_certificate(certificate).ok())
        .map(|(_, certificate)| certificate.validity().not_after.timestamp())
        .ok_or_else(|| CredentialsError::NoCertificate(identity.clone()))?;
    let key = PrivateKeyDer::from_pem_file(&identity).map_err(unreadable(&identity))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
    let verifier = verifier
        .build()
        .map_err(|source| CredentialsError::Verifier {
            path: folder.to_owned(),
            source,
        })?;
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(unusable)?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(unusable)?;
    client.alpn_protocols = vec![b"h2".to_vec()];
    metrics::gauge!("streamsync_tls_certificate_expiry_timestamp_seconds").set(expires_at_s as f64);
    Ok(Configs {
        server: Arc::new(server),
        client: Arc::new(client),
        changed: Some(changed),
        expires_at_s,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Authority, Subject};
    use std::time::UNIX_EPOCH;
    use tempfile::TempDir;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    const DAY: Duration = Duration::from_secs(86_400);

    #[allow(clippy::disallowed_methods)]
    fn now() -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    }

    fn worker(seed: u8) -> WorkerId {
        WorkerId::new([seed; 32])
    }

    struct Pki {
        folder: TempDir,
        authority: Authority,
    }

    impl Pki {
        fn new() -> Self {
            let folder = TempDir::new().unwrap();
            let authority = Authority::init(&folder.path().join("ca"), now()).unwrap();
            Self { folder, authority }
        }

        fn issue(&self, name: &str, subject: Subject, at: u64, holds: Duration) -> PathBuf {
            let folder = self.folder.path().join(name);
            self.authority.issue(subject, &folder, at, holds).unwrap();
            folder
        }
    }

    /// Sends a byte from a client to a server and back.
    async fn talk(server: &Credentials, client: &Credentials, to: WorkerId) -> io::Result<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (stream, _) = listener.accept().await?;
            let mut stream = server.accept(stream).await?;
            let byte = stream.read_u8().await?;
            stream.write_u8(byte + 1).await?;
            stream.shutdown().await
        };
        let ask = async {
            let stream = TcpStream::connect(address).await?;
            let mut stream = client.connect(to, stream).await?;
            stream.write_u8(41).await?;
            stream.read_u8().await
        };
        let (served, asked) = tokio::join!(serve, ask);
        asked.and_then(|byte| served.map(|()| byte))
    }

    #[tokio::test]
    async fn a_router_reaches_the_worker_that_it_means_and_no_other() {
        let pki = Pki::new();
        let server = pki.issue("worker", Subject::Worker(worker(1)), now(), DAY);
        let server = Credentials::load(&server).unwrap();
        let router = Credentials::load(&pki.issue("router", Subject::Router, now(), DAY)).unwrap();
        assert_eq!(talk(&server, &router, worker(1)).await.unwrap(), 42);
        let holds = router.expires_at_s() - i64::try_from(now()).unwrap();
        assert!((86_390..=86_400).contains(&holds), "{holds} s");
        let error = talk(&server, &router, worker(2)).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
        // A worker cannot pass for a router, nor a router for a worker.
        assert!(talk(&server, &server, worker(1)).await.is_err());
        assert!(talk(&router, &router, worker(1)).await.is_err());
    }

    #[tokio::test]
    async fn strangers_and_those_whose_time_is_over_are_refused() {
        let (pki, other) = (Pki::new(), Pki::new());
        let server = pki.issue("worker", Subject::Worker(worker(1)), now(), DAY);
        let server = Credentials::load(&server).unwrap();
        let router = Credentials::load(&pki.issue("router", Subject::Router, now(), DAY)).unwrap();
        let stranger = other.issue("router", Subject::Router, now(), DAY);
        let stranger = Credentials::load(&stranger).unwrap();
        assert!(talk(&server, &stranger, worker(1)).await.is_err());
        let imposter = other.issue("worker", Subject::Worker(worker(1)), now(), DAY);
        let imposter = Credentials::load(&imposter).unwrap();
        assert!(talk(&imposter, &router, worker(1)).await.is_err());
        for (name, at) in [("expired", now() - 2 * 86_400), ("early", now() + 86_400)] {
            let router = Credentials::load(&pki.issue(name, Subject::Router, at, DAY)).unwrap();
            assert!(talk(&server, &router, worker(1)).await.is_err(), "{name}");
        }
        // No plaintext either.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async { server.accept(listener.accept().await?.0).await.map(drop) };
        let ask = async {
            let mut stream = TcpStream::connect(address).await?;
            stream
                .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                .await?;
            stream.shutdown().await
        };
        let (served, _) = tokio::join!(serve, ask);
        assert!(served.is_err());
    }

    /// Issues a worker's certificate anew, and waits until the worker has taken it up.
    async fn renew(authority: &Authority, folder: &Path, server: &Credentials) {
        let before = Arc::as_ptr(&server.configs.load().server);
        authority
            .issue(Subject::Worker(worker(1)), folder, now(), DAY)
            .unwrap();
        while Arc::as_ptr(&server.configs.load().server) == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn an_authority_is_replaced_while_processes_run() {
        let pki = Pki::new();
        let worker_folder = pki.issue("worker", Subject::Worker(worker(1)), now(), DAY);
        let router_folder = pki.issue("router", Subject::Router, now(), DAY);
        let old_folder = pki.issue("old-router", Subject::Router, now(), DAY);
        let server = Credentials::load(&worker_folder).unwrap();
        let router = Credentials::load(&router_folder).unwrap();
        let stop = CancellationToken::new();
        for credentials in [&server, &router] {
            tokio::spawn(credentials.clone().reload_until(stop.clone()));
        }
        let before = Arc::as_ptr(&router.configs.load().client);

        let Pki { folder, authority } = pki;
        let authority = authority.rotate(now()).unwrap();
        authority
            .issue(Subject::Router, &router_folder, now(), DAY)
            .unwrap();
        while Arc::as_ptr(&router.configs.load().client) == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The worker has the old authority only, and does not know the new router yet.
        assert!(talk(&server, &router, worker(1)).await.is_err());
        renew(&authority, &worker_folder, &server).await;
        assert_eq!(talk(&server, &router, worker(1)).await.unwrap(), 42);

        // A router of before is known until the old authority is dropped.
        std::fs::copy(
            worker_folder.join(Authority::CERTIFICATE),
            old_folder.join(Authority::CERTIFICATE),
        )
        .unwrap();
        let old = Credentials::load(&old_folder).unwrap();
        assert_eq!(talk(&server, &old, worker(1)).await.unwrap(), 42);
        authority.drop_earlier().unwrap();
        assert!(matches!(
            authority.drop_earlier(),
            Err(crate::AuthorityError::NoEarlier(_))
        ));
        renew(&authority, &worker_folder, &server).await;
        assert!(talk(&server, &old, worker(1)).await.is_err());
        assert_eq!(talk(&server, &router, worker(1)).await.unwrap(), 42);

        // What cannot be used changes nothing.
        std::fs::write(router_folder.join("identity.pem"), "nonsense").unwrap();
        tokio::time::sleep(RELOAD_EVERY + Duration::from_millis(200)).await;
        assert_eq!(talk(&server, &router, worker(1)).await.unwrap(), 42);
        stop.cancel();
        assert!(matches!(
            Authority::init(&folder.path().join("ca"), now()),
            Err(crate::AuthorityError::Exists(_))
        ));
    }
}
