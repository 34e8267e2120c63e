//! What all items of a filter say together: a timeline, groups, and who speaks to whom.
//!
//! In: rows, or the items of an archive by its indexes, each once. Out: counts, tones and latencies
//! by time, by group and by pair of peers. Never: memory that grows with the rows. A summary is kept
//! for each filter and place that pages look at and reads on from where it stopped, so that asking again costs
//! only what is new; it remembers items that the ring of rows has dropped since.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value as Json, json};

use super::View;
use super::delivered::Adds;
use super::indexed::Refusal;
use super::map::{MapBy, Pairs, end_of};
use super::places::{Asker, Source};
use super::rows::{columns_of, tone};
use super::sums::{
    Bytes, Clause, Group, Protocol, Seen, Sum, clause_of, label_of, nicer, template,
};
use crate::deliver::Delivery;
use crate::dissect::PROTOCOLS;
use crate::investigate::{Browse, Scan};
use crate::item::{Node, int_at, lookup, shown, text_at};
use crate::kfl;
use crate::time::Timestamp;

/// Filters whose summaries are kept; the one asked for longest ago goes first.
const MAX_KEPT: usize = 6;

/// Slots of a timeline in memory; beyond, two become one.
const MAX_SLOTS: usize = 4096;

/// Groups of one kind; what comes later is counted as one.
const MAX_GROUPS: usize = 4096;

/// Rows that are looked up under one lock.
const STEP: u64 = 8192;

/// Time that one request reads on for; the answer says how many rows are still to be read.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long the summary of an archive holds that was read to its end: the archive may grow.
const HOLDS: Duration = Duration::from_secs(300);

/// The same of a store beside a live run, which records to it.
const HOLDS_BESIDE: Duration = Duration::from_secs(60);

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
    /// By place and filter.
    kept: Mutex<Vec<(Key, Arc<Mutex<Summary>>)>>,
}

/// A place and the text of a filter.
type Key = (String, String);

impl Summaries {
    /// The summary of a filter at a place, read on as far as the patience of one request goes, or as
    /// long as the asker waits.
    ///
    /// # Errors
    /// When there is no such place, or its archive cannot be listed.
    pub(super) fn of(
        &self,
        view: &View,
        place: &str,
        query: &kfl::Query,
        asker: &Asker,
    ) -> Result<Arc<Mutex<Summary>>, Refusal> {
        let source = view.source(place)?;
        if let Source::Rows = source {
            view.run.look(query);
        }
        let key = (place.to_owned(), query.text().to_owned());
        let holds = match place {
            "" => HOLDS,
            _ => HOLDS_BESIDE,
        };
        let known = self.find(&key);
        let summary = match known.filter(|summary| !lock(summary).is_stale(holds)) {
            Some(summary) => summary,
            None => {
                let new = Summary::of(view.clock.now(), source, query);
                Arc::new(Mutex::new(new.map_err(unread)?))
            }
        };
        let mut kept = lock(&self.kept);
        kept.retain(|(known, _)| *known != key);
        kept.push((key, summary.clone()));
        if kept.len() > MAX_KEPT {
            kept.remove(0);
        }
        drop(kept);
        lock(&summary).read_on(view, query, asker).map_err(unread)?;
        Ok(summary)
    }

    fn find(&self, key: &Key) -> Option<Arc<Mutex<Summary>>> {
        let kept = lock(&self.kept);
        let found = kept.iter().find(|(known, _)| known == key);
        found.map(|(_, summary)| summary.clone())
    }

    /// Items that the summary of all of them has counted so far, by protocol.
    pub(super) fn counted(&self) -> Json {
        let whole = self.find(&Key::default());
        // Whoever is reading on holds it; the figures come with the next look.
        let whole = whole.as_ref().and_then(|summary| summary.try_lock().ok());
        whole.map_or_else(|| json!({}), |summary| summary.by_protocol())
    }
}

fn unread(sentence: String) -> Refusal {
    (StatusCode::BAD_REQUEST, sentence)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is read of each item.
fn paths() -> Vec<String> {
    let fixed = [
        "timestamp",
        "elapsedTime",
        "requestSize",
        "responseSize",
        "error.msg",
        "src.name",
        "src.ip",
        "src.namespace",
        "dst.name",
        "dst.ip",
        "dst.namespace",
        "src.pod",
        "dst.pod",
        "src.service",
        "dst.service",
        "node.ip",
        "node.name",
    ];
    let columns = PROTOCOLS.iter().flat_map(|protocol| {
        let columns = protocol.columns();
        [columns.method, columns.status, columns.summary]
    });
    let paths = fixed.into_iter().chain(columns);
    let paths: BTreeSet<&str> = paths.filter(|path| !path.is_empty()).collect();
    paths.into_iter().map(str::to_owned).collect()
}

/// What a summary reads on.
enum Reads {
    /// The rows of the run.
    Rows,
    /// An archive.
    Archive(Arc<Browse>, Box<Scan>),
    /// A store without reels.
    Nothing,
}

/// Sums of the items that match one filter.
pub(super) struct Summary {
    now: Timestamp,
    next: u64,
    reads: Reads,
    made: Instant,
    behind: u64,
    all: Sum,
    width: i64,
    slots: BTreeMap<i64, Sum>,
    groups: [HashMap<String, Group>; GROUPINGS.len()],
    pairs: Pairs,
    not_grouped: u64,
    protocols: Vec<Protocol>,
}

impl Adds for Summary {
    fn add<'a, N: Node<'a>>(&mut self, item: N) {
        let text = |path: &str| text_at(item, path);
        let int = |path: &str| int_at(item, path);
        let abbr = text("protocol.abbr");
        let columns = columns_of(&abbr);
        let status = shown(item, columns.status).into_owned();
        let failed = lookup(item, "error.msg").is_some();
        let seen = Seen {
            at: int("timestamp"),
            tone: tone(item, &status),
            bytes: Bytes::of(&int),
            took: (!failed)
                .then(|| u64::try_from(int("elapsedTime")).ok())
                .flatten(),
            protocol: self.protocol(&abbr, &text),
        };
        self.all.add(&seen);
        self.add_to_slot(&seen);

        let (src, dst) = (end_of("src", &text), end_of("dst", &text));
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

        self.not_grouped += u64::from(!self.pairs.add((src, dst), &seen));
    }
}

impl Summary {
    fn new(now: Timestamp, reads: Reads) -> Summary {
        Summary {
            now,
            next: 0,
            reads,
            made: Instant::now(),
            behind: 0,
            all: Sum::default(),
            width: 1,
            slots: BTreeMap::new(),
            groups: Default::default(),
            pairs: Pairs::default(),
            not_grouped: 0,
            protocols: Vec::new(),
        }
    }

    /// Nothing is read yet of what a place has.
    fn of(now: Timestamp, source: Source, query: &kfl::Query) -> Result<Summary, String> {
        let reads = match source {
            Source::Rows => Reads::Rows,
            Source::Nothing => Reads::Nothing,
            Source::Archive(browse) => {
                let scan = browse.scan(query.clone(), now, paths());
                let scan = scan.map_err(|error| error.to_string())?;
                Reads::Archive(browse, Box::new(scan))
            }
        };
        Ok(Summary::new(now, reads))
    }

    /// Whether an archive may have grown since.
    fn is_stale(&self, holds: Duration) -> bool {
        let is_over = match &self.reads {
            Reads::Rows => false,
            Reads::Archive(_, scan) => scan.is_over(),
            Reads::Nothing => true,
        };
        is_over && self.made.elapsed() > holds
    }

    fn read_on(&mut self, view: &View, query: &kfl::Query, asker: &Asker) -> Result<(), String> {
        match std::mem::replace(&mut self.reads, Reads::Nothing) {
            Reads::Rows => {
                self.reads = Reads::Rows;
                self.read_rows(view, query, asker);
                Ok(())
            }
            Reads::Nothing => Ok(()),
            Reads::Archive(browse, mut scan) => {
                let read = self.read_archive(&mut scan, query, asker);
                browse.warn(scan.warnings());
                self.behind = scan.behind();
                self.reads = Reads::Archive(browse, scan);
                read
            }
        }
    }

    fn read_archive(
        &mut self,
        scan: &mut Scan,
        query: &kfl::Query,
        asker: &Asker,
    ) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let delivery = Delivery::new(query.clone(), self.now, None);
        let more = || !asker.is_gone() && Instant::now() < until;
        scan.step(&more, &mut |item| {
            self.add_delivered(&delivery.counted_match(item.node()), item.node());
        })
        .map_err(|error| error.to_string())
    }

    fn read_rows(&mut self, view: &View, query: &kfl::Query, asker: &Asker) {
        let began = Instant::now();
        let delivery = Delivery::new(query.clone(), self.now, None);
        let condition = query.column_condition(self.now);
        let condition = condition.as_ref();
        loop {
            let held = view.rows.held();
            self.next = self.next.max(held.start);
            self.behind = held.end.saturating_sub(self.next);
            if self.behind == 0 || began.elapsed() > PATIENCE || asker.is_gone() {
                return;
            }
            let end = held.end.min(self.next.saturating_add(STEP));
            for block in view.rows.blocks(self.next..end) {
                let Some(block) = block.narrowed_by(condition) else {
                    continue;
                };
                block.each(&mut |node| {
                    self.add_delivered(&delivery.counted(node), node);
                });
            }
            self.next = end;
        }
    }

    /// `{abbr: count}`.
    fn by_protocol(&self) -> Json {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (index, count) in &self.all.protocols {
            if let Some(protocol) = self.protocols.get(usize::from(*index)) {
                *counts.entry(&protocol.abbr).or_default() += count;
            }
        }
        json!(counts)
    }

    /// Milliseconds before which nothing was read of an archive, since nobody limited the time.
    fn since(&self) -> Option<i64> {
        let Reads::Archive(_, scan) = &self.reads else {
            return None;
        };
        let since = scan.since()?;
        Some(since.nanos().div_euclid(1_000_000))
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
    ///  "since": ms before which an archive was not read, or null,
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
            "since": self.since(),
        })
    }

    /// The largest groups of a kind, by count.
    ///
    /// ```text
    /// {"groups": [{"labels": [], "protocol": macro or null, "clauses": [{"path","value","pattern"}],
    ///   "count", ...}], "all", "more": groups left out, "notGrouped": items, "behind", "since"}
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
            "since": self.since(),
        }))
    }

    /// Who speaks to whom, as [`Pairs::map`] has it, with what is left out.
    pub(super) fn map(&self, by: MapBy, limit: usize) -> Json {
        let mut map = self.pairs.map(by, limit, &self.protocols);
        map["notGrouped"] = self.not_grouped.into();
        map["behind"] = self.behind.into();
        map["since"] = self.since().into();
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::sample;

    fn summed(items: impl Iterator<Item = crate::item::Item>) -> Summary {
        let mut summary = Summary::new(Timestamp::default(), Reads::Rows);
        items.for_each(|item| summary.add(item.node()));
        summary
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
        for by in MapBy::ALL {
            let map = summary.map(by, 100);
            assert_eq!(map["edges"][0]["count"], 10, "{by:?}");
            assert_eq!(map["notGrouped"], 0);
        }
        assert_eq!(
            summary.map(MapBy::Name, 100)["nodes"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }
}
