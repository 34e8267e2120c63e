//! Names that the traffic itself tells, for addresses that nobody else names.
//!
//! In: items in order; answers of DNS and the server names of TLS among them. Out: names of peers that
//! have none, marked with what told them (`dns`, `tls-sni`). Never: a name over one that a history has;
//! more than [`MAX_LEARNED`] addresses at a time.
//!
//! Whoever can answer queries of DNS can choose these names; the mark says that they are no proof.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Consumer, Encoded, Step};
use crate::item::{Item, Node, Peer, lookup};
use crate::packet::Endpoint;

/// Addresses that are remembered, in each of two generations.
const MAX_LEARNED: usize = 16_384;

/// Bytes of a name, as DNS allows.
const MAX_NAME: usize = 253;

/// Answers of one response that are read.
const MAX_ANSWERS: usize = 64;

/// The service and namespace that stand for a name outside the cluster.
pub type ServiceOfHost = Box<dyn Fn(&str) -> Option<(String, String)> + Send>;

/// Name and namespace.
type Known = (Arc<str>, Arc<str>);

/// What is learned is kept while it is asked for: the older half goes when there is too much.
struct Generations<K> {
    young: HashMap<K, Known, ahash::RandomState>,
    old: HashMap<K, Known, ahash::RandomState>,
}

impl<K: Copy + Eq + std::hash::Hash> Generations<K> {
    fn new() -> Generations<K> {
        Generations {
            young: HashMap::default(),
            old: HashMap::default(),
        }
    }

    fn put(&mut self, key: K, known: Known) {
        if self.young.len() >= MAX_LEARNED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, known);
    }

    fn get(&mut self, key: K) -> Option<Known> {
        if let Some(known) = self.young.get(&key) {
            return Some(known.clone());
        }
        let known = self.old.remove(&key)?;
        self.put(key, known.clone());
        Some(known)
    }
}

/// Learns names, and gives them to peers that have none.
pub struct Learning {
    by_dns: Generations<IpAddr>,
    by_tls: Generations<Endpoint>,
    service_of: ServiceOfHost,
}

impl Learning {
    /// Nothing is learned yet; `service_of` knows services with names outside the cluster.
    pub fn new(service_of: ServiceOfHost) -> Learning {
        Learning {
            by_dns: Generations::new(),
            by_tls: Generations::new(),
            service_of,
        }
    }

    fn learn(&mut self, item: &Item) {
        match item.protocol.name {
            "dns" => self.learn_dns(item),
            "tls" => {
                let name = lookup(item.node(), "request.serverName").and_then(Node::text);
                if let Some(known) = name.and_then(|name| self.known(&name)) {
                    self.by_tls.put(item.dst.endpoint, known);
                }
            }
            _ => {}
        }
    }

    fn learn_dns(&mut self, item: &Item) {
        let Some(answers) = lookup(item.node(), "response.answers") else {
            return;
        };
        let asked = lookup(item.node(), "request.questions.0.name").and_then(Node::text);
        for answer in (0..answers.len().min(MAX_ANSWERS)).filter_map(|at| answers.element(at)) {
            let ip = answer.member("ip").and_then(Node::text);
            let Some(ip) = ip.and_then(|ip| ip.parse().ok()) else {
                continue;
            };
            // What was asked for, and not the last of the aliases that it stands for.
            let name = asked.clone().or_else(|| answer.member("name")?.text());
            if let Some(known) = name.and_then(|name| self.known(&name)) {
                self.by_dns.put(ip, known);
            }
        }
    }

    fn known(&self, name: &str) -> Option<Known> {
        let name = name.trim_end_matches('.');
        if name.is_empty() || name.len() > MAX_NAME {
            return None;
        }
        let name = name.to_ascii_lowercase();
        Some(match (self.service_of)(&name) {
            Some((service, namespace)) => (service.into(), namespace.into()),
            None => (name.into(), "".into()),
        })
    }

    fn name(&mut self, peer: &mut Peer, answers: bool) {
        if peer.mechanism != "none" {
            return;
        }
        let (known, mechanism) = match self.by_dns.get(peer.endpoint.ip) {
            Some(known) => (known, "dns"),
            // The asking side's port means nothing.
            None if answers => match self.by_tls.get(peer.endpoint) {
                Some(known) => (known, "tls-sni"),
                None => return,
            },
            None => return,
        };
        (peer.name, peer.namespace) = known;
        peer.mechanism = mechanism;
    }
}

impl Consumer for Learning {
    fn mark(&mut self, _: &Step, items: &mut [Item]) {
        for item in items {
            self.learn(item);
            self.name(&mut item.src, false);
            self.name(&mut item.dst, true);
        }
    }

    fn on_step(&mut self, _: &Step, _: &[Item], _: &Encoded<'_>) {}
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::item::{ProtocolInfo, Value, sample};

    fn item(name: &'static str, request: Json, response: Json) -> Item {
        let protocol = ProtocolInfo {
            name,
            ..*sample::http().protocol
        };
        Item {
            protocol: Box::leak(Box::new(protocol)),
            request: Value::from_json(&request),
            response: Value::from_json(&response),
            ..sample::http()
        }
    }

    fn dns(asked: &str, answers: &Json) -> Item {
        let request = json!({"questions": [{"name": asked}]});
        let request = if asked.is_empty() {
            json!(null)
        } else {
            request
        };
        item("dns", request, json!({"answers": answers}))
    }

    fn learning() -> Learning {
        Learning::new(Box::new(|host| {
            (host == "db.example.com").then(|| ("database".to_owned(), "shop".to_owned()))
        }))
    }

    fn peer(ip: [u8; 4], port: u16) -> Peer {
        Peer::unresolved(Endpoint {
            ip: ip.into(),
            port,
        })
    }

    fn told(learning: &mut Learning, mut peer: Peer, answers: bool) -> String {
        learning.name(&mut peer, answers);
        format!("{}/{} {}", peer.namespace, peer.name, peer.mechanism)
    }

    #[test]
    fn answers_of_dns_name_addresses_that_have_no_name() {
        let mut learning = learning();
        for (asked, answers) in [
            (
                "WWW.example.com.",
                json!([{"cname": "cdn.example.net"}, {"name": "cdn.example.net", "ip": "192.0.2.7"}]),
            ),
            (
                "db.example.com",
                json!([{"ip": "192.0.2.8"}, {"ip": "no address"}, 7]),
            ),
            ("", json!([{"name": "", "ip": "192.0.2.9"}])),
        ] {
            learning.learn(&dns(asked, &answers));
        }
        assert_eq!(
            told(&mut learning, peer([192, 0, 2, 7], 443), true),
            "/www.example.com dns"
        );
        assert_eq!(
            told(&mut learning, peer([192, 0, 2, 8], 443), false),
            "shop/database dns"
        );
        assert_eq!(
            told(&mut learning, peer([192, 0, 2, 9], 443), true),
            "/ none"
        );
        let mut named = peer([192, 0, 2, 7], 443);
        named.name = "cart".into();
        named.mechanism = "ip";
        assert_eq!(told(&mut learning, named, true), "/cart ip");
    }

    #[test]
    fn server_names_of_tls_name_the_side_that_answers() {
        let mut learning = learning();
        let mut hello = item("tls", json!({"serverName": "shop.example"}), json!(null));
        hello.dst = peer([198, 51, 100, 4], 443);
        learning.learn(&hello);
        assert_eq!(
            told(&mut learning, peer([198, 51, 100, 4], 443), true),
            "/shop.example tls-sni"
        );
        assert_eq!(
            told(&mut learning, peer([198, 51, 100, 4], 443), false),
            "/ none"
        );
        assert_eq!(
            told(&mut learning, peer([198, 51, 100, 4], 8443), true),
            "/ none"
        );
    }

    #[test]
    fn what_is_not_asked_for_is_forgotten() {
        let mut learning = learning();
        let answer = |at: usize| {
            let ip = format!("10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255);
            dns(&format!("host-{at}"), &json!([{"ip": ip}]))
        };
        for at in 0..2 * MAX_LEARNED + 10 {
            learning.learn(&answer(at));
            if at % 1000 == 0 {
                assert_eq!(
                    told(&mut learning, peer([10, 0, 0, 0], 1), true),
                    "/host-0 dns"
                );
            }
        }
        assert!(learning.by_dns.young.len() + learning.by_dns.old.len() <= 2 * MAX_LEARNED + 1);
        assert_eq!(told(&mut learning, peer([10, 0, 0, 1], 1), true), "/ none");
    }
}
