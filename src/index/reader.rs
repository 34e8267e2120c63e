//! Reads an index.
//!
//! In: a source of byte ranges, perhaps far away. Out: which row groups may match a condition, and
//! blocks of columns that give [`Item`]s. Never: more than the ranges that are asked for, each read
//! once; a trust in the file, whose damage is an error.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use parquet::bloom_filter::Sbbf;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::page_index::RowGroupPageIndex;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{ChunkReader, Length, RowGroupReader};
use parquet::file::serialized_reader::SerializedRowGroupReader;
use parquet::file::statistics::Statistics;

use super::column::{COLUMNS, Content, End, Kind, column_of, place};
use super::fold::Held;
use super::json::{self, Cuts};
use super::writer::{CUTS_KEY, FORMAT_KEY, MIXED_KEY, Place, RECORD_KEY};
use super::{FORMAT, IndexError};
use crate::item::{
    Identity, Item, ItemError, Key, MAX_IDENTITY, Origin, Peer, ProtocolInfo, Value,
};
use crate::kfl::prefilter::{ColumnTest, Condition, Scalar, Stats, Test, may_hold};
use crate::packet::{Endpoint, StreamName};
use crate::time::Timestamp;

/// Largest file that is read; an index of a full reel has some megabytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Bytes at the end of a file that are asked for first; a file of twice this size is read whole.
pub const TAIL_BYTES: u64 = 64 * 1024;

/// Items of one row group that are believed.
const MAX_GROUP_ROWS: i64 = 1 << 20;

/// Bytes of one column of one row group, decompressed, that are believed.
const MAX_CHUNK_BYTES: i64 = 256 << 20;

/// Ranges that lie closer together are read as one: a request costs more than these bytes.
const MAX_HOLE: u64 = 128 * 1024;

/// Bytes by their range.
pub trait RangeSource: Send + Sync {
    /// Bytes in all.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a range.
    ///
    /// # Errors
    /// When they cannot be had, fewer than asked for among it.
    fn read(&self, range: Range<u64>) -> std::io::Result<Bytes>;
}

/// An index whose footer is read.
pub struct Reader {
    chunks: Arc<Chunks>,
    meta: ParquetMetaData,
    /// Place in the file of each of [`COLUMNS`]; `None` where the file has no such column.
    at: Vec<Option<usize>>,
    mixed: BTreeSet<String>,
    cuts: Cuts,
    record: Arc<str>,
}

/// What it takes to answer a question about items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// These of [`COLUMNS`].
    Columns(Vec<usize>),
    /// The packets: the index lacks what is asked for.
    Packets,
}

impl Reader {
    /// Opens an index by its end.
    ///
    /// # Errors
    /// When the bytes cannot be had, are no index, or are one of a later format.
    pub fn open(source: Arc<dyn RangeSource>) -> Result<Reader, IndexError> {
        let length = source.len();
        if length > MAX_FILE_BYTES {
            return Err(IndexError::Damaged(format!(
                "it has {length} bytes, more than {MAX_FILE_BYTES}"
            )));
        }
        let chunks = Arc::new(Chunks {
            source,
            have: Mutex::default(),
        });
        let tail = match length {
            whole if whole <= 2 * TAIL_BYTES => 0,
            long => long - TAIL_BYTES,
        };
        let tail = tail..length;
        chunks.fetch(std::slice::from_ref(&tail))?;
        let meta = guarded(|| Ok(ParquetMetaDataReader::new().parse_and_finish(&*chunks)?))?;
        let told: HashMap<&str, &str> = meta
            .file_metadata()
            .key_value_metadata()
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair.key.as_str(), pair.value.as_deref()?)))
            .collect();
        let format = told.get(FORMAT_KEY).and_then(|text| text.parse().ok());
        match format {
            None => return Err(IndexError::Damaged("it is not of tapedeck".to_owned())),
            Some(format) if format > FORMAT => return Err(IndexError::Later(format)),
            Some(_) => {}
        }
        let lines = |key: &str| {
            let text = told.get(key).copied().unwrap_or_default();
            let lines = text.split('\n').filter(|line| !line.is_empty());
            lines.map(str::to_owned).collect::<BTreeSet<String>>()
        };
        let (mixed, cuts) = (lines(MIXED_KEY), Cuts(lines(CUTS_KEY)));
        let record = Arc::from(told.get(RECORD_KEY).copied().unwrap_or_default());
        let schema = meta.file_metadata().schema_descr();
        let at = COLUMNS
            .iter()
            .map(|column| {
                let found = schema
                    .columns()
                    .iter()
                    .position(|found| found.name() == column.name);
                found.filter(|at| schema.column(*at).physical_type() == physical(column.kind))
            })
            .collect();
        let reader = Reader {
            chunks,
            at,
            mixed,
            cuts,
            record,
            meta,
        };
        reader.check()?;
        Ok(reader)
    }

    fn check(&self) -> Result<(), IndexError> {
        for group in self.meta.row_groups() {
            let is_large = |bytes: i64| !(0..=MAX_CHUNK_BYTES).contains(&bytes);
            if !(0..=MAX_GROUP_ROWS).contains(&group.num_rows())
                || group
                    .columns()
                    .iter()
                    .any(|chunk| is_large(chunk.uncompressed_size()))
            {
                return Err(IndexError::Damaged(
                    "a row group is larger than any that is written".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Row groups.
    pub fn groups(&self) -> usize {
        self.meta.num_row_groups()
    }

    /// Items of a row group.
    pub fn rows(&self, group: usize) -> usize {
        let rows = self.meta.row_groups().get(group);
        rows.map_or(0, |group| usize::try_from(group.num_rows()).unwrap_or(0))
    }

    /// Items in all.
    pub fn len(&self) -> u64 {
        (0..self.groups())
            .map(|group| self.rows(group) as u64)
            .sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nanoseconds of the first and the last request in a row group.
    pub fn span(&self, group: usize) -> Option<(i64, i64)> {
        match self.statistics(group, place(Content::Time))? {
            Statistics::Int64(found) => Some((
                found.min_opt()?.saturating_mul(1000),
                found.max_opt()?.saturating_mul(1000).saturating_add(999),
            )),
            _ => None,
        }
    }

    /// What answering a question about these paths takes ([`crate::kfl::Query::paths`]).
    pub fn need<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> Need {
        let mut wanted: BTreeSet<usize> = [Content::Time, Content::Nanos, Content::Elapsed]
            .map(place)
            .into();
        for (index, column) in COLUMNS.iter().enumerate() {
            if column
                .path()
                .is_some_and(|path| path.starts_with("protocol."))
            {
                wanted.insert(index);
            }
        }
        for path in paths {
            let root = path.split('.').next().unwrap_or(path);
            if root == "protocol" {
                continue;
            }
            if root == "tunnel" {
                match self.cuts.touch(path) {
                    true => return Need::Packets,
                    false => continue,
                }
            }
            match column_of(path) {
                Some(index) if self.has(index) && (path != root || root_of(root).is_empty()) => {
                    wanted.insert(index);
                    continue;
                }
                _ => {}
            }
            if let Some(part) = COLUMNS
                .iter()
                .position(|column| column.from == Content::Json(root_of(root)))
            {
                if self.cuts.touch(path) || !self.has(part) {
                    return Need::Packets;
                }
                wanted.insert(part);
                wanted.extend(held());
            } else {
                wanted.extend(envelope(root));
            }
        }
        Need::Columns(wanted.into_iter().collect())
    }

    /// Whether a column is there, and holds all that items have at its path.
    fn has(&self, index: usize) -> bool {
        let column = COLUMNS.get(index);
        self.at.get(index).copied().flatten().is_some()
            && column.is_some_and(|column| !self.mixed.contains(column.name))
    }

    /// Whether an item of a row group may meet `condition`, by statistics and Bloom filters.
    ///
    /// # Errors
    /// When a filter cannot be read.
    pub fn may_hold(
        &self,
        group: usize,
        condition: &Condition<ColumnTest>,
    ) -> Result<bool, IndexError> {
        let stats: BTreeMap<&str, Stats> = (0..COLUMNS.len())
            .filter_map(|index| Some((COLUMNS.get(index)?.path()?, self.stats(group, index)?)))
            .collect();
        if !may_hold(condition, &|path| stats.get(path)) {
            return Ok(false);
        }
        guarded(|| self.filter_may_hold(group, condition))
    }

    /// What KFL is told of a column's values in a row group.
    fn stats(&self, group: usize, index: usize) -> Option<Stats> {
        if !self.has(index) {
            return None;
        }
        let found = self.statistics(group, index)?;
        let nulls = found.null_count_opt().is_none_or(|count| count > 0);
        if found.null_count_opt() == Some(self.rows(group) as u64) {
            return Some(Stats {
                bounds: None,
                nulls,
            });
        }
        let scale = match COLUMNS.get(index)?.from {
            // Fields are in milliseconds.
            Content::Time => 1000,
            Content::Elapsed => 1_000_000,
            _ => 1,
        };
        let text = |bytes: &ByteArray| Some(Scalar::Text(bytes.as_utf8().ok()?.into()));
        let int = |value: &i64| Scalar::Int(value.div_euclid(scale));
        let bounds = match found {
            Statistics::Boolean(found) => (
                Scalar::Bool(*found.min_opt()?),
                Scalar::Bool(*found.max_opt()?),
            ),
            Statistics::Int64(found) => (int(found.min_opt()?), int(found.max_opt()?)),
            Statistics::ByteArray(found) => (text(found.min_opt()?)?, text(found.max_opt()?)?),
            _ => return None,
        };
        Some(Stats {
            bounds: Some(bounds),
            nulls,
        })
    }

    fn statistics(&self, group: usize, index: usize) -> Option<&Statistics> {
        let at = (*self.at.get(index)?)?;
        let group = self.meta.row_groups().get(group)?;
        group.columns().get(at)?.statistics()
    }

    /// Whether the Bloom filters let an equality of text pass.
    fn filter_may_hold(
        &self,
        group: usize,
        condition: &Condition<ColumnTest>,
    ) -> Result<bool, IndexError> {
        match condition {
            Condition::All(parts) => {
                for part in parts {
                    if !self.filter_may_hold(group, part)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Any(parts) => {
                for part in parts {
                    if self.filter_may_hold(group, part)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::Is(test) => self.one_may_hold(group, test),
        }
    }

    fn one_may_hold(&self, group: usize, test: &ColumnTest) -> Result<bool, IndexError> {
        let wanted: Vec<&str> = match &test.test {
            Test::Eq(Scalar::Text(text)) | Test::Shown(text) => vec![text],
            Test::In(values) => {
                let texts = values.iter().map(|value| match value {
                    Scalar::Text(text) => Some(&**text),
                    _ => None,
                });
                match texts.collect() {
                    Some(texts) => texts,
                    None => return Ok(true),
                }
            }
            _ => return Ok(true),
        };
        let by_null = test.nulls.iter().any(|null| match null {
            Scalar::Text(null) => wanted.contains(&&**null),
            _ => false,
        });
        let column = column_of(&test.column).filter(|index| {
            COLUMNS.get(*index).is_some_and(|column| column.has_bloom) && self.has(*index)
        });
        let (Some(index), false) = (column, by_null) else {
            return Ok(true);
        };
        let at = self.at.get(index).copied().flatten().unwrap_or_default();
        let chunk = self
            .meta
            .row_groups()
            .get(group)
            .and_then(|group| group.columns().get(at));
        let Some(chunk) = chunk else { return Ok(true) };
        let filter = Sbbf::read_from_column_chunk(chunk, &*self.chunks)?;
        Ok(filter.is_none_or(|filter| wanted.iter().any(|text| filter.check(*text))))
    }

    /// Reads columns of a row group, in one request where they lie close together.
    ///
    /// # Errors
    /// When they cannot be had, or are damaged.
    pub fn read(&self, group: usize, wanted: &[usize]) -> Result<Block, IndexError> {
        let Some(meta) = self.meta.row_groups().get(group) else {
            return Err(IndexError::Damaged("there is no such row group".to_owned()));
        };
        let places: Vec<(usize, usize)> = wanted
            .iter()
            .filter_map(|index| Some((*index, (*self.at.get(*index)?)?)))
            .collect();
        let ranges = places.iter().filter_map(|(_, at)| {
            let (start, length) = guarded(|| Ok(meta.columns().get(*at).map(|c| c.byte_range())))
                .ok()
                .flatten()?;
            Some(start..start.saturating_add(length))
        });
        self.chunks.fetch(&ranges.collect::<Vec<_>>())?;
        let rows = self.rows(group);
        let columns = guarded(|| {
            // Filters are read where a condition asks for them.
            let properties = ReaderProperties::builder().set_read_bloom_filter(false);
            let properties = Arc::new(properties.build());
            let no_index = RowGroupPageIndex::new(group, None);
            let reader =
                SerializedRowGroupReader::new(self.chunks.clone(), meta, no_index, properties)?;
            let mut columns: Vec<Option<Values>> = COLUMNS.iter().map(|_| None).collect();
            for (index, at) in &places {
                let values = Values::read(reader.get_column_reader(*at)?, rows)?;
                if let Some(column) = columns.get_mut(*index) {
                    *column = Some(values);
                }
            }
            Ok(columns)
        })?;
        Ok(Block {
            rows,
            columns,
            record: self.record.clone(),
            known: Mutex::default(),
        })
    }
}

/// The parts of an item that are kept as JSON.
fn root_of(root: &str) -> &'static str {
    ["request", "response", "data"]
        .into_iter()
        .find(|part| *part == root)
        .unwrap_or_default()
}

/// The columns from which an item is made, but for its JSON: those of one side when the path is of
/// one.
fn envelope(root: &str) -> impl Iterator<Item = usize> {
    let side = Some(root).filter(|root| ["src", "dst"].contains(root));
    COLUMNS
        .iter()
        .enumerate()
        .filter(move |(_, column)| match (side, column.path()) {
            (Some(side), path) => {
                path.is_some_and(|path| path.starts_with(side))
                    || matches!(column.from, Content::Who(of) if of == side)
            }
            (None, _) => !matches!(
                column.from,
                Content::Json(_) | Content::Who(_) | Content::Time | Content::Trace
            ),
        })
        .map(|(index, _)| index)
}

/// The columns whose values the JSON does not repeat.
fn held() -> impl Iterator<Item = usize> {
    [
        Content::Path("request.method"),
        Content::Path("request.path"),
        Content::Query,
        Content::Path("response.status"),
    ]
    .into_iter()
    .map(place)
}

/// Every column that an item is made of.
pub fn whole() -> Vec<usize> {
    (0..COLUMNS.len())
        .filter(|index| {
            let column = COLUMNS.get(*index);
            column.is_some_and(|column| column.from != Content::Trace)
        })
        .collect()
}

fn physical(kind: Kind) -> parquet::basic::Type {
    match kind {
        Kind::Bool => parquet::basic::Type::BOOLEAN,
        Kind::Int | Kind::Time => parquet::basic::Type::INT64,
        Kind::Text => parquet::basic::Type::BYTE_ARRAY,
    }
}

/// The decoder is written for files of friends: what it does not survive is damage of the file.
fn guarded<T>(read: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(IndexError::Damaged("it cannot be decoded".to_owned())))
}

/// Columns of one row group.
pub struct Block {
    rows: usize,
    columns: Vec<Option<Values>>,
    record: Arc<str>,
    /// Identities by their text: few have many items.
    known: Mutex<HashMap<Vec<u8>, Option<Arc<Identity>>>>,
}

enum Values {
    Bool(Vec<Option<bool>>),
    Int(Vec<Option<i64>>),
    Text(Vec<Option<ByteArray>>),
}

impl Values {
    fn read(column: ColumnReader, rows: usize) -> Result<Values, IndexError> {
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

    /// Nanoseconds of a row's request.
    pub fn start(&self, row: usize) -> i64 {
        let micros = self.int(Content::Time, row).unwrap_or_default();
        let nanos = self.int(Content::Nanos, row).unwrap_or_default();
        micros.saturating_mul(1000).saturating_add(nanos)
    }

    /// Whether the JSON of a row lacks something.
    pub fn is_cut(&self, row: usize) -> bool {
        match self.values(Content::Cut) {
            Some(Values::Bool(values)) => values.get(row).copied().flatten().unwrap_or(false),
            _ => false,
        }
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
            tls: matches!(
                self.values(Content::Path("tls")),
                Some(Values::Bool(values)) if values.get(row).copied().flatten() == Some(true)
            ),
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
        match self.values(from)? {
            Values::Int(values) => *values.get(row)?,
            _ => None,
        }
    }

    fn bytes(&self, from: Content, row: usize) -> Option<&[u8]> {
        match self.values(from)? {
            Values::Text(values) => values.get(row)?.as_ref().map(ByteArray::data),
            _ => None,
        }
    }

    fn text(&self, from: Content, row: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(from, row)?).ok()
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

/// The ranges of a file that were read so far.
struct Chunks {
    source: Arc<dyn RangeSource>,
    /// By their start; ranges neither touch nor overlap more than reading them again costs.
    have: Mutex<BTreeMap<u64, Bytes>>,
}

impl Chunks {
    /// Reads what is missing of `ranges`, neighbours together.
    fn fetch(&self, ranges: &[Range<u64>]) -> std::io::Result<()> {
        let mut missing: Vec<Range<u64>> = ranges
            .iter()
            .filter(|range| range.start < range.end && self.cached(range).is_none())
            .cloned()
            .collect();
        missing.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in missing {
            match merged.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(MAX_HOLE) => {
                    last.end = last.end.max(range.end);
                }
                _ => merged.push(range),
            }
        }
        for range in merged {
            if range.end > self.source.len() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let bytes = self.source.read(range.clone())?;
            let mut have = self.have.lock().unwrap_or_else(PoisonError::into_inner);
            have.insert(range.start, bytes);
        }
        Ok(())
    }

    fn cached(&self, range: &Range<u64>) -> Option<Bytes> {
        let have = self.have.lock().unwrap_or_else(PoisonError::into_inner);
        let around = have.range(..=range.start).rev();
        for (start, bytes) in around {
            let from = usize::try_from(range.start - start).ok()?;
            let to = usize::try_from(range.end - start).ok()?;
            if to <= bytes.len() {
                return Some(bytes.slice(from..to));
            }
        }
        None
    }

    /// From `start` to the end of what is there.
    fn rest(&self, start: u64) -> Option<Bytes> {
        let have = self.have.lock().unwrap_or_else(PoisonError::into_inner);
        let around = have.range(..=start).rev();
        for (at, bytes) in around {
            let from = usize::try_from(start - at).ok()?;
            if from < bytes.len() {
                return Some(bytes.slice(from..));
            }
        }
        None
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.source.len()
    }
}

impl ChunkReader for Chunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        // Column chunks are fetched whole before they are decoded.
        let rest = self
            .rest(start)
            .ok_or_else(|| ParquetError::EOF(format!("nothing was read from offset {start} on")))?;
        Ok(rest.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let range = start..start.saturating_add(length as u64);
        let failed = |error: std::io::Error| ParquetError::External(Box::new(error));
        self.fetch(std::slice::from_ref(&range)).map_err(failed)?;
        self.cached(&range)
            .ok_or_else(|| ParquetError::EOF(format!("nothing was read at offset {start}")))
    }
}

impl RangeSource for Bytes {
    fn len(&self) -> u64 {
        Bytes::len(self) as u64
    }

    fn read(&self, range: Range<u64>) -> std::io::Result<Bytes> {
        let bounds = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok());
        bounds
            .filter(|(start, end)| start <= end && *end <= Bytes::len(self))
            .map(|(start, end)| self.slice(start..end))
            .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}
