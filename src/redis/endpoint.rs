//! One server: how it is connected to.

use std::future::Future;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    ProtocolVersion, RedisResult, TlsCertificates,
};

use super::error::{LinkError, SettingsError};
use super::topology::Place;
use crate::config;

/// How long the times are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) response: Duration,
    pub(crate) ping: Duration,
    pub(crate) reconnect_min: Duration,
    pub(crate) reconnect_max: Duration,
    pub(crate) topology: Duration,
}

impl From<&config::Redis> for Patience {
    fn from(config: &config::Redis) -> Self {
        let ms = Duration::from_millis;
        Self {
            connect: ms(config.connect_timeout_ms),
            response: ms(config.response_timeout_ms),
            ping: ms(config.ping_interval_ms),
            reconnect_min: ms(config.reconnect_min_ms),
            reconnect_max: ms(config.reconnect_max_ms),
            topology: ms(config.topology_interval_ms),
        }
    }
}

impl Patience {
    /// An answer, if it comes in time.
    pub(crate) async fn answer<T>(
        &self,
        answer: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, LinkError> {
        within(self.response, answer).await
    }
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = RedisResult<T>>,
) -> Result<T, LinkError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(Err(error)) if error.is_timeout() => Err(LinkError::Silent(limit)),
        Ok(answer) => Ok(answer?),
        Err(_) => Err(LinkError::Silent(limit)),
    }
}

/// A server, with what is needed to get in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: Client,
    place: Place,
}

impl Endpoint {
    /// Those of the settings.
    pub(crate) fn from_config(config: &config::Redis) -> Result<Vec<Self>, SettingsError> {
        let ca = match &config.tls_ca {
            Some(path) => Some(std::fs::read(path).map_err(|source| {
                let path = path.clone();
                SettingsError::Certificates { path, source }
            })?),
            None => None,
        };
        let patience = Patience::from(config);
        let addresses = config.addresses();
        let endpoints = addresses.into_iter().map(|address| {
            let info = address.into_connection_info()?;
            let redis = info.redis_settings().clone();
            let info = info
                // Only there messages come beside answers.
                .set_redis_settings(redis.set_protocol(ProtocolVersion::RESP3))
                .set_tcp_settings(
                    TcpSettings::default()
                        .set_nodelay(true)
                        // What a broken link holds back is not sent for longer than that.
                        .set_user_timeout(patience.response + patience.ping),
                );
            let client = match (&ca, info.addr()) {
                (Some(ca), ConnectionAddr::TcpTls { .. }) => Client::build_with_tls(
                    info,
                    TlsCertificates {
                        client_tls: None,
                        root_cert: Some(ca.clone()),
                    },
                )?,
                _ => Client::open(info)?,
            };
            Ok(Self::new(client))
        });
        endpoints.collect()
    }

    fn new(client: Client) -> Self {
        let place = match client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Place {
                host: host.clone(),
                port: *port,
            },
            // The settings have no others.
            other => Place {
                host: other.to_string(),
                port: 0,
            },
        };
        Self { client, place }
    }

    /// Another server of the same cluster.
    pub(crate) fn at(&self, place: &Place) -> Result<Self, LinkError> {
        let info: ConnectionInfo = self.client.get_connection_info().clone();
        let (host, port) = (place.host.clone(), place.port);
        let address = match info.addr() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        Ok(Self::new(Client::open(info.set_addr(address))?))
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Connects. Messages, and the connection's end, are told to `push`, which must not wait.
    pub(crate) async fn connect(
        &self,
        patience: &Patience,
        push: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, LinkError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience.connect))
            // Every answer is waited for by `Patience::answer`; a second timer for each would do the same.
            .set_response_timeout(None)
            .set_push_sender(push);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        within(patience.connect, connecting).await
    }
}

/// Without its password.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.place.fmt(f)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
