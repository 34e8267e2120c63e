//! Who speaks to whom: pairs of peers, by what they are drawn as.
//!
//! In: the ends of items. Out: nodes and edges, with the clauses that lead back to the items of a
//! node. Never: more than [`MAX_PAIRS`] pairs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value as Json, json};

use super::sums::{Clause, End, Protocol, Seen, Sum, clause_of, label_of};

/// Pairs that are told apart; of what comes later the items are counted.
const MAX_PAIRS: usize = 8192;

/// Clauses that lead to the items of one node.
const MAX_CLAUSES: usize = 8;

/// What the nodes of a map are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MapBy {
    /// The names that lists show: pods, services, hosts.
    Name,
    /// Pods, and names of what is none.
    Pod,
    /// Services, and names of what stands behind none.
    Service,
    /// Namespaces.
    Namespace,
    /// Nodes of the cluster.
    Node,
}

impl MapBy {
    /// All of them.
    pub(super) const ALL: [MapBy; 5] = [
        MapBy::Name,
        MapBy::Pod,
        MapBy::Service,
        MapBy::Namespace,
        MapBy::Node,
    ];

    /// As requests call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            MapBy::Name => "name",
            MapBy::Pod => "pod",
            MapBy::Service => "service",
            MapBy::Namespace => "namespace",
            MapBy::Node => "node",
        }
    }

    /// The one of a name; by name when it is empty.
    pub(super) fn named(name: &str) -> Option<MapBy> {
        match name {
            "" => Some(MapBy::Name),
            name => MapBy::ALL.into_iter().find(|by| by.name() == name),
        }
    }
}

/// The end of an item that `side` names, out of the texts at its paths.
pub(super) fn end_of(side: &str, text: &impl Fn(&str) -> String) -> End {
    let of = |path: &str| text(&format!("{side}.{path}"));
    let ip = of("ip");
    let mut node = of("pod.spec.nodeName");
    if node.is_empty() && !ip.is_empty() && ip == text("node.ip") {
        node = text("node.name");
    }
    End {
        name: Some(of("name"))
            .filter(|name| !name.is_empty())
            .unwrap_or(ip),
        namespace: of("namespace"),
        pod: of("pod.metadata.name"),
        service: of("service.metadata.name"),
        node,
    }
}

/// Sums by pair of ends.
#[derive(Default)]
pub(super) struct Pairs(HashMap<(End, End), Sum>);

impl Pairs {
    /// Counts an item of a pair; whether there was room for it.
    pub(super) fn add(&mut self, pair: (End, End), seen: &Seen) -> bool {
        let full = self.0.len() >= MAX_PAIRS;
        match self.0.get_mut(&pair) {
            Some(sum) => sum.add(seen),
            None if full => return false,
            None => self.0.entry(pair).or_default().add(seen),
        }
        true
    }

    /// The largest pairs by count, and the nodes that they lie between.
    ///
    /// ```text
    /// {"nodes": [{"id","name","namespace", "any": [{"path": below src or dst, "value"}]}],
    ///  "edges": [{"src": id, "dst": id, "count", ...}], "protocols": {abbr: colour},
    ///  "more": pairs left out}
    /// ```
    pub(super) fn map(&self, by: MapBy, limit: usize, protocols: &[Protocol]) -> Json {
        let machines = self.machines();
        let mut edges: HashMap<(End, End), Sum> = HashMap::new();
        let mut clauses: HashMap<End, BTreeSet<(String, String)>> = HashMap::new();
        for ((src, dst), sum) in &self.0 {
            let [from, to] = [src, dst].map(|end| {
                let (drawn, clause) = drawn(by, end, &machines);
                let found = clauses.entry(drawn.clone()).or_default();
                if found.len() < MAX_CLAUSES {
                    found.insert(clause);
                }
                drawn
            });
            edges.entry((from, to)).or_default().merge(sum);
        }
        let mut edges: Vec<_> = edges.into_iter().collect();
        edges.sort_unstable_by(|a, b| {
            let ends = |edge: &(End, End)| (label_of(&edge.0), label_of(&edge.1));
            let by_count = b.1.count().cmp(&a.1.count());
            by_count.then_with(|| ends(&a.0).cmp(&ends(&b.0)))
        });
        let more = edges.len().saturating_sub(limit);
        edges.truncate(limit);
        let mut nodes: BTreeMap<String, Json> = BTreeMap::new();
        let mut shown = Vec::new();
        for ((src, dst), sum) in &edges {
            let mut edge = sum.json(protocols);
            for (side, end) in [("src", src), ("dst", dst)] {
                let id = label_of(end);
                edge[side] = json!(id);
                let any = || {
                    let found = clauses.get(end).into_iter().flatten();
                    let any = found.map(|(path, value)| json!({"path": path, "value": value}));
                    any.collect::<Vec<Json>>()
                };
                nodes.entry(id.clone()).or_insert_with(|| {
                    json!({"id": id, "name": end.name, "namespace": end.namespace, "any": any()})
                });
            }
            shown.push(edge);
        }
        let colours = protocols.iter();
        let colours = colours.map(|one| (one.abbr.clone(), json!(one.background)));
        json!({
            "nodes": nodes.into_values().collect::<Vec<_>>(),
            "edges": shown,
            "protocols": colours.collect::<serde_json::Map<String, Json>>(),
            "more": more,
        })
    }

    /// Names of nodes: an end of such a name is that node itself.
    fn machines(&self) -> BTreeSet<String> {
        let ends = self.0.keys().flat_map(|(src, dst)| [src, dst]);
        let named = ends.filter(|end| !end.node.is_empty());
        named.map(|end| end.node.clone()).collect()
    }
}

/// The node that an end is drawn as, and the path and value that lead to it.
fn drawn(by: MapBy, end: &End, machines: &BTreeSet<String>) -> (End, (String, String)) {
    let own = || {
        let Clause { path, value, .. } = clause_of("", end);
        (path.trim_start_matches('.').to_owned(), value)
    };
    let named = |name: &str, namespace: &str, clause: (String, String)| {
        let drawn = End {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            ..End::default()
        };
        (drawn, clause)
    };
    let at = |path: &str, value: &str| (path.to_owned(), value.to_owned());
    match by {
        MapBy::Pod if !end.pod.is_empty() => {
            let clause = at("pod.metadata.name", &end.pod);
            named(&end.pod, &end.namespace, clause)
        }
        MapBy::Service if !end.service.is_empty() => {
            let clause = at("service.metadata.name", &end.service);
            named(&end.service, &end.namespace, clause)
        }
        MapBy::Name | MapBy::Pod | MapBy::Service => named(&end.name, &end.namespace, own()),
        MapBy::Namespace if end.namespace.is_empty() => {
            named("(no namespace)", "", at("namespace", ""))
        }
        MapBy::Namespace => named(&end.namespace, "", at("namespace", &end.namespace)),
        MapBy::Node if !end.pod.is_empty() && !end.node.is_empty() => {
            named(&end.node, "", at("pod.spec.nodeName", &end.node))
        }
        MapBy::Node if !end.node.is_empty() => named(&end.node, "", own()),
        MapBy::Node if machines.contains(&end.name) => named(&end.name, "", own()),
        // What is on no node that is known is drawn as itself: services, and what is outside.
        MapBy::Node => named(&end.name, &end.namespace, own()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::rows::Tone;
    use crate::server::sums::Bytes;

    fn end(name: &str, pod: &str, service: &str, node: &str) -> End {
        End {
            name: name.to_owned(),
            namespace: "shop".to_owned(),
            pod: pod.to_owned(),
            service: service.to_owned(),
            node: node.to_owned(),
        }
    }

    /// Two pods of a service on two nodes, asked by one pod, by a node itself and from outside.
    fn pairs() -> Pairs {
        let mut pairs = Pairs::default();
        let seen = Seen {
            at: 1,
            tone: Tone::Good,
            bytes: Bytes {
                requests: 10,
                responses: 20,
            },
            took: Some(1),
            protocol: 0,
        };
        let machine = End {
            namespace: String::new(),
            ..end("node-b", "", "", "")
        };
        let outside = End {
            namespace: String::new(),
            ..end("192.0.2.7", "", "", "")
        };
        let web = end("web-1", "web-1", "", "node-a");
        let cart = |at: &str, node: &str| end("cart", &format!("cart-{at}"), "cart", node);
        for (src, dst) in [
            (web.clone(), cart("1", "node-a")),
            (web, cart("2", "node-b")),
            (machine, cart("2", "node-b")),
            (outside, cart("1", "node-a")),
        ] {
            assert!(pairs.add((src, dst), &seen));
        }
        pairs
    }

    fn edges(by: MapBy) -> Vec<String> {
        let map = pairs().map(by, 100, &[]);
        let edges = map["edges"].as_array().unwrap().iter();
        let text = |edge: &Json, side: &str| edge[side].as_str().unwrap().to_owned();
        let mut edges: Vec<String> = edges
            .map(|edge| {
                format!(
                    "{} {} {}",
                    text(edge, "src"),
                    text(edge, "dst"),
                    edge["count"]
                )
            })
            .collect();
        edges.sort();
        edges
    }

    #[test]
    fn a_map_is_drawn_by_what_is_asked_for() {
        let cases: [(MapBy, &[&str]); 5] = [
            (
                MapBy::Name,
                &[
                    "192.0.2.7 cart.shop 1",
                    "node-b cart.shop 1",
                    "web-1.shop cart.shop 2",
                ],
            ),
            (
                MapBy::Pod,
                &[
                    "192.0.2.7 cart-1.shop 1",
                    "node-b cart-2.shop 1",
                    "web-1.shop cart-1.shop 1",
                    "web-1.shop cart-2.shop 1",
                ],
            ),
            (
                MapBy::Service,
                &[
                    "192.0.2.7 cart.shop 1",
                    "node-b cart.shop 1",
                    "web-1.shop cart.shop 2",
                ],
            ),
            (MapBy::Namespace, &["(no namespace) shop 2", "shop shop 2"]),
            (
                MapBy::Node,
                &[
                    "192.0.2.7 node-a 1",
                    "node-a node-a 1",
                    "node-a node-b 1",
                    "node-b node-b 1",
                ],
            ),
        ];
        for (by, wanted) in cases {
            assert_eq!(edges(by), wanted, "{by:?}");
        }
        // Traffic is told by direction.
        let map = pairs().map(MapBy::Namespace, 100, &[]);
        for edge in map["edges"].as_array().unwrap() {
            let of = |name: &str| edge[name].as_u64().unwrap();
            let (count, bytes) = (of("count"), of("bytes"));
            assert_eq!(of("requestBytes"), 10 * count);
            assert_eq!((of("responseBytes"), bytes), (20 * count, 30 * count));
        }
    }

    #[test]
    fn a_node_tells_the_clauses_that_lead_to_it() {
        let map = pairs().map(MapBy::Node, 100, &[]);
        let any = |id: &str| {
            let nodes = map["nodes"].as_array().unwrap();
            nodes.iter().find(|node| node["id"] == id).unwrap()["any"].clone()
        };
        assert_eq!(
            any("node-a"),
            json!([{"path": "pod.spec.nodeName", "value": "node-a"}])
        );
        assert_eq!(
            any("node-b"),
            json!([
                {"path": "name", "value": "node-b"},
                {"path": "pod.spec.nodeName", "value": "node-b"},
            ])
        );
        assert_eq!(
            any("192.0.2.7"),
            json!([{"path": "ip", "value": "192.0.2.7"}])
        );
    }

    #[test]
    fn pairs_beyond_the_most_are_not_told_apart() {
        let mut pairs = pairs();
        let seen = Seen {
            at: 1,
            tone: Tone::Bad,
            bytes: Bytes::default(),
            took: None,
            protocol: 0,
        };
        let added = (0..MAX_PAIRS).filter(|at| {
            let pair = (end(&at.to_string(), "", "", ""), End::default());
            pairs.add(pair, &seen)
        });
        assert_eq!(added.count(), MAX_PAIRS - 4);
    }

    #[test]
    fn a_map_is_asked_for_by_name() {
        for by in MapBy::ALL {
            assert_eq!(MapBy::named(by.name()), Some(by));
        }
        assert_eq!(MapBy::named(""), Some(MapBy::Name));
        assert_eq!(MapBy::named("moon"), None);
    }
}
