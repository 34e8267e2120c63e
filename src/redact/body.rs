//! Bodies: which of their bytes go, by their type.
//!
//! In: a body without its framing. Out: the same with named values overwritten, its length kept; a
//! compressed one is compressed again into the same length. Never: a body left alone that could hold
//! a named value and cannot be decoded. Standards: RFC 9110 section 8, RFC 1952, RFC 7578, RFC 8259,
//! gRPC over HTTP/2.

use std::io::{Read, Write};
use std::ops::Range;

use flate2::{Compression, Crc};

use super::json::{overwrite, spans};
use super::{MASK, Payload, Redactor};

/// Decoded bytes of a compressed body; what is larger counts as one that cannot be decoded.
const MAX_DECODED: u64 = 64 << 20;

/// Largest zstd window as a power of two (RFC 9659).
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// What the head of a message says about its body.
#[derive(Debug, Default, Clone)]
pub(super) struct Kind {
    /// Media type, lower case, with its parameters.
    pub(super) media: String,
    /// Content codings in the order in which they were applied, lower case.
    pub(super) codings: Vec<String>,
}

impl Kind {
    /// Takes a header field's word on the body.
    pub(super) fn learn(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).trim().to_owned();
        if name.eq_ignore_ascii_case(b"content-type") {
            self.media = text();
        } else if name.eq_ignore_ascii_case(b"content-encoding") {
            let named = text().to_ascii_lowercase();
            let all = named.split(',').map(|one| one.trim().to_owned());
            self.codings
                .extend(all.filter(|one| !one.is_empty() && one != "identity"));
        }
    }

    fn type_name(&self) -> String {
        let name = self.media.split(';').next().unwrap_or_default();
        name.trim().to_ascii_lowercase()
    }

    fn is_grpc(&self) -> bool {
        self.type_name().starts_with("application/grpc")
    }

    /// Types that hold no named values.
    fn is_plain(&self) -> bool {
        const PLAIN: &[&str] = &[
            "text/html",
            "text/css",
            "text/javascript",
            "application/javascript",
            "application/wasm",
            "application/pdf",
        ];
        let name = self.type_name();
        let fronts = ["image/", "video/", "audio/", "font/"];
        PLAIN.contains(&name.as_str()) || fronts.iter().any(|front| name.starts_with(front))
    }

    /// Whether a body of this kind goes when not all of it is at hand.
    pub(super) fn goes_undecoded(&self, redactor: &Redactor) -> bool {
        redactor.rule.payload == Payload::Headers
            || (redactor.rule.reads_bodies() && !self.is_plain())
    }
}

impl Redactor {
    /// Overwrites what must go of a whole body; whether anything did.
    pub(super) fn in_body(&self, kind: &Kind, body: &mut [u8]) -> bool {
        if body.is_empty() {
            return false;
        }
        if self.rule.payload == Payload::Headers {
            hide(kind, body);
            return true;
        }
        if !self.rule.reads_bodies() || kind.is_plain() {
            return false;
        }
        if kind.codings.is_empty() {
            return self.in_plain(kind, body);
        }
        let Some(mut plain) = decoded(&kind.codings, body) else {
            hide(kind, body);
            return true;
        };
        if !self.in_plain(kind, &mut plain) {
            return false;
        }
        match (kind.codings.as_slice(), again(&plain, body.len())) {
            ([one], Some(packed)) if one == "gzip" || one == "x-gzip" => {
                body.copy_from_slice(&packed)
            }
            _ => body.fill(MASK),
        }
        true
    }

    fn in_plain(&self, kind: &Kind, body: &mut [u8]) -> bool {
        let name = kind.type_name();
        if kind.is_grpc() && !name.ends_with("json") {
            hide(kind, body);
            return true;
        }
        if name == "application/x-www-form-urlencoded" {
            return fill(body, &self.in_parameters(body, 0));
        }
        if name == "multipart/form-data" {
            return self.in_parts(kind, body);
        }
        if name == "text/event-stream" {
            return self.in_lines(body);
        }
        let looks = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        if !looks && name == "text/plain" {
            return false;
        }
        self.in_json(body)
    }

    /// Overwrites named members; all of it when it is not JSON.
    pub(super) fn in_json(&self, body: &mut [u8]) -> bool {
        match spans(body, &self.json) {
            None => {
                body.fill(MASK);
                true
            }
            Some(found) => {
                for span in &found {
                    if let Some(value) = body.get_mut(span.clone()) {
                        overwrite(value);
                    }
                }
                !found.is_empty()
            }
        }
    }

    /// `data:` lines of server-sent events.
    fn in_lines(&self, body: &mut [u8]) -> bool {
        let mut changed = false;
        for line in body.split_mut(|byte| *byte == b'\n') {
            let Some(mark) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let (name, value) = line.split_at_mut(mark + 1);
            if name == b"data:" && matches!(value.trim_ascii().first(), Some(b'{' | b'[')) {
                changed |= self.in_json(value);
            }
        }
        changed
    }

    /// Parts of a form whose names are those of parameters; JSON in any part.
    fn in_parts(&self, kind: &Kind, body: &mut [u8]) -> bool {
        let boundary = kind.media.split(';').find_map(|one| {
            let (name, value) = one.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("boundary")
                .then(|| value.trim().trim_matches('"').to_owned())
        });
        let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else {
            body.fill(MASK);
            return true;
        };
        let mark = format!("--{boundary}");
        let places: Vec<usize> = memchr::memmem::find_iter(body, mark.as_bytes()).collect();
        let mut changed = false;
        for pair in places.windows(2) {
            let [begin, end] = *pair else { continue };
            let part = begin + mark.len()..end;
            let Some(bytes) = body.get_mut(part) else {
                continue;
            };
            let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                bytes.fill(MASK);
                changed = true;
                continue;
            };
            let (head, content) = bytes.split_at_mut(head + 4);
            let content_len = content
                .strip_suffix(b"\r\n")
                .map_or(content.len(), <[u8]>::len);
            let Some(content) = content.get_mut(..content_len) else {
                continue;
            };
            if part_name(head).is_some_and(|name| self.rule.hides_parameter(name)) {
                content.fill(MASK);
                changed = true;
            } else if matches!(content.trim_ascii_start().first(), Some(b'{' | b'[')) {
                changed |= self.in_json(content);
            }
        }
        changed
    }
}

/// `name="..."` of a part's head.
fn part_name(head: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(head, b" name=\"")? + 7;
    let rest = head.get(at..)?;
    rest.get(..rest.iter().position(|byte| *byte == b'"')?)
}

/// Overwrites parts; whether there are any.
fn fill(body: &mut [u8], parts: &[Range<usize>]) -> bool {
    for part in parts {
        if let Some(part) = body.get_mut(part.clone()) {
            part.fill(MASK);
        }
    }
    !parts.is_empty()
}

/// Overwrites a body; of gRPC the messages alone, so that they can still be counted.
fn hide(kind: &Kind, body: &mut [u8]) {
    if !kind.is_grpc() || !kind.codings.is_empty() {
        return body.fill(MASK);
    }
    let mut at = 0;
    while let Some([_, length @ ..]) = body.get(at..).and_then(<[u8]>::first_chunk::<5>) {
        let end = at + 5 + u32::from_be_bytes(*length) as usize;
        let Some(message) = body.get_mut(at + 5..end) else {
            break;
        };
        message.fill(MASK);
        at = end;
    }
    if let Some(rest) = body.get_mut(at..) {
        rest.fill(MASK);
    }
}

/// Undoes codings; `None` when that fails or gives too much.
fn decoded(codings: &[String], body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = body.to_vec();
    for coding in codings.iter().rev() {
        let mut reader: Box<dyn Read + '_> = match coding.as_str() {
            "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(bytes.as_slice())),
            "deflate" => match bytes.first() {
                Some(method) if method & 0x0f == 8 => {
                    Box::new(flate2::read::ZlibDecoder::new(bytes.as_slice()))
                }
                _ => Box::new(flate2::read::DeflateDecoder::new(bytes.as_slice())),
            },
            "br" => Box::new(brotli_decompressor::Decompressor::new(
                bytes.as_slice(),
                4096,
            )),
            "zstd" => {
                let mut decoder = zstd::stream::read::Decoder::new(bytes.as_slice()).ok()?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).ok()?;
                Box::new(decoder)
            }
            _ => return None,
        };
        let mut out = Vec::new();
        reader
            .by_ref()
            .take(MAX_DECODED + 1)
            .read_to_end(&mut out)
            .ok()?;
        drop(reader);
        if out.len() as u64 > MAX_DECODED {
            return None;
        }
        bytes = out;
    }
    Some(bytes)
}

/// `plain` as one gzip member of exactly `length` bytes; a comment fills it up.
fn again(plain: &[u8], length: usize) -> Option<Vec<u8>> {
    const COMMENT: u8 = 0x10;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    let packed = encoder.finish().ok()?;
    let spare = length.checked_sub(packed.len() + 18)?;
    let flags = if spare > 0 { COMMENT } else { 0 };
    let mut out = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 2, 255];
    if let Some(fill) = spare.checked_sub(1) {
        out.resize(out.len() + fill, MASK);
        out.push(0);
    }
    out.extend_from_slice(&packed);
    let mut crc = Crc::new();
    crc.update(plain);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    Some(out)
}
