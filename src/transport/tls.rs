//! The node's certificate and key, and TLS as it is spoken on the port.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config;

/// Tickets that a client gets with a handshake, to begin the next one with. It needs one; one
/// that connects several times at once gets as many as it connects.
const TICKETS: usize = 1;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{key}: cannot read {}", .path.display())]
    Read {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{key}: {} is not PEM: {problem}", .path.display())]
    Pem {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: pem::Error,
    },
    /// A file has nothing of what it should have.
    #[error("{key}: {} has no {what}", .path.display())]
    Missing {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
    },
    /// Key and certificate do not belong together, or are of a kind that is not known.
    #[error(
        "http.tls_key: {} cannot be used with the certificate of http.tls_cert in {}: {problem}",
        .key.display(),
        .cert.display()
    )]
    Pair {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        cert: PathBuf,
        /// What is wrong.
        problem: rustls::Error,
    },
    /// The library could not be set up.
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// TLS of the node. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.current.files)
            .finish_non_exhaustive()
    }
}

/// Where certificate and key are.
#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// The certificate that is shown, whatever name is asked for, or none.
#[derive(Debug)]
struct Current {
    files: Files,
    certified: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.certified.read()))
    }
}

impl Tls {
    /// As the configuration wants it; none if it wants none.
    pub fn new(http: &config::Http) -> Result<Option<Self>, TlsError> {
        let (Some(cert), Some(key)) = (&http.tls_cert, &http.tls_key) else {
            return Ok(None);
        };
        let files = Files {
            cert: cert.clone(),
            key: key.clone(),
        };
        let current = Arc::new(Current {
            certified: RwLock::new(Arc::new(files.load()?)),
            files,
        });
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&current) as _;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // What is needed to go on from an earlier handshake is with the client.
        config.ticketer = ring::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = TICKETS;
        Ok(Some(Self {
            config: Arc::new(config),
            current,
            turns: Arc::new(Semaphore::new(http.tls_handshakes_max)),
        }))
    }

    /// Reads certificate and key again; handshakes from now on show them. If they cannot be used
    /// those of before stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        let certified = Arc::new(self.current.files.load()?);
        *self.current.certified.write() = certified;
        Ok(())
    }

    /// Waits for the turn of a handshake, which lasts as long as what is returned.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

impl Files {
    fn load(&self) -> Result<CertifiedKey, TlsError> {
        let chain = certificates(&self.cert)?;
        let key = private_key(&self.key)?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|problem| {
            TlsError::Pair {
                key: self.key.clone(),
                cert: self.cert.clone(),
                problem,
            }
        })
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        key,
        path: path.to_owned(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const KEY: &str = "http.tls_cert";
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(KEY, path)?).collect();
    let chain = chain.map_err(|problem| TlsError::Pem {
        key: KEY,
        path: path.to_owned(),
        problem,
    })?;
    if chain.is_empty() {
        return Err(TlsError::Missing {
            key: KEY,
            path: path.to_owned(),
            what: "certificate (BEGIN CERTIFICATE)",
        });
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    const KEY: &str = "http.tls_key";
    PrivateKeyDer::from_pem_slice(&read(KEY, path)?).map_err(|problem| {
        let path = path.to_owned();
        match problem {
            pem::Error::NoItemsFound => TlsError::Missing {
                key: KEY,
                path,
                what: "private key that is not encrypted (BEGIN PRIVATE KEY)",
            },
            problem => TlsError::Pem {
                key: KEY,
                path,
                problem,
            },
        }
    })
}
