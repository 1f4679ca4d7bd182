//! TLS for tests: a certificate, clients, and a relay by which every client of the harness talks
//! to a node by TLS without knowing of it.

use std::cell::Cell;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ALL_VERSIONS, ClientConfig, ConfigBuilder, RootCertStore, SupportedProtocolVersion,
};

thread_local! {
    static BY_TLS: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test whose nodes all speak TLS, with the relay before them.
pub(crate) fn by_tls(test: impl FnOnce()) {
    BY_TLS.set(true);
    test();
    BY_TLS.set(false);
}

/// Whether the nodes of this test speak TLS.
pub(crate) fn is_wanted() -> bool {
    BY_TLS.get()
}

/// A certificate of its own issuer, for `localhost` and 127.0.0.1.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Self {
            cert_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        }
    }

    /// Writes both files into a folder.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("cert.pem"), &self.cert_pem).expect("it is written");
        std::fs::write(folder.join("key.pem"), &self.key_pem).expect("it is written");
    }

    /// What a client that trusts it, and no other, goes by.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_of(ALL_VERSIONS)
    }

    /// As [`Certificate::client`], of these versions.
    pub(crate) fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        self.client_builder(versions).with_no_client_auth()
    }

    /// As [`Certificate::client`], which has a certificate to show.
    pub(crate) fn client_with_certificate(&self) -> ClientConfig {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("a key");
        self.client_builder(ALL_VERSIONS)
            .with_client_auth_cert(vec![self.der.clone()], key)
            .expect("a pair")
    }

    fn client_builder(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a root");
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
    }
}

/// Connects by TLS.
pub(crate) async fn connect(
    address: &str,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

/// Listens for plain connections, each of which goes on by TLS. Dropping it ends them all.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: String,
    stop: Option<oneshot::Sender<()>>,
}

impl Relay {
    pub(crate) fn to(target: &str, certificate: &Certificate) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it can be set");
        let address = listener.local_addr().expect("an address").to_string();
        let (stop, stopped) = oneshot::channel();
        let relaying = relay(listener, target.to_owned(), certificate.client());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = relaying => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            stop: Some(stop),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

fn relay(
    listener: std::net::TcpListener,
    target: String,
    config: ClientConfig,
) -> impl Future<Output = ()> + Send {
    let config = Arc::new(config);
    async move {
        let listener = TcpListener::from_std(listener).expect("a listener");
        while let Ok((plain, _)) = listener.accept().await {
            let (target, config) = (target.clone(), Arc::clone(&config));
            tokio::spawn(async move {
                // An end of one side is one of the other; there is nobody to tell more.
                let _ = pass(plain, &target, &config).await;
            });
        }
    }
}

async fn pass(mut plain: TcpStream, target: &str, config: &ClientConfig) -> std::io::Result<()> {
    plain.set_nodelay(true)?;
    let mut config = config.clone();
    // What the client begins with says what it speaks.
    let mut first = [0; 3];
    if plain.peek(&mut first).await? == 0 {
        return Ok(());
    }
    if &first == b"PRI" {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    let mut sealed = connect(target, config).await?;
    let passed = tokio::io::copy_bidirectional(&mut plain, &mut sealed).await;
    if passed.is_err() {
        // A peer that was cut off sees that, as it would without the relay.
        let _ = plain.shutdown().await;
    }
    passed.map(drop)
}
