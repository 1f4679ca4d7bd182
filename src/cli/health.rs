//! `hubbub health`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use actix_rt::System;
use actix_rt::net::TcpStream;
use clap::Args;
use reqwest::redirect::Policy;

use super::output::line;
use super::{CliError, load};
use crate::config::Http;

pub(super) const HELP: &str = "\
For container engines and service managers that run a command: asks the node of these settings, on
this machine, whether it lives (/health/live), or with --ready whether it should be sent clients
(/health/ready). A node that speaks TLS is asked no more than whether it takes connections.

Exit codes: 0 yes, 1 no, 2 the arguments or the settings are wrong.";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whether it should be sent clients, instead of whether it lives
    #[arg(long)]
    ready: bool,

    /// The node's address, instead of http.bind
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<SocketAddr>,

    /// How long to wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2,
          value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// So much of an answer is shown, bytes. Another program may be listening there.
const SHOWN: usize = 1000;

/// Why a node counts as unwell.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwell {
    #[error("http.bind has the port 0, which names no node: give --address")]
    NoPort,
    #[error("{address} does not take connections")]
    Refused {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("{url} does not answer")]
    Silent { url: String, source: reqwest::Error },
    #[error("{url} answers {status}: {body}")]
    No {
        url: String,
        status: u16,
        body: String,
    },
    #[error("{address} did not answer within {seconds} s")]
    Late { address: SocketAddr, seconds: u64 },
}

pub(super) fn run(file: Option<&Path>, arguments: &Arguments) -> Result<(), CliError> {
    let config = load(file)?;
    let address = arguments.address.unwrap_or_else(|| local(&config.http));
    if address.port() == 0 {
        return Err(Unwell::NoPort.into());
    }
    let limit = Duration::from_secs(arguments.timeout);
    let asking = async {
        if config.http.tls_cert.is_some() {
            TcpStream::connect(address)
                .await
                .map_err(|source| Unwell::Refused { address, source })?;
            return Ok(());
        }
        let path = if arguments.ready { "ready" } else { "live" };
        ask(format!("http://{address}/health/{path}")).await
    };
    let late = || Unwell::Late {
        address,
        seconds: limit.as_secs(),
    };
    let asked = System::new().block_on(async { tokio::time::timeout(limit, asking).await });
    asked.unwrap_or_else(|_| Err(late()))?;
    line("ok");
    Ok(())
}

async fn ask(url: String) -> Result<(), Unwell> {
    let silent = |url: &str| {
        let url = url.to_owned();
        move |source| Unwell::Silent { url, source }
    };
    // The node of this machine is asked, and nobody else: no proxy of the environment, and not whom
    // it may name.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .map_err(silent(&url))?;
    let mut answer = client.get(&url).send().await.map_err(silent(&url))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let mut body = Vec::new();
    while body.len() < SHOWN
        && let Some(chunk) = answer.chunk().await.map_err(silent(&url))?
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(SHOWN);
    Err(Unwell::No {
        url,
        status: status.as_u16(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Where a node that is bound so is reached from its own machine.
fn local(http: &Http) -> SocketAddr {
    let ip = match http.bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, http.bind.port())
}
