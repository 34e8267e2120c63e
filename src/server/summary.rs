//! What all items of a filter say together: a timeline, groups, and who speaks to whom.
//!
//! In: rows, each once. Out: counts, tones and latencies by time, by group and by pair of peers.
//! Never: memory that grows with the rows. A summary is kept for each filter that pages look at and
//! reads on from where it stopped, so that asking again costs only what is new; it remembers items
//! that the ring of rows has dropped since.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::View;
use super::rows::{Tone, columns_of, tone_of};
use crate::investigate::latency::Latencies;
use crate::item::{Node, lookup, shown};
use crate::kfl;
use crate::time::Timestamp;

/// Filters whose summaries are kept; the one asked for longest ago goes first.
const MAX_KEPT: usize = 6;

/// Slots of a timeline in memory; beyond, two become one.
const MAX_SLOTS: usize = 4096;

/// Groups of one kind, nodes' pairs; what comes later is counted as one.
const MAX_GROUPS: usize = 4096;

/// Rows that are looked up under one lock.
const STEP: usize = 2048;

/// Time that one request reads on for; the answer says how many rows are still to be read.
const PATIENCE: Duration = Duration::from_millis(400);

/// What groups can be made by.
pub(super) const GROUPINGS: [&str; 6] = [
    "endpoint",
    "source",
    "destination",
    "namespace",
    "status",
    "protocol",
];

/// The summaries that pages look at.
#[derive(Default)]
pub(super) struct Summaries {
    kept: Mutex<Vec<(String, Arc<Mutex<Summary>>)>>,
}

impl Summaries {
    /// The summary of a filter, read on as far as the patience of one request goes.
    pub(super) fn of(&self, view: &View, query: &kfl::Query) -> Arc<Mutex<Summary>> {
        view.run.look(query);
        let summary = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let found = kept.iter().position(|(text, _)| text == query.text());
            let entry = match found {
                Some(at) => kept.remove(at),
                None => (
                    query.text().to_owned(),
                    Arc::new(Mutex::new(Summary::new(view.clock.now()))),
                ),
            };
            let summary = entry.1.clone();
            kept.push(entry);
            if kept.len() > MAX_KEPT {
                kept.remove(0);
            }
            summary
        };
        summary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read_on(view, query);
        summary
    }
}

/// Counts of some items.
#[derive(Debug, Default, Clone)]
struct Sum {
    tones: [u64; 4],
    bytes: u64,
    latencies: Latencies,
    protocols: Vec<(u16, u64)>,
    first: i64,
    last: i64,
}

impl Sum {
    fn add(&mut self, seen: &Seen) {
        if self.count() == 0 {
            self.first = seen.at;
            self.last = seen.at;
        }
        self.first = self.first.min(seen.at);
        self.last = self.last.max(seen.at);
        self.tones[seen.tone as usize] += 1;
        self.bytes += seen.bytes;
        self.add_protocol(seen.protocol, 1);
        if let Some(took) = seen.took {
            self.latencies.add(took);
        }
    }

    fn merge(&mut self, other: &Sum) {
        if self.count() == 0 {
            self.first = other.first;
            self.last = other.last;
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for (mine, theirs) in self.tones.iter_mut().zip(other.tones) {
            *mine += theirs;
        }
        self.bytes += other.bytes;
        self.latencies.merge(&other.latencies);
        for &(protocol, count) in &other.protocols {
            self.add_protocol(protocol, count);
        }
    }

    fn add_protocol(&mut self, protocol: u16, count: u64) {
        match self
            .protocols
            .iter_mut()
            .find(|(known, _)| *known == protocol)
        {
            Some((_, sum)) => *sum += count,
            None => self.protocols.push((protocol, count)),
        }
    }

    fn count(&self) -> u64 {
        self.tones.iter().sum()
    }

    /// `{"count","good","warn","bad","bytes","p50","p99","first","last","protocols":{abbr: count}}`;
    /// times in milliseconds.
    fn json(&self, names: &[Protocol]) -> Json {
        let protocols: serde_json::Map<String, Json> = self
            .protocols
            .iter()
            .filter_map(|(index, count)| {
                Some((names.get(usize::from(*index))?.abbr.clone(), json!(count)))
            })
            .collect();
        let tone = |tone: Tone| self.tones[tone as usize];
        json!({
            "count": self.count(),
            "good": tone(Tone::Good) + tone(Tone::Plain),
            "warn": tone(Tone::Warn),
            "bad": tone(Tone::Bad),
            "bytes": self.bytes,
            "p50": self.latencies.percentile(50),
            "p99": self.latencies.percentile(99),
            "first": self.first,
            "last": self.last,
            "protocols": protocols,
        })
    }
}

/// What one item adds.
struct Seen {
    at: i64,
    tone: Tone,
    bytes: u64,
    took: Option<u64>,
    protocol: u16,
}

/// A protocol as pages draw it.
struct Protocol {
    abbr: String,
    background: String,
    foreground: String,
}

/// A clause that leads back to the items of a group: a path and the value there.
#[derive(Debug, Clone, PartialEq)]
struct Clause {
    path: String,
    value: String,
    /// The value is a regular expression.
    pattern: bool,
}

struct Group {
    labels: Vec<String>,
    protocol: Option<String>,
    clauses: Vec<Clause>,
    sum: Sum,
}

/// One end of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct End {
    name: String,
    namespace: String,
}

/// Sums of the items that match one filter.
pub(super) struct Summary {
    now: Timestamp,
    next: u64,
    behind: u64,
    all: Sum,
    width: i64,
    slots: BTreeMap<i64, Sum>,
    groups: [HashMap<String, Group>; GROUPINGS.len()],
    edges: HashMap<(End, End), Sum>,
    not_grouped: u64,
    protocols: Vec<Protocol>,
}

impl Summary {
    fn new(now: Timestamp) -> Summary {
        Summary {
            now,
            next: 0,
            behind: 0,
            all: Sum::default(),
            width: 1,
            slots: BTreeMap::new(),
            groups: Default::default(),
            edges: HashMap::new(),
            not_grouped: 0,
            protocols: Vec::new(),
        }
    }

    fn read_on(&mut self, view: &View, query: &kfl::Query) {
        let began = Instant::now();
        loop {
            let held = view.rows.held();
            self.next = self.next.max(held.start);
            self.behind = held.end.saturating_sub(self.next);
            if self.behind == 0 || began.elapsed() > PATIENCE {
                return;
            }
            let rows = view.rows.page(self.next..held.end, STEP);
            let Some(last) = rows.last().and_then(|row| row.node()) else {
                return;
            };
            self.next = last.number() + 1;
            for row in &rows {
                let Some(node) = row.node() else { continue };
                if query.matches(node, self.now) == kfl::Verdict::Match {
                    self.add(node);
                }
            }
        }
    }

    fn add<'a, N: Node<'a>>(&mut self, item: N) {
        let text = |path: &str| {
            lookup(item, path)
                .and_then(Node::text)
                .unwrap_or_default()
                .into_owned()
        };
        let int = |path: &str| lookup(item, path).and_then(Node::int).unwrap_or_default();
        let abbr = text("protocol.abbr");
        let columns = columns_of(&abbr);
        let status = shown(item, columns.status).into_owned();
        let failed = lookup(item, "error.msg").is_some();
        let seen = Seen {
            at: int("timestamp"),
            tone: tone_of(&status, failed),
            bytes: u64::try_from(int("size")).unwrap_or_default(),
            took: (!failed)
                .then(|| u64::try_from(int("elapsedTime")).ok())
                .flatten(),
            protocol: self.protocol(&abbr, &text),
        };
        self.all.add(&seen);
        self.add_to_slot(&seen);

        let end = |side: &str| End {
            name: Some(text(&format!("{side}.name")))
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| text(&format!("{side}.ip"))),
            namespace: text(&format!("{side}.namespace")),
        };
        let (src, dst) = (end("src"), end("dst"));
        let protocol = text("protocol.macro");
        let method = shown(item, columns.method).into_owned();
        let (path, pattern) = template(&shown(item, columns.summary));
        let mut clauses = vec![];
        if !method.is_empty() {
            clauses.push(Clause {
                path: columns.method.to_owned(),
                value: method.clone(),
                pattern: false,
            });
        }
        if !path.is_empty() {
            clauses.push(Clause {
                path: columns.summary.to_owned(),
                value: pattern.clone().unwrap_or_else(|| path.clone()),
                pattern: pattern.is_some(),
            });
        }
        clauses.push(clause_of("dst", &dst));
        let mut group = |kind: usize, labels: Vec<String>, protocol: Option<&str>, clauses| {
            let groups = &mut self.groups[kind];
            let key = labels.join("\n");
            let full = groups.len() >= MAX_GROUPS;
            match groups.get_mut(&key) {
                Some(group) => group.sum.add(&seen),
                None if full => self.not_grouped += 1,
                None => {
                    let mut sum = Sum::default();
                    sum.add(&seen);
                    groups.insert(
                        key,
                        Group {
                            labels,
                            protocol: protocol.map(ToOwned::to_owned),
                            clauses,
                            sum,
                        },
                    );
                }
            }
        };
        group(
            0,
            vec![abbr.clone(), method, path, label_of(&dst)],
            Some(&protocol),
            clauses,
        );
        group(1, vec![label_of(&src)], None, vec![clause_of("src", &src)]);
        group(2, vec![label_of(&dst)], None, vec![clause_of("dst", &dst)]);
        group(
            3,
            vec![dst.namespace.clone()],
            None,
            vec![Clause {
                path: "dst.namespace".to_owned(),
                value: dst.namespace.clone(),
                pattern: false,
            }],
        );
        if !status.is_empty() {
            let clause = Clause {
                path: columns.status.to_owned(),
                value: status.clone(),
                pattern: false,
            };
            group(4, vec![abbr.clone(), status], Some(&protocol), vec![clause]);
        }
        group(5, vec![abbr], Some(&protocol), vec![]);

        let pair = (src, dst);
        let full = self.edges.len() >= MAX_GROUPS;
        match self.edges.get_mut(&pair) {
            Some(sum) => sum.add(&seen),
            None if full => self.not_grouped += 1,
            None => self.edges.entry(pair).or_default().add(&seen),
        }
    }

    fn protocol(&mut self, abbr: &str, text: &impl Fn(&str) -> String) -> u16 {
        let known = self.protocols.iter().position(|one| one.abbr == abbr);
        let index = known.unwrap_or_else(|| {
            self.protocols.push(Protocol {
                abbr: abbr.to_owned(),
                background: text("protocol.backgroundColor"),
                foreground: text("protocol.foregroundColor"),
            });
            self.protocols.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    fn add_to_slot(&mut self, seen: &Seen) {
        self.slots
            .entry(seen.at.div_euclid(self.width))
            .or_default()
            .add(seen);
        while self.slots.len() > MAX_SLOTS {
            self.width = self.width.saturating_mul(2);
            let mut wider: BTreeMap<i64, Sum> = BTreeMap::new();
            for (index, sum) in std::mem::take(&mut self.slots) {
                wider.entry(index.div_euclid(2)).or_default().merge(&sum);
            }
            self.slots = wider;
        }
    }

    /// The timeline in at most `wanted` slots of one width.
    ///
    /// ```text
    /// {"from","to","width": ms, "slots": [{"at": ms, "count", ...}], "all": {"count", ...}, "behind",
    ///  "protocols": {abbr: {"background","foreground"}}}
    /// ```
    pub(super) fn timeline(&self, wanted: usize) -> Json {
        let wanted = i64::try_from(wanted.clamp(1, MAX_SLOTS)).unwrap_or(1);
        let (first, last) = (self.all.first, self.all.last);
        let mut width = self.width;
        let whole = |width: i64| last.div_euclid(width) - first.div_euclid(width) + 1;
        while whole(width) > wanted {
            width = nicer(width);
        }
        let mut slots: BTreeMap<i64, Sum> = BTreeMap::new();
        for (index, sum) in &self.slots {
            // A slot of one width may reach into two of another; it goes where its first item is.
            let at = index.saturating_mul(self.width).max(sum.first);
            slots.entry(at.div_euclid(width)).or_default().merge(sum);
        }
        let slots: Vec<Json> = slots
            .iter()
            .map(|(index, sum)| {
                let mut slot = sum.json(&self.protocols);
                slot["at"] = index.saturating_mul(width).into();
                slot
            })
            .collect();
        let protocols: serde_json::Map<String, Json> = self
            .protocols
            .iter()
            .map(|one| {
                let colours = json!({"background": one.background, "foreground": one.foreground});
                (one.abbr.clone(), colours)
            })
            .collect();
        json!({
            "from": first,
            "to": last,
            "width": width,
            "slots": slots,
            "all": self.all.json(&self.protocols),
            "protocols": protocols,
            "behind": self.behind,
        })
    }

    /// The largest groups of a kind, by count.
    ///
    /// ```text
    /// {"groups": [{"labels": [], "protocol": macro or null, "clauses": [{"path","value","pattern"}],
    ///   "count", ...}], "all", "more": groups left out, "notGrouped": items, "behind"}
    /// ```
    pub(super) fn groups(&self, by: &str, limit: usize) -> Option<Json> {
        let groups = &self.groups[GROUPINGS.iter().position(|one| *one == by)?];
        let mut all: Vec<&Group> = groups.values().collect();
        all.sort_unstable_by(|a, b| {
            b.sum
                .count()
                .cmp(&a.sum.count())
                .then_with(|| a.labels.cmp(&b.labels))
        });
        let shown: Vec<Json> = all
            .iter()
            .take(limit)
            .map(|group| {
                let clauses: Vec<Json> = group
                    .clauses
                    .iter()
                    .map(|clause| {
                        json!({"path": clause.path, "value": clause.value, "pattern": clause.pattern})
                    })
                    .collect();
                let mut shown = group.sum.json(&self.protocols);
                shown["labels"] = json!(group.labels);
                shown["protocol"] = json!(group.protocol);
                shown["clauses"] = json!(clauses);
                shown
            })
            .collect();
        Some(json!({
            "groups": shown,
            "all": self.all.json(&self.protocols),
            "more": all.len().saturating_sub(limit),
            "notGrouped": self.not_grouped,
            "behind": self.behind,
        }))
    }

    /// Who speaks to whom, by name or by namespace.
    ///
    /// ```text
    /// {"nodes": [{"id","name","namespace"}], "edges": [{"src": id, "dst": id, "count", ...}],
    ///  "protocols": {...}, "notGrouped", "behind"}
    /// ```
    pub(super) fn map(&self, by_namespace: bool, limit: usize) -> Json {
        let end = |end: &End| {
            if by_namespace {
                let name = Some(end.namespace.clone())
                    .filter(|name| !name.is_empty())
                    .unwrap_or_else(|| "(no namespace)".to_owned());
                End {
                    name,
                    namespace: String::new(),
                }
            } else {
                end.clone()
            }
        };
        let mut edges: HashMap<(End, End), Sum> = HashMap::new();
        for ((src, dst), sum) in &self.edges {
            edges.entry((end(src), end(dst))).or_default().merge(sum);
        }
        let mut edges: Vec<_> = edges.into_iter().collect();
        edges.sort_unstable_by(|a, b| {
            let ends = |edge: &(End, End)| (label_of(&edge.0), label_of(&edge.1));
            b.1.count()
                .cmp(&a.1.count())
                .then_with(|| ends(&a.0).cmp(&ends(&b.0)))
        });
        let more = edges.len().saturating_sub(limit);
        edges.truncate(limit);
        let mut nodes: BTreeMap<String, Json> = BTreeMap::new();
        let shown: Vec<Json> = edges
            .iter()
            .map(|((src, dst), sum)| {
                let mut edge = sum.json(&self.protocols);
                for (side, end) in [("src", src), ("dst", dst)] {
                    let id = label_of(end);
                    edge[side] = json!(id);
                    nodes.entry(id.clone()).or_insert_with(
                        || json!({"id": id, "name": end.name, "namespace": end.namespace}),
                    );
                }
                edge
            })
            .collect();
        let protocols: serde_json::Map<String, Json> = self
            .protocols
            .iter()
            .map(|one| (one.abbr.clone(), json!(one.background)))
            .collect();
        json!({
            "nodes": nodes.into_values().collect::<Vec<_>>(),
            "edges": shown,
            "protocols": protocols,
            "more": more,
            "notGrouped": self.not_grouped,
            "behind": self.behind,
        })
    }
}

fn label_of(end: &End) -> String {
    if end.namespace.is_empty() {
        end.name.clone()
    } else {
        format!("{}.{}", end.name, end.namespace)
    }
}

fn clause_of(side: &str, end: &End) -> Clause {
    let address = end.name.parse::<std::net::IpAddr>().is_ok();
    Clause {
        path: format!("{side}.{}", if address { "ip" } else { "name" }),
        value: end.name.clone(),
        pattern: false,
    }
}

/// The next width of slots that people read easily, in milliseconds.
fn nicer(width: i64) -> i64 {
    const NICE: [i64; 22] = [
        10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000,
        300_000, 600_000, 900_000, 1_800_000, 3_600_000, 10_800_000, 21_600_000, 86_400_000,
    ];
    NICE.into_iter()
        .find(|nice| *nice > width)
        .unwrap_or(width.saturating_mul(2))
}

/// A path whose segments that differ from call to call (numbers, UUIDs, long hexadecimal words) are
/// `{id}`, with the regular expression that finds all of its kind; the query string is left out.
fn template(summary: &str) -> (String, Option<String>) {
    let path = summary.split('?').next().unwrap_or_default();
    let had_query = path.len() < summary.len();
    if !path.starts_with('/') {
        return (summary.to_owned(), None);
    }
    let mut changed = false;
    let mut shown = Vec::new();
    let mut pattern = Vec::new();
    for segment in path.split('/') {
        if differs(segment) {
            changed = true;
            shown.push("{id}".to_owned());
            pattern.push("[^/?]+".to_owned());
        } else {
            shown.push(segment.to_owned());
            pattern.push(regex::escape(segment));
        }
    }
    let pattern = (changed || had_query).then(|| format!("^{}($|\\?)", pattern.join("/")));
    (shown.join("/"), pattern)
}

/// Whether a segment looks like the name of one thing among many.
fn differs(segment: &str) -> bool {
    let hex = segment
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    !segment.is_empty() && (digits == segment.len() || (hex && segment.len() >= 16 && digits > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::sample;

    fn summed(items: impl Iterator<Item = crate::item::Item>) -> Summary {
        let mut summary = Summary::new(Timestamp::default());
        items.for_each(|item| summary.add(item.node()));
        summary
    }

    #[test]
    fn what_differs_from_call_to_call_is_one_endpoint() {
        let cases = [
            ("/orders/17", "/orders/{id}", true),
            ("/orders/17?full=1", "/orders/{id}", true),
            (
                "/a/6fa459ea-ee8a-3ca4-894e-db77e160355e/b",
                "/a/{id}/b",
                true,
            ),
            ("/feed", "/feed", false),
            ("/a.b?x", "/a.b", true),
            ("", "", false),
            ("SELECT 1", "SELECT 1", false),
            ("example.org", "example.org", false),
        ];
        for (given, wanted, has_pattern) in cases {
            let (shown, pattern) = template(given);
            assert_eq!(shown, wanted);
            assert_eq!(pattern.is_some(), has_pattern, "{given}");
            if let Some(pattern) = pattern {
                assert!(
                    regex::Regex::new(&pattern).unwrap().is_match(given),
                    "{pattern}"
                );
            }
        }
    }

    #[test]
    fn sums_stay_whole_while_slots_get_wider() {
        let count = 20_000;
        let summary = summed((0..count).map(|index| {
            let mut item = sample::http();
            item.start = Timestamp::from_nanos(index * 7_919_000_000);
            item
        }));
        assert!(summary.slots.len() <= MAX_SLOTS);
        for wanted in [1, 7, 120] {
            let line = summary.timeline(wanted);
            let slots = line["slots"].as_array().unwrap();
            assert!(slots.len() <= wanted, "{} of {wanted}", slots.len());
            let sum: u64 = slots
                .iter()
                .map(|slot| slot["count"].as_u64().unwrap())
                .sum();
            assert_eq!(sum, count as u64);
        }
    }

    #[test]
    fn groups_and_pairs_count_every_item_once() {
        let summary = summed((0..10).map(|_| sample::http()));
        for by in GROUPINGS {
            let groups = summary.groups(by, 100).unwrap();
            assert_eq!(groups["groups"][0]["count"], 10, "{by}");
        }
        assert!(summary.groups("moon", 1).is_none());
        let map = summary.map(false, 100);
        assert_eq!(map["edges"][0]["count"], 10);
        assert_eq!(map["nodes"].as_array().unwrap().len(), 2);
    }
}
