//! Ports of this computer that are forwarded.

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpListener;

use super::super::config::Config;
use super::super::exit::Failure;

/// Ports that are tried after the wanted one.
const TRIED: u16 = 20;

/// Addresses for the dashboard, in the order in which they are tried.
///
/// # Errors
/// When the configuration names none.
pub fn ports(config: &Config) -> Result<Vec<SocketAddr>, Failure> {
    let host: IpAddr = match config.text("tap.proxy.host") {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host.parse().map_err(|_| {
            Failure::usage(format!("tap.proxy.host must be an address, not {host}"))
        })?,
    };
    if !host.is_loopback() {
        return Err(Failure::usage(format!(
            "forwarding to {host} would let others on the network in; leave tap.proxy.host at 127.0.0.1"
        )));
    }
    let port = u16::try_from(config.int("tap.proxy.front.port"))
        .map_err(|_| Failure::usage("tap.proxy.front.port must be a port, 0 to 65535"))?;
    let last = port.saturating_add(TRIED);
    Ok((port..=last)
        .map(|port| SocketAddr::new(host, port))
        .collect())
}

/// Listens at the first address that is free.
///
/// # Errors
/// When none is.
pub(super) async fn listen(at: &[SocketAddr]) -> Result<TcpListener, Failure> {
    let mut last = None;
    for address in at {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(format!("port {}: {error}", address.port())),
        }
    }
    Err(Failure::failed(format!(
        "no port of this computer can be forwarded: {}",
        last.unwrap_or_default()
    )))
}
