//! What of the hub's traffic is tapedeck's own, and that workers know it in time.
//!
//! In: the configuration, the address of the pod. Out: endpoints for workers, and a pause until they have
//! them. Never: a request to anybody before.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::super::super::config::Config;
use super::super::live::PACE;
use super::super::session::node_name;
use super::ready::Ready;
use crate::hub::{FOUND_WITHIN, Hub};
use crate::pipeline::Stop;

/// Where the dashboard and the metrics are, as far as it is known before they are served: workers
/// leave their traffic out.
pub(super) fn beside_the_link(config: &Config, dashboard: u16) -> Vec<SocketAddr> {
    let metrics = u16::try_from(config.int("tap.metrics.port")).unwrap_or_default();
    let host: Option<IpAddr> = node_name(config, 0).ip.parse().ok();
    let ports = [dashboard, metrics].into_iter().filter(|port| *port != 0);
    ports
        .filter_map(|port| Some(SocketAddr::new(host?, port)))
        .chain(own_address())
        .collect()
}

/// Variable with the address of the hub's pod, where it has one of its own.
const POD_IP: &str = "TAPEDECK_POD_IP";

/// The address that nobody else has: what the hub asks of the API server and stores is its own traffic.
fn own_address() -> Option<SocketAddr> {
    let ip: IpAddr = std::env::var_os(POD_IP)?.to_str()?.parse().ok()?;
    Some(SocketAddr::new(ip, 0))
}

/// Lets workers in for as long as the last of them takes to find the hub, before it asks anything of
/// anybody: they leave out its traffic from the moment on at which they know its address. Answers whether the
/// run goes on.
pub(super) fn is_known_to_workers(hub: &Hub, stop: &Stop, ready: &Ready) -> bool {
    if own_address().is_none() {
        return true;
    }
    eprintln!(
        "Workers find the hub on {}; in {} s, when all of them leave out its traffic, it asks for the names",
        hub.address,
        FOUND_WITHIN.as_secs()
    );
    let begun = Instant::now();
    while begun.elapsed() < FOUND_WITHIN && !stop.is_asked() {
        ready.beat();
        std::thread::sleep(PACE);
    }
    !stop.is_asked()
}
