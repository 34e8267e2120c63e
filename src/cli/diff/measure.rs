//! What one time range's traffic was: counts by endpoint, and names that were seen.

use std::collections::BTreeMap;

use crate::investigate::latency::Latencies;
use crate::item::{Item, shown};
use crate::server::columns_of;

/// Names of each kind that are told apart.
const MAX_NAMES: usize = 100_000;

/// What was asked of one endpoint, and how it went.
#[derive(Debug, Default, Clone)]
pub(super) struct Endpoint {
    pub(super) count: u64,
    pub(super) failed: u64,
    pub(super) statuses: BTreeMap<String, u64>,
    /// Nanoseconds that answers took.
    pub(super) latencies: Latencies,
}

impl Endpoint {
    /// The time in milliseconds that so many of a hundred answers did not exceed.
    pub(super) fn percentile(&self, percent: u64) -> Option<f64> {
        Some(self.latencies.percentile(percent)? as f64 / 1e6)
    }
}

/// Everything that is compared.
#[derive(Debug, Default)]
pub(super) struct Measure {
    pub(super) items: u64,
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    pub(super) peers: BTreeMap<String, u64>,
    pub(super) dns: BTreeMap<String, u64>,
    pub(super) tls: BTreeMap<String, u64>,
    pub(super) cut: bool,
}

impl Measure {
    /// Whether there were more names than are told apart.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Takes one item.
    pub(super) fn add(&mut self, item: &Item) {
        self.items += 1;
        let node = item.node();
        let server = name(&item.dst.name, &item.dst.namespace, || {
            item.dst.endpoint.to_string()
        });
        let client = name(&item.src.name, &item.src.namespace, || {
            item.src.endpoint.ip.to_string()
        });
        self.cut |= !count(&mut self.peers, format!("{client} -> {server}"));
        match item.protocol.name {
            "dns" => {
                let asked = shown(node, columns_of(item.protocol.abbr).summary);
                if !asked.is_empty() {
                    self.cut |= !count(&mut self.dns, asked.to_ascii_lowercase());
                }
            }
            "tls" => {
                let version = shown(node, "response.version");
                if !version.is_empty() {
                    self.cut |= !count(&mut self.tls, format!("{server} {version}"));
                }
            }
            _ => {}
        }
        let columns = columns_of(item.protocol.abbr);
        let method = shown(node, columns.method);
        let place = match item.protocol.name {
            "http" => path(&shown(node, "request.path")),
            _ => String::new(),
        };
        let key = format!("{} {server} {method} {place}", item.protocol.abbr);
        let known = self.endpoints.contains_key(key.trim_end());
        if !known && self.endpoints.len() >= MAX_NAMES {
            self.cut = true;
            return;
        }
        let endpoint = self.endpoints.entry(key.trim_end().to_owned()).or_default();
        endpoint.count += 1;
        let status = shown(node, columns.status);
        let failed =
            item.error.is_some() || (item.protocol.name == "http" && status.starts_with('5'));
        endpoint.failed += u64::from(failed);
        if endpoint.statuses.len() < 64 || endpoint.statuses.contains_key(&*status) {
            *endpoint.statuses.entry(status.into_owned()).or_default() += 1;
        }
        if item.elapsed_nanos > 0 {
            endpoint.latencies.add(item.elapsed_nanos);
        }
    }
}

/// Counts a name; false when there are too many.
fn count(names: &mut BTreeMap<String, u64>, name: String) -> bool {
    if names.len() >= MAX_NAMES && !names.contains_key(&name) {
        return false;
    }
    *names.entry(name).or_default() += 1;
    true
}

fn name(name: &str, namespace: &str, otherwise: impl FnOnce() -> String) -> String {
    match (name, namespace) {
        ("", _) => otherwise(),
        (name, "") => name.to_owned(),
        (name, namespace) => format!("{name}.{namespace}"),
    }
}

/// A path with its identifiers as one.
fn path(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if is_identifier(part) { "{id}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Numbers, UUIDs and long hexadecimal words.
fn is_identifier(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let hex = part
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (digits > 0 && digits == part.len()) || (hex && part.len() >= 16 && digits > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_in_paths_are_one() {
        assert_eq!(path("/orders/42/items"), "/orders/{id}/items");
        assert_eq!(path("/u/0b0e6b1c-9c0e-4d8a-9c53-1d6f0a2b3c4d"), "/u/{id}");
        assert_eq!(path("/v1/cafe"), "/v1/cafe");
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut endpoint = Endpoint::default();
        for millis in 1..=100u64 {
            endpoint.latencies.add(millis * 1_000_000);
        }
        for (percent, expected) in [(50, 50.0), (95, 95.0), (99, 99.0)] {
            let found = endpoint.percentile(percent).unwrap();
            assert!((found / expected - 1.0).abs() < 0.1, "{percent}: {found}");
        }
        assert_eq!(Endpoint::default().percentile(50), None);
    }
}
