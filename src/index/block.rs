//! Columns of one row group, and the items that they give.
//!
//! In: columns as the decoder gives them. Out: values by row, [`Item`]s. Never: a trust in them;
//! what makes no sense is empty.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;

use super::IndexError;
use super::column::{COLUMNS, Content, End, Kind, place};
use super::fold::Held;
use super::json;
use super::writer::Place;
use crate::item::{
    Identity, Item, ItemError, Key, MAX_IDENTITY, Origin, Peer, ProtocolInfo, Value,
};
use crate::packet::{Endpoint, StreamName};
use crate::time::Timestamp;

/// Columns of one row group.
pub struct Block {
    pub(super) rows: usize,
    pub(super) columns: Vec<Option<Values>>,
    pub(super) record: Arc<str>,
    /// Identities by their text: few have many items.
    pub(super) known: Mutex<HashMap<Vec<u8>, Option<Arc<Identity>>>>,
}

/// The values of one column.
pub(super) enum Values {
    Bool(Vec<Option<bool>>),
    Int(Vec<Option<i64>>),
    Text(Vec<Option<ByteArray>>),
}

impl Values {
    pub(super) fn read(column: ColumnReader, rows: usize) -> Result<Values, IndexError> {
        let mut levels = Vec::new();
        Ok(match column {
            ColumnReader::BoolColumnReader(mut column) => {
                let mut values = Vec::new();
                column.read_records(rows, Some(&mut levels), None, &mut values)?;
                Values::Bool(spread(&levels, values, rows))
            }
            ColumnReader::Int64ColumnReader(mut column) => {
                let mut values = Vec::new();
                column.read_records(rows, Some(&mut levels), None, &mut values)?;
                Values::Int(spread(&levels, values, rows))
            }
            ColumnReader::ByteArrayColumnReader(mut column) => {
                let mut values = Vec::new();
                column.read_records(rows, Some(&mut levels), None, &mut values)?;
                Values::Text(spread(&levels, values, rows))
            }
            _ => return Err(IndexError::Damaged("a column has another type".to_owned())),
        })
    }
}

/// Values with their nulls, as many as there are rows.
fn spread<T: Clone>(levels: &[i16], values: Vec<T>, rows: usize) -> Vec<Option<T>> {
    let mut values = values.into_iter();
    let mut spread: Vec<Option<T>> = levels
        .iter()
        .map(|level| if *level > 0 { values.next() } else { None })
        .collect();
    spread.resize(rows, None);
    spread
}

impl Block {
    /// Rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The text of a row in a column of [`COLUMNS`]; `None` when it is null, was not read, or is none.
    pub fn text_at(&self, column: usize, row: usize) -> Option<&str> {
        match self.columns.get(column)?.as_ref()? {
            Values::Text(values) => std::str::from_utf8(values.get(row)?.as_ref()?.data()).ok(),
            _ => None,
        }
    }

    /// The number of a row in a column of [`COLUMNS`], as [`Block::text_at`]; times are in
    /// microseconds since 1970.
    pub fn int_at(&self, column: usize, row: usize) -> Option<i64> {
        match self.columns.get(column)?.as_ref()? {
            Values::Int(values) => *values.get(row)?,
            _ => None,
        }
    }

    /// Yes or no of a row in a column of [`COLUMNS`], as [`Block::text_at`].
    pub fn bool_at(&self, column: usize, row: usize) -> Option<bool> {
        match self.columns.get(column)?.as_ref()? {
            Values::Bool(values) => *values.get(row)?,
            _ => None,
        }
    }

    /// Nanoseconds of a row's request.
    pub fn start(&self, row: usize) -> i64 {
        let micros = self.int(Content::Time, row).unwrap_or_default();
        let nanos = self.int(Content::Nanos, row).unwrap_or_default();
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
        let path = |path: &'static str| self.text(Content::Path(path), row).unwrap_or_default();
        let size = |path: &'static str| {
            let size = self.int(Content::Path(path), row).unwrap_or_default();
            u64::try_from(size).unwrap_or_default()
        };
        let protocol = kinds.iter().copied().find(|kind| {
            kind.name == path("protocol.name")
                && kind.abbr == path("protocol.abbr")
                && kind.version == path("protocol.version")
                && kind.layer4 == path("protocol.layer4")
        })?;
        let stream = self.text(Content::Stream, row).and_then(StreamName::parse);
        let index = self.int(Content::Path("index"), row).unwrap_or_default();
        let elapsed = self.int(Content::Elapsed, row).unwrap_or_default();
        let error = self.text(Content::Path("error.type"), row);
        Some(Item {
            number: 0,
            index: u32::try_from(index).unwrap_or_default(),
            stream: stream.unwrap_or(StreamName {
                stream: crate::packet::StreamId(0),
                transport: crate::packet::Transport::Tcp,
            }),
            protocol,
            tls: self.bool_at(place(Content::Path("tls")), row) == Some(true),
            src: self.peer(SRC, row),
            dst: self.peer(DST, row),
            start: Timestamp::from_nanos(self.start(row)),
            elapsed_nanos: u64::try_from(elapsed).unwrap_or_default(),
            request_size: size("requestSize"),
            response_size: size("responseSize"),
            request: self.part("request", row),
            response: self.part("response", row),
            data: self.part("data", row),
            error: error.map(|kind| ItemError {
                kind: known(ERRORS, kind),
                msg: path("error.msg").to_owned(),
            }),
            ordinal: self
                .int(Content::Packet, row)
                .and_then(|packet| u64::try_from(packet).ok())
                .unwrap_or_default(),
            origin: origin.clone(),
            record: self.record.clone(),
            tunnel: None,
        })
    }

    fn peer(&self, of: [&'static str; 5], row: usize) -> Peer {
        let [ip, port, name, namespace, mechanism] = of;
        let text = |path: &'static str| self.text(Content::Path(path), row).unwrap_or_default();
        let port = self.int(Content::Path(port), row).unwrap_or_default();
        Peer {
            endpoint: Endpoint {
                ip: text(ip)
                    .parse()
                    .unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()),
                port: u16::try_from(port).unwrap_or_default(),
            },
            name: Arc::from(text(name)),
            namespace: Arc::from(text(namespace)),
            mechanism: known(MECHANISMS, text(mechanism)),
            identity: self.identity(ip.split('.').next().unwrap_or_default(), row),
            process: None,
        }
    }

    /// Who a side is; `None` when the column was not read, or does not say.
    fn identity(&self, side: &str, row: usize) -> Option<Arc<Identity>> {
        let side = ["src", "dst"].into_iter().find(|one| *one == side)?;
        let Values::Text(values) = self.values(Content::Who(side))? else {
            return None;
        };
        let text = values.get(row)?.as_ref()?;
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
    fn part(&self, name: &'static str, row: usize) -> Value {
        if self.values(Content::Json(name)).is_some() {
            let text = self.bytes(Content::Json(name), row);
            let held = Held {
                method: self.text(Content::Path("request.method"), row),
                path: self.text(Content::Path("request.path"), row),
                query: self.text(Content::Query, row),
                status: self.int(Content::Path("response.status"), row),
                trace: self.text(Content::Trace, row),
                span: self.text(Content::Span, row),
                flags: self.text(Content::Flags, row),
                request_id: self.text(Content::RequestId, row),
            };
            return text.map_or(Value::Null, |text| json::read(name, text, &held));
        }
        let mut members = Vec::new();
        for column in COLUMNS {
            let Content::Path(path) = column.from else {
                continue;
            };
            let Some(member) = path
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('.'))
            else {
                continue;
            };
            let value = match column.kind {
                Kind::Int | Kind::Time => self.int(column.from, row).map(Value::Int),
                Kind::Text => self.text(column.from, row).map(Value::text),
                Kind::Bool => None,
            };
            members.extend(value.map(|value| (Key::Static(member), value)));
        }
        match members.is_empty() {
            true => Value::Null,
            false => Value::Object(members),
        }
    }

    fn values(&self, from: Content) -> Option<&Values> {
        self.columns.get(place(from))?.as_ref()
    }

    fn int(&self, from: Content, row: usize) -> Option<i64> {
        self.int_at(place(from), row)
    }

    fn bytes(&self, from: Content, row: usize) -> Option<&[u8]> {
        match self.values(from)? {
            Values::Text(values) => values.get(row)?.as_ref().map(ByteArray::data),
            _ => None,
        }
    }

    fn text(&self, from: Content, row: usize) -> Option<&str> {
        self.text_at(place(from), row)
    }
}

const SRC: [&str; 5] = [
    "src.ip",
    "src.port",
    "src.name",
    "src.namespace",
    "src.resolutionMechanism",
];
const DST: [&str; 5] = [
    "dst.ip",
    "dst.port",
    "dst.name",
    "dst.namespace",
    "dst.resolutionMechanism",
];

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
