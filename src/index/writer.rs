//! Writes an index.
//!
//! In: items in the order of the reel, each with its place. Out: row groups, written as they fill.
//! Never: more than one row group in memory.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{BloomFilterPosition, EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::column::{COLUMNS, Column, Content, End, Kind, schema};
use super::fold::Held;
use super::ids::Ids;
use super::json::{self, Cuts};
use super::{FORMAT, IndexError};
use crate::item::{Item, Kind as NodeKind, Node, Origin, Path, Value, lookup};
use crate::packet::StreamName;

/// Items of one row group: what is read at least to see one item.
const GROUP_ROWS: usize = 8192;

/// Bytes of JSON after which a row group ends early.
const GROUP_BYTES: usize = 16 << 20;

/// Share of absent values for which a Bloom filter gives a false hit.
const BLOOM_FALSE_HITS: f64 = 0.02;

/// The same where each row has a value of its own: the filter is half as large then.
const ID_FALSE_HITS: f64 = 0.05;

/// Stronger than the packets' level: an index is small, written once and read often.
const LEVEL: i32 = 12;

/// The level of ids.
const ID_LEVEL: i32 = 1;

/// Names of what the footer tells readers of ours.
pub(super) const FORMAT_KEY: &str = "tapedeck.format";
pub(super) const MIXED_KEY: &str = "tapedeck.mixed";
pub(super) const CUTS_KEY: &str = "tapedeck.cut";
pub(super) const RECORD_KEY: &str = "tapedeck.recording";
pub(super) const ORIGINS_KEY: &str = "tapedeck.origins";

/// Where an item is in its reel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its stream, in the run that recorded it.
    pub stream: StreamName,
    /// Ordinal in the reel of the packet that completed it; `None` when that lies in a reel before.
    pub packet: Option<u64>,
    /// First and last frame of the packets part that holds packets of its stream.
    pub frames: Option<(u32, u32)>,
}

/// What was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Items.
    pub items: u64,
    /// Least and greatest time of a request, nanoseconds since 1970.
    pub span: Option<(i64, i64)>,
}

impl Summary {
    /// The seconds within which all requests lie, as a key tells them.
    pub fn seconds(&self) -> Option<(i64, i64)> {
        let second = |nanos: i64| nanos.div_euclid(1_000_000_000);
        self.span.map(|(first, last)| (second(first), second(last)))
    }
}

/// The first row of items of one origin and recording, and both.
type Source = (u64, Arc<Origin>, Arc<str>);

/// Writes one index.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    buffers: Vec<Buffer>,
    paths: Vec<Option<Path>>,
    rows: usize,
    json_bytes: usize,
    mixed: BTreeSet<&'static str>,
    cuts: Cuts,
    summary: Summary,
    /// Origin and recording of items from a row on, where an index has items of several.
    origins: Option<Vec<Source>>,
}

/// The values of one column until their row group is written.
#[derive(Debug)]
struct Buffer {
    /// 1 where there is a value.
    levels: Vec<i16>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Text(Vec<ByteArray>),
}

impl<W: Write + Send> Writer<W> {
    /// An index of a reel of the recording called `record`, written to `out`.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(out: W, record: &str) -> Result<Writer<W>, IndexError> {
        let schema = Arc::new(parse_message_type(&schema())?);
        let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties()?))?;
        for (key, value) in [
            (FORMAT_KEY, FORMAT.to_string()),
            (RECORD_KEY, record.to_owned()),
        ] {
            file.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        Ok(Writer {
            file,
            buffers: COLUMNS.iter().map(Buffer::new).collect(),
            paths: COLUMNS
                .iter()
                .map(|column| match column.from {
                    Content::Path(path) => Some(Path::new(path)),
                    _ => None,
                })
                .collect(),
            rows: 0,
            json_bytes: 0,
            mixed: BTreeSet::new(),
            cuts: Cuts::default(),
            summary: Summary::default(),
            origins: None,
        })
    }

    /// The same with the origin of each item; else all are of the node that the key names.
    pub fn with_origins(self) -> Writer<W> {
        Writer {
            origins: Some(Vec::new()),
            ..self
        }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// What the output says.
    pub fn push(&mut self, item: &Item, place: &Place) -> Result<(), IndexError> {
        let mut is_cut = false;
        let text = |path: &str| lookup(item.node(), path).and_then(Node::text);
        let (method, path, url) = (
            text("request.method"),
            text("request.path"),
            text("request.url"),
        );
        let query = url.as_deref().and_then(|url| url.split_once('?'));
        let query = query.map(|(_, query)| query);
        let ids = Ids::of(item.node());
        self.mixed.extend(&ids.unsure);
        let held = Held {
            method: method.as_deref(),
            path: path.as_deref(),
            query,
            status: lookup(item.node(), "response.status").and_then(Node::int),
            trace: ids.trace.as_deref(),
            span: ids.span.as_deref(),
            flags: ids.flags.as_deref(),
            request_id: ids.request.as_deref(),
        };
        let mut parts = [
            ("request", &item.request),
            ("response", &item.response),
            ("data", &item.data),
        ]
        .map(|(name, value)| {
            let part = part_of(name, value, &held, &mut self.cuts);
            is_cut |= part.as_ref().is_some_and(|(_, was_cut)| *was_cut);
            (name, part.map(|(text, _)| text))
        });
        if item.tunnel.is_some() {
            // Few items have one, and their packets tell it.
            self.cuts.note("tunnel");
            is_cut = true;
        }
        for ((column, buffer), path) in COLUMNS.iter().zip(&mut self.buffers).zip(&self.paths) {
            match column.from {
                Content::Path(_) => {
                    let node = path.as_ref().and_then(|path| item.node().at(path));
                    if !buffer.push_node(node, column.name) {
                        self.mixed.insert(column.name);
                    }
                }
                Content::Nanos => buffer.int(Some(item.start.nanos().rem_euclid(1000))),
                Content::Query => buffer.text(query.map(str::to_owned)),
                Content::Time => buffer.int(Some(item.start.nanos().div_euclid(1000))),
                Content::Elapsed => buffer.int(i64::try_from(item.elapsed_nanos).ok()),
                Content::Stream => buffer.text(Some(place.stream.to_string())),
                Content::Trace => buffer.text(ids.trace.clone()),
                Content::Span => buffer.text(ids.span.clone()),
                Content::Flags => buffer.text(ids.flags.clone()),
                Content::RequestId => buffer.text(ids.request.clone()),
                Content::Packet => {
                    buffer.int(place.packet.and_then(|packet| i64::try_from(packet).ok()));
                }
                Content::Frame(end) => buffer.int(place.frames.map(|(first, last)| {
                    i64::from(match end {
                        End::First => first,
                        End::Last => last,
                    })
                })),
                Content::Cut => buffer.bool(Some(is_cut)),
                Content::Who(side) => {
                    let peer = if side == "src" { &item.src } else { &item.dst };
                    let text = peer.identity.as_ref().map(|who| who.text());
                    self.json_bytes += text.map_or(0, str::len);
                    buffer.text(text.map(str::to_owned));
                }
                Content::Json(name) => {
                    let part = parts.iter_mut().find(|(part, _)| *part == name);
                    let text = part.and_then(|(_, text)| text.take());
                    self.json_bytes += text.as_ref().map_or(0, Vec::len);
                    buffer.bytes(text);
                }
            }
        }
        if let Some(origins) = &mut self.origins
            && origins
                .last()
                .is_none_or(|(_, origin, record)| *origin != item.origin || *record != item.record)
        {
            let run = (self.summary.items, item.origin.clone(), item.record.clone());
            origins.push(run);
        }
        let nanos = item.start.nanos();
        let (first, last) = self.summary.span.unwrap_or((nanos, nanos));
        self.summary.span = Some((first.min(nanos), last.max(nanos)));
        self.summary.items += 1;
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.json_bytes >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), IndexError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for buffer in &mut self.buffers {
            let Some(mut column) = group.next_column()? else {
                break;
            };
            buffer.write(column.untyped())?;
            column.close()?;
        }
        group.close()?;
        self.rows = 0;
        self.json_bytes = 0;
        Ok(())
    }

    /// Ends the file; answers what was written, and what it was written to.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> Result<(Summary, W), IndexError> {
        self.end_group()?;
        let mixed: Vec<&str> = self.mixed.iter().copied().collect();
        let cuts: Vec<&str> = self.cuts.0.iter().map(String::as_str).collect();
        for (key, value) in [(MIXED_KEY, mixed.join("\n")), (CUTS_KEY, cuts.join("\n"))] {
            self.file
                .append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        if let Some(origins) = &self.origins {
            let lines = origins.iter().map(|(row, origin, record)| {
                let (node, ip, worker) = (&origin.node_name, &origin.node_ip, &origin.worker);
                serde_json::json!([row, node, ip, worker, record]).to_string()
            });
            let lines: Vec<String> = lines.collect();
            let lines = KeyValue::new(ORIGINS_KEY.to_owned(), lines.join("\n"));
            self.file.append_key_value_metadata(lines);
        }
        let out = self.file.into_inner()?;
        Ok((self.summary, out))
    }
}

fn zstd(level: i32) -> Result<Compression, IndexError> {
    Ok(Compression::ZSTD(ZstdLevel::try_new(level)?))
}

fn properties() -> Result<WriterProperties, IndexError> {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("tapedeck ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(zstd(LEVEL)?)
        // A column of a row group has one page, so there is nothing to find by its pages.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        // Beside the footer, so that one request has both.
        .set_bloom_filter_position(BloomFilterPosition::End)
        .set_max_row_group_row_count(None);
    for column in COLUMNS {
        let path = ColumnPath::from(column.name);
        let is_rising = matches!(
            column.from,
            Content::Time | Content::Packet | Content::Path("index")
        );
        // Numbers that mostly rise take a fraction of their size as differences, and those that
        // hardly repeat need no dictionary.
        if is_rising || column.from == Content::Elapsed {
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
        }
        if is_rising {
            properties =
                properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        if column.kind == Kind::Text {
            // Where a dictionary does not pay: lengths apart from texts, which then lie side by side.
            properties =
                properties.set_column_encoding(path.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY);
        }
        let is_id = matches!(
            column.from,
            Content::Trace | Content::Span | Content::RequestId
        );
        if is_id {
            // Random digits take the bits that they have, unless repetitions are looked for in them.
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_compression(path.clone(), zstd(ID_LEVEL)?);
        }
        // No question is answered by the bounds of an id or of a JSON text. Few pods have many items,
        // and few forms of requests and responses: their dictionaries are what keeps them small.
        if is_id || matches!(column.from, Content::Who(_) | Content::Json(_)) {
            properties =
                properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
        if column.has_bloom {
            let false_hits = if is_id {
                ID_FALSE_HITS
            } else {
                BLOOM_FALSE_HITS
            };
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), false_hits)
                .set_column_bloom_filter_max_ndv(path, GROUP_ROWS as u64);
        }
    }
    Ok(properties.build())
}

/// A part as JSON, and whether something was left out; `None` when it was not seen.
fn part_of(name: &str, value: &Value, held: &Held<'_>, cuts: &mut Cuts) -> Option<(Vec<u8>, bool)> {
    if matches!(value.force(), Value::Null) {
        return None;
    }
    let mut text = Vec::new();
    let node = crate::item::ItemNode::of_value(value);
    let was_cut = json::write(node, name, held, &mut text, cuts);
    Some((text, was_cut))
}

impl Buffer {
    fn new(column: &Column) -> Buffer {
        Buffer {
            levels: Vec::new(),
            values: match column.kind {
                Kind::Bool => Values::Bool(Vec::new()),
                Kind::Int | Kind::Time => Values::Int(Vec::new()),
                Kind::Text => Values::Text(Vec::new()),
            },
        }
    }

    /// Adds what a place of the item holds; false when it is of another type than the column, and
    /// is left out.
    fn push_node<'a, N: Node<'a>>(&mut self, node: Option<N>, column: &str) -> bool {
        let Some(node) = node else {
            self.levels.push(0);
            return true;
        };
        let fits = match &mut self.values {
            Values::Bool(values) => node.bool().map(|value| values.push(value)),
            Values::Int(values) => match node.kind() {
                NodeKind::Int => node.int(),
                // Ports are text in an item and numbers here.
                NodeKind::Text if column.ends_with("_port") => node.whole(),
                _ => None,
            }
            .map(|value| values.push(value)),
            Values::Text(values) => node.text().map(|text| values.push(ByteArray::from(&*text))),
        };
        self.levels.push(i16::from(fits.is_some()));
        fits.is_some()
    }

    fn bool(&mut self, value: Option<bool>) {
        self.levels.push(i16::from(value.is_some()));
        if let (Values::Bool(values), Some(value)) = (&mut self.values, value) {
            values.push(value);
        }
    }

    fn int(&mut self, value: Option<i64>) {
        self.levels.push(i16::from(value.is_some()));
        if let (Values::Int(values), Some(value)) = (&mut self.values, value) {
            values.push(value);
        }
    }

    fn text(&mut self, value: Option<String>) {
        self.bytes(value.map(String::into_bytes));
    }

    fn bytes(&mut self, value: Option<Vec<u8>>) {
        self.levels.push(i16::from(value.is_some()));
        if let (Values::Text(values), Some(value)) = (&mut self.values, value) {
            values.push(ByteArray::from(value));
        }
    }

    fn write(&mut self, column: &mut ColumnWriter<'_>) -> Result<(), IndexError> {
        let levels = Some(self.levels.as_slice());
        match (&mut self.values, column) {
            (Values::Bool(values), ColumnWriter::BoolColumnWriter(column)) => {
                column.write_batch(values, levels, None)?;
                values.clear();
            }
            (Values::Int(values), ColumnWriter::Int64ColumnWriter(column)) => {
                column.write_batch(values, levels, None)?;
                values.clear();
            }
            (Values::Text(values), ColumnWriter::ByteArrayColumnWriter(column)) => {
                column.write_batch(values, levels, None)?;
                values.clear();
            }
            _ => unreachable!("the schema is made of the same list as the buffers"),
        }
        self.levels.clear();
        Ok(())
    }
}
