//! One answer of live rows, spools and archives: the newest items that match before a moment.
//!
//! In: a query and a moment. Out: rows in the order of their time, each once, with the place each is
//! from, a cursor to go on from, and what could not be asked. Never: a row that another source may
//! still have one before; what a source did not get to is told, or held back for the next page.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::Json as AsJson;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::api::{Asked, State, aside, refuse};
use super::archived::of_archive;
use super::queries::refuse_query;
use super::{delivered, row_json, steered};
use crate::deliver::{Delivered, Delivery};
use crate::item::json::JsonNode;
use crate::item::{Node, lookup};
use crate::pipeline::Rows;
use crate::store::hex;
use crate::time::Timestamp;

/// Rows of one answer, unless asked otherwise, and at most.
const LIMIT: usize = 200;
const MAX_LIMIT: usize = 1000;

/// What rows of a run's own memory are from.
pub const LIVE: &str = "live";

/// What rows of spools are from.
pub const SPOOL: &str = "spool";

/// Bytes of a cursor that is read.
const MAX_CURSOR: usize = 128;

/// Letters of a key: enough of a digest that no two exchanges of one moment share it.
const KEY: usize = 24;

/// A place in the order of all rows: the time in milliseconds, then what tells rows of one moment
/// apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Of one moment: see [`key_of`].
    pub key: String,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// KFL.
    pub kfl: String,
    /// Only rows before this place; `None` for all.
    pub before: Option<Place>,
    /// Only rows from this moment on, in milliseconds.
    pub from: Option<i64>,
    /// Rows at most.
    pub limit: usize,
    /// The moment that `now()` means, in nanoseconds.
    pub now: i64,
    /// Where alone it is looked for: [`LIVE`], `spool` or a store, as rows say where they are from;
    /// empty for everywhere. Nodes of older versions look everywhere.
    #[serde(default)]
    pub place: String,
}

impl Wanted {
    /// Whether rows from there are wanted.
    pub fn asks(&self, place: &str) -> bool {
        self.place.is_empty() || self.place == place
    }

    /// Whether a row of this place is wanted, as far as time goes.
    pub fn holds(&self, place: &Place) -> bool {
        self.before.as_ref().is_none_or(|before| place < before)
            && self.from.is_none_or(|from| place.at >= from)
    }
}

/// A row, and where it is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its place in the order.
    pub place: Place,
    /// As the list shows it.
    pub row: Json,
}

/// What one source has.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Rows, the newest first.
    pub found: Vec<Found>,
    /// The place before which there may be more; `None` when this is all.
    pub floor: Option<Place>,
    /// What could not be asked: `{"what", "why"}`.
    pub missing: Vec<Json>,
    /// Rows and packets that were looked at.
    pub looked: u64,
}

impl Part {
    /// A source that could not be asked.
    pub fn missing(what: &str, why: &str) -> Part {
        Part {
            missing: vec![json!({"what": what, "why": why})],
            ..Part::default()
        }
    }
}

/// What makes an item the same at several sources: its exchange, and the node that saw it. Numbers of
/// streams are no part of it, as packets that are read again alone give others.
fn key_of<'a, N: Node<'a>>(node: N, row: &Json) -> String {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update(text.as_bytes());
        digest.update([0]);
    };
    for path in [
        "startTime",
        "src.ip",
        "src.port",
        "dst.ip",
        "dst.port",
        "node.name",
    ] {
        let text = lookup(node, path).and_then(Node::text);
        add(&text.unwrap_or_default());
    }
    add(row["protocol"]["abbr"].as_str().unwrap_or_default());
    for member in ["method", "summary", "status", "elapsed"] {
        add(&row[member].to_string());
    }
    let mut key = hex(&digest.finalize().into());
    key.truncate(KEY);
    key
}

/// A row with its place, from `source`.
pub fn found<'a, N: Node<'a>>(number: u64, node: N, source: &str) -> Found {
    let mut row = row_json(number, node);
    let at = row["timestamp"].as_i64().unwrap_or_default();
    let key = key_of(node, &row);
    row["from"] = source.into();
    Found {
        place: Place { at, key },
        row,
    }
}

/// The newest of what is given, up to a number.
pub struct Newest<'w> {
    wanted: &'w Wanted,
    rows: BTreeMap<Place, Json>,
    /// How often an exchange was there that nothing tells from another one, such as requests that
    /// share a packet: they are numbered, at each source alike.
    alike: BTreeMap<Place, u32>,
    /// Whether any was left out.
    over: bool,
}

impl<'w> Newest<'w> {
    /// None yet.
    pub fn new(wanted: &'w Wanted) -> Newest<'w> {
        Newest {
            wanted,
            rows: BTreeMap::new(),
            alike: BTreeMap::new(),
            over: false,
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.wanted.limit.max(1)
    }

    /// Whether a row of this moment could be among them.
    pub fn takes(&self, at: i64) -> bool {
        let before = self.wanted.before.as_ref();
        before.is_none_or(|before| at <= before.at)
            && self.wanted.from.is_none_or(|from| at >= from)
            && (!self.is_full() || self.rows.keys().next().is_none_or(|oldest| oldest.at <= at))
    }

    /// A row of this moment is there, or may be, and was not taken: a next page has it.
    pub fn leave_out(&mut self, at: i64) {
        let before = self.wanted.before.as_ref();
        self.over |= self.is_full()
            && before.is_none_or(|before| at <= before.at)
            && self.wanted.from.is_none_or(|from| at >= from);
    }

    /// Takes what is delivered of an item of one source.
    pub(super) fn add_delivered<'a, N: Node<'a>>(
        &mut self,
        delivered: &Delivered,
        number: u64,
        item: N,
        source: &str,
    ) {
        match delivered {
            Delivered::Whole => self.add(found(number, item, source)),
            Delivered::Altered(copy) => self.add(found(number, JsonNode(copy), source)),
            Delivered::Nothing | Delivered::Undecided => {}
        }
    }

    /// Takes a row of one source.
    pub fn add(&mut self, mut found: Found) {
        let count = self.alike.entry(found.place.clone()).or_default();
        if *count > 0 {
            found.place.key.push_str(&format!(".{count}"));
        }
        *count += 1;
        if self.wanted.holds(&found.place) {
            self.insert(found);
        }
    }

    /// Takes a row of any source; the first of several of one place counts.
    fn insert(&mut self, found: Found) {
        let is_full = self.is_full() && !self.rows.contains_key(&found.place);
        self.rows.entry(found.place).or_insert(found.row);
        if is_full {
            self.rows.pop_first();
            self.over = true;
            if let Some(oldest) = self.rows.keys().next() {
                let from = Place {
                    at: oldest.at,
                    key: String::new(),
                };
                self.alike = self.alike.split_off(&from);
            }
        }
    }

    /// They, the newest first, and the place before which some were left out.
    pub fn take(self) -> (Vec<Found>, Option<Place>) {
        let floor = self.over.then(|| self.rows.keys().next().cloned());
        let found = self.rows.into_iter().rev();
        let found = found.map(|(place, row)| Found { place, row }).collect();
        (found, floor.flatten())
    }
}

/// The rows of a ring.
pub fn of_rows(rows: &Rows, delivery: &Delivery<'_>, wanted: &Wanted, source: &str) -> Part {
    if !wanted.asks(source) {
        return Part::default();
    }
    let mut newest = Newest::new(wanted);
    let mut looked = 0;
    let Ok(()) = rows.try_each(|row| {
        looked += 1;
        let Some(node) = row.node() else {
            return Ok(());
        };
        let at = lookup(node, "timestamp").and_then(Node::int);
        let at = at.unwrap_or_default();
        // Cheap first: most rows are too new or too old for a page behind the first.
        if !newest.takes(at) {
            newest.leave_out(at);
        } else {
            // Scripts are asked about those that stay.
            let delivered = delivery.counted(node);
            newest.add_delivered(&delivered, node.number(), node, source);
        }
        Ok::<(), Infallible>(())
    });
    let (mut found, floor) = newest.take();
    if delivery.is_asked() {
        found.retain_mut(|one| asked(rows, delivery, one, source));
    }
    Part {
        found,
        floor,
        looked,
        ..Part::default()
    }
}

/// Puts what scripts make of a row in its place; false when it is not held any more, or not delivered.
fn asked(rows: &Rows, delivery: &Delivery<'_>, found: &mut Found, source: &str) -> bool {
    let row = found.row["n"].as_u64().and_then(|number| rows.get(number));
    let shown = row.as_ref().and_then(|row| {
        let node = row.node()?;
        delivered::row(&delivered::held(delivery, node), node.number(), node)
    });
    match shown {
        Some(mut shown) => {
            shown["from"] = source.into();
            found.row = shown;
            true
        }
        None => false,
    }
}

/// Parts as one: rows of all in one order, each once, no row behind one that a part may still have.
pub fn merged(parts: Vec<Part>, wanted: &Wanted) -> Part {
    let floor = parts.iter().filter_map(|part| part.floor.clone()).max();
    let mut newest = Newest::new(wanted);
    let mut whole = Part::default();
    for part in parts {
        whole.missing.extend(part.missing);
        whole.looked += part.looked;
        for found in part.found {
            if floor.as_ref().is_none_or(|floor| found.place >= *floor) {
                newest.insert(found);
            }
        }
    }
    let (found, over) = newest.take();
    whole.floor = over.or(floor);
    whole.found = found;
    whole
}

/// A cursor as text.
fn cursor(place: &Place) -> String {
    format!("{}_{}", place.at, place.key)
}

/// Reads a cursor: a place, or a moment alone.
fn parse(text: &str) -> Option<Place> {
    if text.len() > MAX_CURSOR {
        return None;
    }
    let (at, key) = text.split_once('_').unwrap_or((text, ""));
    Some(Place {
        at: at.parse().ok()?,
        key: key.to_owned(),
    })
}

/// A part as it is answered.
///
/// ```text
/// {"rows": [{..., "from": "live" | "spool" | store}], "next": cursor or null, "looked": n,
///  "missing": [{"what": node or store, "why": sentence}]}
/// ```
fn answer(part: Part) -> Json {
    let next = part.floor.as_ref().map(cursor);
    let rows: Vec<Json> = part.found.into_iter().map(|found| found.row).collect();
    json!({"rows": rows, "next": next, "looked": part.looked, "missing": part.missing})
}

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    q: String,
    #[serde(default)]
    place: String,
    #[serde(default)]
    before: String,
    from: Option<i64>,
    limit: Option<usize>,
}

/// `GET /search`.
pub(super) async fn search(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let query = match state.view.query(&ask.q) {
        Ok(query) => query,
        Err(error) => return refuse_query(&ask.q, &error),
    };
    if query.steering().left_off.is_some() {
        let sentence = "a search does not resume at an item; leave leftOff() out and use before";
        return refuse(StatusCode::BAD_REQUEST, sentence);
    }
    let before = match ask.before.as_str() {
        "" => None,
        text => match parse(text) {
            Some(place) => Some(place),
            None => {
                let sentence = "before must be milliseconds since 1970, or next of an answer";
                return refuse(StatusCode::BAD_REQUEST, sentence);
            }
        },
    };
    let view = &state.view;
    let archive = view.indexed.get().map(|browse| browse.name());
    let is_place = |name: &str| {
        ["", LIVE, SPOOL].contains(&name)
            || archive.as_deref() == Some(name)
            || view.run.stores().iter().any(|store| store == name)
    };
    if !is_place(&ask.place) {
        let sentence = "place must be live, spool or a store that /archive/stores names";
        return refuse(StatusCode::BAD_REQUEST, sentence);
    }
    let wanted = Wanted {
        kfl: ask.q,
        before,
        from: ask.from,
        limit: steered::limit_of(&query, ask.limit.unwrap_or(LIMIT).clamp(1, MAX_LIMIT)),
        now: state.view.clock.now().nanos(),
        place: ask.place,
    };
    let found = aside(move || {
        let delivery = state
            .view
            .delivery(query.clone(), Timestamp::from_nanos(wanted.now));
        let rows = of_rows(&state.view.rows, &delivery, &wanted, LIVE);
        let shown = state.view.indexed.get();
        let shown = shown.map(|browse| of_archive(browse, &browse.name(), &delivery, &wanted));
        let mut elsewhere = state.view.run.search(&query, &wanted);
        for part in &mut elsewhere {
            let is_asked = |found: &Found| {
                found.row["from"]
                    .as_str()
                    .is_some_and(|from| wanted.asks(from))
            };
            part.found.retain(is_asked);
        }
        let parts = std::iter::once(rows).chain(shown).chain(elsewhere);
        let mut whole = merged(parts.collect(), &wanted);
        if steered::most(&query).is_some_and(|most| whole.found.len() as u64 >= most) {
            whole.floor = None;
        }
        answer(whole)
    });
    match found.await {
        Ok(found) => AsJson(found).into_response(),
        Err(response) => response,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::item::{flat, sample};
    use crate::kfl;

    /// Everything, as it is.
    fn all() -> Delivery<'static> {
        let query = kfl::compile("", &kfl::Schema::empty()).unwrap();
        Delivery::new(query, Timestamp::default(), None)
    }

    fn place(at: i64, key: &str) -> Place {
        Place {
            at,
            key: key.to_owned(),
        }
    }

    fn part(places: &[(i64, &str)], floor: Option<(i64, &str)>, from: &str) -> Part {
        let found = places.iter().map(|(at, key)| Found {
            place: place(*at, key),
            row: json!({"from": from}),
        });
        Part {
            found: found.collect(),
            floor: floor.map(|(at, key)| place(at, key)),
            ..Part::default()
        }
    }

    fn wanted(limit: usize) -> Wanted {
        Wanted {
            kfl: String::new(),
            before: None,
            from: None,
            limit,
            now: 0,
            place: String::new(),
        }
    }

    fn places(part: &Part) -> Vec<(i64, String)> {
        let places = part.found.iter().map(|found| &found.place);
        places.map(|place| (place.at, place.key.clone())).collect()
    }

    #[test]
    fn parts_become_one_order_without_doubles() {
        let live = part(&[(9, "x"), (7, "y")], None, "live");
        let archive = part(&[(8, "z"), (7, "y"), (2, "w")], None, "s3");
        let whole = merged(vec![live, archive], &wanted(10));
        let expected = [(9, "x"), (8, "z"), (7, "y"), (2, "w")];
        assert_eq!(places(&whole), expected.map(|(at, key)| (at, key.into())));
        // The source that was asked first keeps the row.
        assert_eq!(whole.found[2].row["from"], "live");
        assert_eq!(whole.floor, None);
    }

    #[test]
    fn what_a_source_may_still_have_holds_back_older_rows() {
        let cut = part(&[(9, "a"), (6, "b")], Some((6, "b")), "live");
        let deep = part(&[(8, "c"), (5, "d"), (4, "e")], None, "s3");
        let whole = merged(vec![cut, deep], &wanted(10));
        let expected = [(9, "a"), (8, "c"), (6, "b")];
        assert_eq!(places(&whole), expected.map(|(at, key)| (at, key.into())));
        let told = answer(whole);
        assert_eq!(told["next"], "6_b");
        assert_eq!(parse("6_b"), Some(place(6, "b")));
        assert_eq!(parse("6"), Some(place(6, "")));
        assert_eq!(parse("now"), None);
    }

    #[test]
    fn a_source_that_was_not_searched_to_its_end_is_gone_on_with() {
        let slow = part(&[], Some((7, "")), "spool");
        let archive = part(&[(8, "c"), (5, "d")], None, "s3");
        let whole = merged(vec![slow, archive.clone()], &wanted(10));
        assert_eq!(places(&whole), [(8, "c".to_owned())]);
        let next = answer(whole)["next"].as_str().and_then(parse).unwrap();
        assert_eq!(next, place(7, ""));
        // The next page begins there.
        let mut rest = wanted(10);
        rest.before = Some(next);
        assert!(!rest.holds(&place(8, "c")) && rest.holds(&place(5, "d")));
    }

    /// Fifty rows of ten moments, in this order.
    fn ring(second: impl Fn(u64) -> u64) -> Rows {
        let rows = Rows::new(usize::MAX, 1000);
        let mut bytes = Vec::new();
        for number in 0..50_u64 {
            let mut item = sample::http();
            item.number = number;
            item.start = Timestamp::from_secs(i64::try_from(second(number)).unwrap(), 0);
            flat::encode(&item, &mut bytes);
        }
        rows.push(0, &Arc::new(bytes));
        rows
    }

    #[test]
    fn rows_behind_a_full_page_are_for_the_next_one() {
        let rows = ring(|number| 9 - number / 5);
        let query = all();
        let page = of_rows(&rows, &query, &wanted(5), LIVE);
        assert!(page.found.iter().all(|found| found.place.at == 9_000));
        assert!(page.floor.is_some());
        assert_eq!(of_rows(&rows, &query, &wanted(50), LIVE).floor, None);
        // Whoever asks for another place alone gets none of these.
        let of_place = |place: &str| Wanted {
            place: place.to_owned(),
            ..wanted(50)
        };
        for (place, count) in [("", 50), (LIVE, 50), (SPOOL, 0), ("s3://b/", 0)] {
            let part = of_rows(&rows, &query, &of_place(place), LIVE);
            assert_eq!(part.found.len(), count, "{place}");
        }
        // Older nodes say and read nothing of a place.
        let mut said = serde_json::to_value(of_place(SPOOL)).unwrap();
        said.as_object_mut().unwrap().remove("place");
        assert_eq!(serde_json::from_value::<Wanted>(said).unwrap(), wanted(50));
    }

    #[test]
    fn pages_of_a_ring_give_every_row_once_whatever_order_it_came_in() {
        // Of each moment there are five that nothing tells apart.
        let rows = ring(|number| (number * 7) % 10);
        let query = all();
        let mut wanted = wanted(7);
        let mut seen = Vec::new();
        loop {
            let page = of_rows(&rows, &query, &wanted, LIVE);
            seen.extend(page.found.iter().map(|found| found.place.clone()));
            if page.floor.is_none() {
                break;
            }
            wanted.before = page.floor;
        }
        assert_eq!(seen.len(), 50);
        assert!(seen.is_sorted_by(|a, b| a > b));
        wanted.before = None;
        wanted.from = Some(9_000);
        let newest = of_rows(&rows, &query, &wanted, LIVE);
        assert!(newest.found.iter().all(|found| found.place.at == 9_000));
        assert_eq!(newest.found.len(), 5);
    }
}
