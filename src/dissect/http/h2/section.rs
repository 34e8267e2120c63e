//! A field section: the decoded field lines of a message, in a form that is cheap to keep.
//!
//! In: field lines as HPACK gives them. Out: what pairing and shape need of them, and the values that
//! users see. Never: more bytes than [`MAX_SECTION`]. Standard: RFC 9113 section 8, RFC 9110 section 5.
//!
//! ```text
//! section = lines
//! line    = name u8 (index in the static table; 0 written out; 255 unknown), written out: length u32
//!           and name; length u32, value                                               big-endian
//! ```

use bytes::Bytes;

use super::grpc;
use super::hpack::{ENTRY_OVERHEAD, Name, fixed};
use crate::bytes::Reader;
use crate::dissect::http::decode::{Coding, Codings};
use crate::dissect::http::exchange::flag;
use crate::dissect::http::maps::Map;
use crate::dissect::http::shape::Form;
use crate::item::Value;

/// Bytes of one message's field lines that are kept, each counted with 32 more (RFC 9113 section
/// 6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE); servers refuse more than 8 to 64 KiB.
pub(super) const MAX_SECTION: usize = 64 * 1024;

/// Name of fields whose own name was sent where nobody captured it, and value of those whose value
/// was.
const UNKNOWN: &str = "<unknown>";

const WRITTEN: u8 = 0;
const NAMELESS: u8 = 0xff;

/// Indices of names in the static table.
mod at {
    pub(super) const AUTHORITY: u8 = 1;
    pub(super) const METHOD: u8 = 2;
    pub(super) const PATH: u8 = 4;
    pub(super) const SCHEME: u8 = 6;
    pub(super) const STATUS: u8 = 8;
    pub(super) const CONTENT_ENCODING: u8 = 26;
    pub(super) const CONTENT_TYPE: u8 = 31;
    pub(super) const COOKIE: u8 = 32;
    pub(super) const LOCATION: u8 = 46;
    pub(super) const SET_COOKIE: u8 = 55;
}

/// Who sends a section, by its pseudo-header fields.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// It has none: trailers, or only unknown ones.
    #[default]
    Unclear,
    /// A request.
    Client,
    /// A response with this status; 0 when it is unknown.
    Server(u16),
}

/// Field lines of one message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Section {
    lines: Vec<u8>,
    /// Size as the standard counts it, up to where the cap was met.
    size: usize,
    /// Field lines of which something is unknown.
    pub unknown: u32,
    /// Whether lines are missing: by the cap, or because the rest was not captured or is malformed.
    pub cut: bool,
    /// Who sends it.
    pub speaker: Speaker,
}

impl Section {
    /// A section for a block of so many bytes.
    pub(super) fn with_room(block: usize) -> Section {
        Section {
            // What is indexed or Huffman coded takes more than in the block.
            lines: Vec::with_capacity(block.saturating_mul(2).min(MAX_SECTION) + 64),
            ..Section::default()
        }
    }

    /// Adds a field line; `None` stands for a value that nobody captured, which is named as such so
    /// that each line that is missing shows.
    pub(super) fn push(&mut self, name: Name<'_>, value: Option<&[u8]>) {
        let (code, written) = match name {
            Name::Static(index) => (first_of_its_name(index), &[][..]),
            Name::Written(written @ [b':', ..]) => match pseudo(written) {
                Some(index) => (index, &[][..]),
                None => (WRITTEN, written),
            },
            Name::Written(written) => (WRITTEN, written),
            Name::Unknown => (NAMELESS, &[][..]),
        };
        self.unknown += u32::from(code == NAMELESS || value.is_none());
        let value = value.unwrap_or(UNKNOWN.as_bytes());
        let size = self.size + written.len() + value.len() + ENTRY_OVERHEAD;
        if self.cut || size > MAX_SECTION {
            self.cut = true;
            return;
        }
        self.size = size;
        self.hear(code, value);
        self.lines.push(code);
        if code == WRITTEN {
            put(written, &mut self.lines);
        }
        put(value, &mut self.lines);
    }

    fn hear(&mut self, code: u8, value: &[u8]) {
        match code {
            at::METHOD | at::PATH | at::SCHEME | at::AUTHORITY => self.speaker = Speaker::Client,
            at::STATUS => self.speaker = Speaker::Server(number(value)),
            _ => {}
        }
    }

    /// Adds the lines of a later section of the same message: its trailers.
    pub(super) fn append(&mut self, later: &Section) {
        self.unknown += later.unknown;
        self.cut |= later.cut;
        if self.size + later.size > 2 * MAX_SECTION {
            self.cut = true;
            return;
        }
        self.size += later.size;
        self.lines.extend_from_slice(&later.lines);
    }

    /// Gives back room that is not used: a stream may stay open for hours.
    pub(super) fn fit(&mut self) {
        if self.lines.capacity() > 2 * self.lines.len() + 512 {
            self.lines.shrink_to_fit();
        }
    }

    /// Bytes held.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The path of a request; empty when there is none.
    pub(super) fn path(&self) -> &[u8] {
        let mut lines = Lines::of(&self.lines);
        let path = lines.find(|(name, _)| matches!(name, Name::Static(at::PATH)));
        path.map_or(&[], |(_, value)| value)
    }

    /// The value of a field whose name (lower case) was written out; empty when there is none.
    pub(super) fn value(&self, name: &[u8]) -> &[u8] {
        let mut lines = Lines::of(&self.lines);
        let line = lines.find(|(known, _)| matches!(known, Name::Written(known) if *known == name));
        line.map_or(&[], |(_, value)| value)
    }

    /// A copy of the lines.
    pub(super) fn lines(&self) -> Bytes {
        Bytes::copy_from_slice(&self.lines)
    }

    /// The lines, for items.
    pub(super) fn into_lines(self) -> Bytes {
        Bytes::from(self.lines)
    }

    /// Writes it for [`Section::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.unknown.to_be_bytes());
        out.push(u8::from(self.cut));
        put(&self.lines, out);
    }

    /// Reads one back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Section> {
        let (unknown, cut) = (from.u32().ok()?, flag(from)?);
        let length = usize::try_from(from.u32().ok()?).ok()?;
        let lines = from.take(length).ok()?;
        let mut section = Section {
            lines: lines.to_vec(),
            unknown,
            cut,
            ..Section::default()
        };
        let mut all = Lines::of(lines);
        for (name, value) in all.by_ref() {
            let (code, written) = match name {
                Name::Static(index) => (index, 0),
                Name::Written(name) => (WRITTEN, name.len()),
                Name::Unknown => (NAMELESS, 0),
            };
            section.hear(code, value);
            section.size += written + value.len() + ENTRY_OVERHEAD;
        }
        (all.0.is_empty() && section.size <= 2 * MAX_SECTION).then_some(section)
    }
}

fn put(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The index under which a name is kept, whichever value of the static table it came with.
fn first_of_its_name(index: u8) -> u8 {
    match index {
        3 => at::METHOD,
        5 => at::PATH,
        7 => at::SCHEME,
        9..=14 => at::STATUS,
        index => index,
    }
}

/// Pseudo-header fields may be written out too.
fn pseudo(name: &[u8]) -> Option<u8> {
    Some(match name {
        b":authority" => at::AUTHORITY,
        b":method" => at::METHOD,
        b":path" => at::PATH,
        b":scheme" => at::SCHEME,
        b":status" => at::STATUS,
        _ => return None,
    })
}

fn number(digits: &[u8]) -> u16 {
    let text = std::str::from_utf8(digits).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The lines of a section in order.
struct Lines<'a>(Reader<'a>);

impl<'a> Lines<'a> {
    fn of(lines: &'a [u8]) -> Lines<'a> {
        Lines(Reader::new(lines))
    }

    fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.0.u32().ok()?).ok()?;
        self.0.take(length).ok()
    }

    /// The place of the value of the line that came last.
    fn place(&self, value: &[u8]) -> Place {
        let end = self.0.offset();
        Place {
            start: end - value.len(),
            end,
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (Name<'a>, &'a [u8]);

    fn next(&mut self) -> Option<(Name<'a>, &'a [u8])> {
        let name = match self.0.u8().ok()? {
            WRITTEN => Name::Written(self.piece()?),
            NAMELESS => Name::Unknown,
            index => Name::Static(index),
        };
        Some((name, self.piece()?))
    }
}

fn text_of(name: Name<'_>) -> &[u8] {
    match name {
        Name::Written(name) => name,
        name => static_text(name),
    }
}

/// A value within the lines of a section; empty when there is none.
#[derive(Debug, Default, Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
}

/// What an item's shape needs of a section.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    /// The lines of the section.
    pub lines: Bytes,
    method: Place,
    target: Place,
    content_type: Place,
    location: Place,
    grpc_message: Place,
    grpc_encoding: Place,
    /// `:status`; 0 when there is none.
    pub status: u16,
    /// Content-Encoding.
    pub codings: Codings,
    /// Whether there is a Cookie or Set-Cookie.
    pub cookies: bool,
    /// Grpc-Status; `None` when there is none.
    pub grpc_status: Option<u16>,
}

impl Facts {
    /// Reads them off the lines of a section.
    pub(super) fn of(bytes: Bytes) -> Facts {
        let mut facts = Facts::default();
        let mut authority = Place::default();
        let mut lines = Lines::of(&bytes);
        while let Some((name, value)) = lines.next() {
            let place = lines.place(value);
            match name {
                Name::Static(at::AUTHORITY) => authority = place,
                Name::Static(at::METHOD) => facts.method = place,
                Name::Static(at::PATH) => facts.target = place,
                Name::Static(at::STATUS) => facts.status = number(value),
                Name::Static(at::CONTENT_TYPE) => facts.content_type = place,
                Name::Static(at::LOCATION) => facts.location = place,
                Name::Static(at::COOKIE | at::SET_COOKIE) => facts.cookies = true,
                Name::Static(at::CONTENT_ENCODING) => facts.encoded(value),
                Name::Written(name) => facts.written(name, value, place),
                Name::Static(_) | Name::Unknown => {}
            }
        }
        facts.lines = bytes;
        if facts.target().is_empty() && facts.method() == b"CONNECT" {
            facts.target = authority;
        }
        facts
    }

    fn at(&self, place: Place) -> &[u8] {
        self.lines.get(place.start..place.end).unwrap_or_default()
    }

    /// `:method`
    pub(super) fn method(&self) -> &[u8] {
        self.at(self.method)
    }

    /// `:path`, or the authority of a CONNECT.
    pub(super) fn target(&self) -> &[u8] {
        self.at(self.target)
    }

    /// Content-Type.
    pub(super) fn content_type(&self) -> &[u8] {
        self.at(self.content_type)
    }

    /// Location.
    pub(super) fn location(&self) -> &[u8] {
        self.at(self.location)
    }

    /// Grpc-Message as sent.
    pub(super) fn grpc_message(&self) -> &[u8] {
        self.at(self.grpc_message)
    }

    /// Grpc-Encoding.
    pub(super) fn grpc_encoding(&self) -> &[u8] {
        self.at(self.grpc_encoding)
    }

    /// A part of the lines that lives on without them.
    pub(super) fn piece(&self, part: &[u8]) -> Bytes {
        match part {
            [] => Bytes::new(),
            part => self.lines.slice_ref(part),
        }
    }

    /// Senders may write out any name, and gRPC's are not in the static table.
    fn written(&mut self, name: &[u8], value: &[u8], place: Place) {
        match name {
            b"content-type" => self.content_type = place,
            b"content-encoding" => self.encoded(value),
            b"location" => self.location = place,
            b"cookie" | b"set-cookie" => self.cookies = true,
            b"grpc-status" => self.grpc_status = grpc::status(value),
            b"grpc-message" => self.grpc_message = place,
            b"grpc-encoding" => self.grpc_encoding = place,
            _ => {}
        }
    }

    fn encoded(&mut self, value: &[u8]) {
        for name in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.codings.push(Coding::named(name));
        }
    }
}

/// How a section's fields are shown: names in lower case, as they are sent.
pub(super) static FORM: Form = Form {
    headers,
    request_cookies,
    response_cookies,
};

fn headers(lines: &Bytes) -> Value {
    let mut map = Map::default();
    let mut cookies = false;
    for (name, value) in Lines::of(lines) {
        let key = match name {
            Name::Written(name) => lines.slice_ref(name),
            name => Bytes::from_static(static_text(name)),
        };
        if key == "cookie" {
            if !std::mem::replace(&mut cookies, true) {
                map.add(key, cookie(lines));
            }
            continue;
        }
        map.add(key, lines.slice_ref(value));
    }
    map.joined()
}

/// "If there are multiple Cookie header fields after decompression, these MUST be concatenated into
/// a single octet string using the two-octet delimiter of 0x3b, 0x20" (RFC 9113 section 8.2.3).
fn cookie(lines: &Bytes) -> Bytes {
    let crumbs: Vec<&[u8]> = Lines::of(lines)
        .filter(|(name, _)| text_of(*name) == b"cookie")
        .map(|(_, value)| value)
        .collect();
    match &crumbs[..] {
        [one] => lines.slice_ref(one),
        crumbs => Bytes::from(crumbs.join(&b"; "[..])),
    }
}

fn static_text(name: Name<'_>) -> &'static [u8] {
    match name {
        Name::Static(index) => fixed(index.into()).map_or(&[], |(name, _)| name.as_bytes()),
        Name::Written(_) | Name::Unknown => UNKNOWN.as_bytes(),
    }
}

fn request_cookies(lines: &Bytes) -> Value {
    let mut map = Map::default();
    for (name, value) in Lines::of(lines) {
        if text_of(name) == b"cookie" {
            for pair in value.split(|byte| *byte == b';') {
                map.add_pair(lines, pair);
            }
        }
    }
    map.joined()
}

fn response_cookies(lines: &Bytes) -> Value {
    let mut map = Map::default();
    for (name, value) in Lines::of(lines) {
        if text_of(name) == b"set-cookie" {
            let pair = value.split(|byte| *byte == b';').next();
            map.add_pair(lines, pair.unwrap_or_default());
        }
    }
    map.joined()
}
