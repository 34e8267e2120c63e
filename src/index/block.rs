//! Columns of one row group, and the items that they give.
//!
//! In: columns as the decoder gives them. Out: values by row, [`Item`]s. Never: a trust in them;
//! what makes no sense is empty.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::column::{COLUMNS, Content, End, Kind, place};
use super::fold::{self, Held};
use super::json;
use super::values::Values;
use super::writer::Place;
use crate::item::{
    Identity, Item, ItemError, Key, MAX_IDENTITY, Origin, Peer, ProtocolInfo, Value,
};
use crate::packet::{Endpoint, StreamName};
use crate::time::Timestamp;

/// Columns of one row group, or of some rows of it.
pub struct Block {
    pub(super) rows: usize,
    /// Number of the row group's first row, counted over the whole file.
    pub(super) first: u64,
    /// Places in the row group of the rows that are here; `None` for all.
    pub(super) picked: Option<Vec<usize>>,
    pub(super) columns: Vec<Option<Values>>,
    pub(super) record: Arc<str>,
    /// Of parts, the members that are wanted; of a part that is not named all are.
    pub(super) only: Vec<(&'static str, Vec<String>)>,
    /// Identities by their text: few have many items.
    pub(super) known: Mutex<HashMap<Vec<u8>, Option<Arc<Identity>>>>,
}

impl Block {
    /// The same, for a question that reads these paths alone ([`crate::kfl::Query::paths`]): of the JSON
    /// of parts only the members that they lead to are read.
    #[must_use]
    pub fn only<'p>(self, paths: impl IntoIterator<Item = &'p str>) -> Block {
        Block {
            only: members(paths),
            ..self
        }
    }

    /// The same for questions of any kind.
    #[must_use]
    pub fn unlimited(self) -> Block {
        Block {
            only: Vec::new(),
            ..self
        }
    }

    /// Some rows alone.
    pub(super) fn pick(&self, rows: &[usize]) -> Block {
        let pick = |values: &Option<Values>| values.as_ref().map(|values| values.pick(rows));
        Block {
            rows: rows.len(),
            first: self.first,
            picked: Some(rows.iter().map(|row| self.place_in_group(*row)).collect()),
            columns: self.columns.iter().map(pick).collect(),
            record: self.record.clone(),
            only: self.only.clone(),
            known: Mutex::default(),
        }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Number of a row, counted over the whole file.
    pub fn number(&self, row: usize) -> u64 {
        self.first + self.place_in_group(row) as u64
    }

    /// Place of a row in its row group.
    pub(super) fn place_in_group(&self, row: usize) -> usize {
        match &self.picked {
            None => row,
            Some(picked) => picked.get(row).copied().unwrap_or_default(),
        }
    }

    /// The text of a row in a column of [`COLUMNS`]; `None` when it is null, was not read, or is none.
    pub fn text_at(&self, column: usize, row: usize) -> Option<&str> {
        match self.columns.get(column)?.as_ref()? {
            Values::Text(values) => std::str::from_utf8(values.get(row)?.data()).ok(),
            _ => None,
        }
    }

    /// The number of a row in a column of [`COLUMNS`], as [`Block::text_at`]; times are in
    /// microseconds since 1970.
    pub fn int_at(&self, column: usize, row: usize) -> Option<i64> {
        match self.columns.get(column)?.as_ref()? {
            Values::Int(values) => values.get(row).copied(),
            _ => None,
        }
    }

    /// Yes or no of a row in a column of [`COLUMNS`], as [`Block::text_at`].
    pub fn bool_at(&self, column: usize, row: usize) -> Option<bool> {
        match self.columns.get(column)?.as_ref()? {
            Values::Bool(values) => values.get(row).copied(),
            _ => None,
        }
    }

    /// Nanoseconds of a row's request.
    pub fn start(&self, row: usize) -> i64 {
        let micros = self.int_at(PLACES.time, row).unwrap_or_default();
        let nanos = self.int_at(PLACES.nanos, row).unwrap_or_default();
        micros.saturating_mul(1000).saturating_add(nanos)
    }

    /// Whether the JSON of a row lacks something.
    pub fn is_cut(&self, row: usize) -> bool {
        self.bool_at(place(Content::Cut), row).unwrap_or(false)
    }

    /// Where a row's packets are; `None` when the columns were not read or say nothing.
    pub fn place(&self, row: usize) -> Option<Place> {
        let frame = |end| u32::try_from(self.int(Content::Frame(end), row)?).ok();
        Some(Place {
            stream: StreamName::parse(self.text(Content::Stream, row)?)?,
            packet: self
                .int(Content::Packet, row)
                .and_then(|packet| u64::try_from(packet).ok()),
            frames: frame(End::First).zip(frame(End::Last)),
        })
    }

    /// The item of a row, of one of `kinds`; what was not read is empty in it. `None` when the row is
    /// of a kind that this tapedeck does not know, or damaged.
    pub fn item(
        &self,
        row: usize,
        kinds: &[&'static ProtocolInfo],
        origin: &Arc<Origin>,
    ) -> Option<Item> {
        let at = &*PLACES;
        let size = |column: usize| {
            let size = self.int_at(column, row).unwrap_or_default();
            u64::try_from(size).unwrap_or_default()
        };
        let [name, abbr, version, layer4] = at
            .protocol
            .map(|column| self.text_at(column, row).unwrap_or_default());
        let protocol = kinds.iter().copied().find(|kind| {
            kind.name == name
                && kind.abbr == abbr
                && kind.version == version
                && kind.layer4 == layer4
        })?;
        let stream = self.text_at(at.stream, row).and_then(StreamName::parse);
        let index = self.int_at(at.index, row).unwrap_or_default();
        let elapsed = self.int_at(at.elapsed, row).unwrap_or_default();
        let error = self.text_at(at.error_type, row);
        Some(Item {
            number: 0,
            index: u32::try_from(index).unwrap_or_default(),
            stream: stream.unwrap_or(StreamName {
                stream: crate::packet::StreamId(0),
                transport: crate::packet::Transport::Tcp,
            }),
            protocol,
            tls: self.bool_at(at.tls, row) == Some(true),
            src: self.peer(&at.src, row),
            dst: self.peer(&at.dst, row),
            start: Timestamp::from_nanos(self.start(row)),
            elapsed_nanos: u64::try_from(elapsed).unwrap_or_default(),
            request_size: size(at.request_size),
            response_size: size(at.response_size),
            request: self.part(&at.request, row),
            response: self.part(&at.response, row),
            data: self.part(&at.data, row),
            error: error.map(|kind| ItemError {
                kind: known(ERRORS, kind),
                msg: self
                    .text_at(at.error_msg, row)
                    .unwrap_or_default()
                    .to_owned(),
            }),
            ordinal: self
                .int_at(at.packet, row)
                .and_then(|packet| u64::try_from(packet).ok())
                .unwrap_or_default(),
            origin: origin.clone(),
            record: self.record.clone(),
            tunnel: None,
            asked_here: self.bool_at(at.outgoing, row) == Some(true),
        })
    }

    fn peer(&self, at: &Side, row: usize) -> Peer {
        let text = |column: usize| self.text_at(column, row).unwrap_or_default();
        let port = self.int_at(at.port, row).unwrap_or_default();
        Peer {
            endpoint: Endpoint {
                ip: text(at.ip)
                    .parse()
                    .unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()),
                port: u16::try_from(port).unwrap_or_default(),
            },
            name: Arc::from(text(at.name)),
            namespace: Arc::from(text(at.namespace)),
            mechanism: known(MECHANISMS, text(at.mechanism)),
            identity: self.identity(at.who, row),
            process: None,
        }
    }

    /// Who a side is; `None` when the column was not read, or does not say.
    fn identity(&self, column: usize, row: usize) -> Option<Arc<Identity>> {
        let Values::Text(values) = self.columns.get(column)?.as_ref()? else {
            return None;
        };
        let text = values.get(row)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(text.data()) {
            return found.clone();
        }
        let json = Some(text.data()).filter(|text| text.len() <= MAX_IDENTITY);
        let json = json.and_then(|text| serde_json::from_slice(text).ok());
        let found = json.as_ref().and_then(Identity::from_json).map(Arc::new);
        known.insert(text.data().to_vec(), found.clone());
        found
    }

    /// A part of an item: its JSON when that was read, else what columns hold of it.
    fn part(&self, at: &Part, row: usize) -> Value {
        if let Some(values) = self.columns.get(at.json).and_then(Option::as_ref) {
            let Values::Text(values) = values else {
                return Value::Null;
            };
            let held = &PLACES.held;
            let held = Held {
                method: self.text_at(held.method, row),
                path: self.text_at(held.path, row),
                query: self.text_at(held.query, row),
                status: self.int_at(held.status, row),
                trace: self.text_at(held.trace, row),
                span: self.text_at(held.span, row),
                flags: self.text_at(held.flags, row),
                request_id: self.text_at(held.request_id, row),
            };
            return values.get(row).map_or(Value::Null, |text| {
                json::read(at.name, text.data(), &held, self.members(at.name))
            });
        }
        let mut members = Vec::new();
        for (column, kind, member) in &at.members {
            let value = match kind {
                Kind::Int | Kind::Time => self.int_at(*column, row).map(Value::Int),
                Kind::Text => self.text_at(*column, row).map(Value::text),
                Kind::Bool => None,
            };
            members.extend(value.map(|value| (Key::Static(member), value)));
        }
        match members.is_empty() {
            true => Value::Null,
            false => Value::Object(members),
        }
    }

    /// The members of a part that are wanted; `None` for all.
    fn members(&self, part: &str) -> Option<&[String]> {
        let (_, members) = self.only.iter().find(|(name, _)| *name == part)?;
        Some(members)
    }

    fn int(&self, from: Content, row: usize) -> Option<i64> {
        self.int_at(place(from), row)
    }

    fn text(&self, from: Content, row: usize) -> Option<&str> {
        self.text_at(place(from), row)
    }
}

/// Of parts, the members that these paths lead to; a part that is not named is wanted as a whole.
fn members<'p>(paths: impl IntoIterator<Item = &'p str>) -> Vec<(&'static str, Vec<String>)> {
    let mut only = Some(vec![
        ("request", Vec::new()),
        ("response", Vec::new()),
        ("data", Vec::new()),
    ]);
    for path in paths {
        let mut names = path.split(['.', '[']);
        let (root, member) = (names.next().unwrap_or_default(), names.next());
        let part = only.iter_mut().flatten().find(|(part, _)| *part == root);
        match (part, member) {
            // The whole part, or whether there is one.
            (Some(_), None | Some("present")) => only = None,
            (Some((_, members)), Some(member)) => members.push(member.to_owned()),
            (None, _) => {}
        }
    }
    let mut only = only.unwrap_or_default();
    // What may follow from other members needs the whole part.
    only.retain(|(part, members)| !members.iter().any(|member| fold::may_follow(part, member)));
    only
}

/// Columns of one side.
struct Side {
    ip: usize,
    port: usize,
    name: usize,
    namespace: usize,
    mechanism: usize,
    who: usize,
}

/// Columns of a part of the item: its JSON, and those that hold a member each.
struct Part {
    name: &'static str,
    json: usize,
    members: Vec<(usize, Kind, &'static str)>,
}

/// Columns that JSON is unfolded by.
struct Folded {
    method: usize,
    path: usize,
    query: usize,
    status: usize,
    trace: usize,
    span: usize,
    flags: usize,
    request_id: usize,
}

/// Where the columns that items are made of stand in the list.
struct Places {
    protocol: [usize; 4],
    stream: usize,
    index: usize,
    time: usize,
    nanos: usize,
    elapsed: usize,
    tls: usize,
    error_type: usize,
    error_msg: usize,
    packet: usize,
    outgoing: usize,
    request_size: usize,
    response_size: usize,
    src: Side,
    dst: Side,
    request: Part,
    response: Part,
    data: Part,
    held: Folded,
}

static PLACES: LazyLock<Places> = LazyLock::new(|| {
    let path = |path| place(Content::Path(path));
    Places {
        protocol: [
            "protocol.name",
            "protocol.abbr",
            "protocol.version",
            "protocol.layer4",
        ]
        .map(path),
        stream: place(Content::Stream),
        index: path("index"),
        time: place(Content::Time),
        nanos: place(Content::Nanos),
        elapsed: place(Content::Elapsed),
        tls: path("tls"),
        error_type: path("error.type"),
        error_msg: path("error.msg"),
        packet: place(Content::Packet),
        outgoing: path("outgoing"),
        request_size: path("requestSize"),
        response_size: path("responseSize"),
        src: Side {
            ip: path("src.ip"),
            port: path("src.port"),
            name: path("src.name"),
            namespace: path("src.namespace"),
            mechanism: path("src.resolutionMechanism"),
            who: place(Content::Who("src")),
        },
        dst: Side {
            ip: path("dst.ip"),
            port: path("dst.port"),
            name: path("dst.name"),
            namespace: path("dst.namespace"),
            mechanism: path("dst.resolutionMechanism"),
            who: place(Content::Who("dst")),
        },
        request: part("request"),
        response: part("response"),
        data: part("data"),
        held: Folded {
            method: path("request.method"),
            path: path("request.path"),
            query: place(Content::Query),
            status: path("response.status"),
            trace: place(Content::Trace),
            span: place(Content::Span),
            flags: place(Content::Flags),
            request_id: place(Content::RequestId),
        },
    }
});

fn part(name: &'static str) -> Part {
    let member = |(index, column): (usize, &super::Column)| {
        let Content::Path(path) = column.from else {
            return None;
        };
        let member = path.strip_prefix(name)?.strip_prefix('.')?;
        Some((index, column.kind, member))
    };
    Part {
        name,
        json: place(Content::Json(name)),
        members: COLUMNS.iter().enumerate().filter_map(member).collect(),
    }
}

/// What can go wrong with an item, and how names are found; the first is taken for what is unknown.
const ERRORS: &[&str] = &["dissection", "connection", "timeout", "pair-not-found"];
const MECHANISMS: &[&str] = &[
    "none",
    "ip",
    "ip-and-port",
    "ip-borrowed",
    "ip-and-port-borrowed",
    "capture",
    "dns",
    "tls-sni",
    "http-header",
];

fn known(list: &[&'static str], text: &str) -> &'static str {
    let found = list.iter().find(|known| **known == text);
    found.or(list.first()).copied().unwrap_or_default()
}
