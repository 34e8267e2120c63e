//! Message heads: from bytes to start line and fields.
//!
//! In: the bytes of one direction from where a message begins. Out: a [`Head`] whose parts are slices
//! of those bytes. Never: bodies, state. `httparse` reads the fields; a head that it refuses is
//! repaired first, as RFC 9112 (sections 2.2, 5.2) and RFC 9110 (section 5.5) tell recipients to.

use std::mem::MaybeUninit;

use bytes::Bytes;

use super::decode::{Coding, Codings};
use super::recognise::{self, Looks};

/// Longest head; servers refuse more than 8 to 64 KiB.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// Most header fields of one head; servers refuse more than 100 to 200.
pub(super) const MAX_FIELDS: usize = 512;

/// The first part of a message.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// The start line.
    pub start: StartLine,
    /// The version that the start line names.
    pub version: Version,
    /// The whole head; repaired when `httparse` refused the captured one.
    pub bytes: Bytes,
    /// What framing, decoding and pairing need of the fields.
    pub fields: Fields,
}

impl Head {
    /// Lets go of the captured bytes that the head is a slice of: they may belong to a large batch,
    /// and a message may stay open for hours.
    pub(super) fn own(&mut self) {
        let old = std::mem::take(&mut self.bytes);
        self.bytes = Bytes::copy_from_slice(&old);
        let base = old.as_ptr().addr();
        let moved = |piece: &mut Bytes| {
            let start = piece.as_ptr().addr().wrapping_sub(base);
            let end = start.saturating_add(piece.len());
            // Names known beforehand lie elsewhere and cost nothing.
            if !piece.is_empty() && end <= self.bytes.len() {
                *piece = self.bytes.slice(start..end);
            }
        };
        match &mut self.start {
            StartLine::Request { method, target } => {
                moved(method);
                moved(target);
            }
            StartLine::Response { reason, .. } => moved(reason),
        }
        moved(&mut self.fields.content_type);
        moved(&mut self.fields.location);
    }
}

/// The line that tells requests from responses.
#[derive(Debug, Clone)]
pub(super) enum StartLine {
    /// `method SP request-target SP HTTP-version`
    Request {
        /// The method, upper and lower case as sent.
        method: Bytes,
        /// The request target as sent.
        target: Bytes,
    },
    /// `HTTP-version SP status-code SP [ reason-phrase ]`
    Response {
        /// The status code.
        status: u16,
        /// The reason phrase.
        reason: Bytes,
    },
}

/// The version in a start line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// A request line that is against the standard has none.
    Missing,
    /// The digits before and behind the dot.
    Named(u8, u8),
}

impl Version {
    /// `HTTP/1.x`
    const fn one(minor: u8) -> Version {
        Version::Named(1, minor)
    }
}

/// A Content-Length as it was found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// No such field.
    #[default]
    Absent,
    /// One value, perhaps repeated.
    Known(u64),
    /// Not a number, or several that differ.
    Invalid,
}

/// A Transfer-Encoding as it was found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// No such field, or `identity`.
    #[default]
    Absent,
    /// `chunked` is the last coding.
    Chunked,
    /// Anything else.
    Other,
}

/// The fields that matter before anybody reads the item.
#[derive(Debug, Default, Clone)]
pub(super) struct Fields {
    /// Content-Length.
    pub length: Length,
    /// Transfer-Encoding.
    pub transfer: Transfer,
    /// Content codings and those transfer codings that are compressions, in the order applied.
    pub codings: Codings,
    /// Content-Type.
    pub content_type: Bytes,
    /// Location.
    pub location: Bytes,
    /// Whether there is a Cookie or Set-Cookie.
    pub cookies: bool,
    /// Whether there is an Upgrade.
    pub upgrade: bool,
}

/// What became of reading a head.
#[derive(Debug)]
pub(super) enum Parsed {
    /// A head, and its bytes on the stream.
    Head(Head, usize),
    /// More bytes are needed.
    Partial,
    /// A message begins here, but its head does not end within [`MAX_HEAD`].
    TooLong,
    /// No message begins here.
    Malformed,
}

/// Reads a request's head from the front of `bytes`; the first `scanned` hold no end of one.
pub(super) fn request(bytes: &Bytes, scanned: usize) -> Parsed {
    read(bytes, scanned, true)
}

/// Reads a response's head from the front of `bytes`; the first `scanned` hold no end of one.
pub(super) fn response(bytes: &Bytes, scanned: usize) -> Parsed {
    read(bytes, scanned, false)
}

fn read(bytes: &Bytes, scanned: usize, asks: bool) -> Parsed {
    // Most heads are whole and sound when they are first seen.
    if scanned == 0
        && let Some((head, size)) = parse(bytes, asks)
        && size <= MAX_HEAD
    {
        return Parsed::Head(head, size);
    }
    let Some(end) = end_of_head(bytes, scanned).filter(|end| *end <= MAX_HEAD) else {
        let looks = match asks {
            true => recognise::request(bytes),
            false => recognise::response(bytes),
        };
        // A client that writes nonsense behind a method is answered; it is shown with its answer.
        let malformed = asks && recognise::begins_with_method(bytes);
        return match looks {
            Looks::No if !malformed => Parsed::Malformed,
            Looks::No if bytes.len() > MAX_HEAD => Parsed::Malformed,
            Looks::No => Parsed::Partial,
            Looks::Maybe | Looks::Yes if bytes.len() <= MAX_HEAD => Parsed::Partial,
            Looks::Maybe | Looks::Yes => Parsed::TooLong,
        };
    };
    let head = bytes.slice(..end);
    match parse(&head, asks)
        .map(|(head, _)| head)
        .or_else(|| repaired(&head, asks))
    {
        Some(head) => Parsed::Head(head, end),
        None => Parsed::Malformed,
    }
}

/// Makes a head of what is there of one that is cut; `None` when not even the start line tells.
pub(super) fn cut_head(bytes: &Bytes, asks: bool) -> Option<Head> {
    let bytes = bytes.slice(..bytes.len().min(MAX_HEAD));
    // A last line without its end is left out, unless it is the start line.
    let whole = match memchr::memrchr(b'\n', &bytes) {
        Some(end) => bytes.slice(..=end),
        None => bytes,
    };
    repaired(&whole, asks)
}

/// Parses a head that [`Head::bytes`] held, for the fields alone.
pub(super) fn fields_again(head: &Bytes, asks: bool) -> Option<Fields> {
    parse(head, asks).map(|(head, _)| head.fields)
}

/// Where the empty line behind the fields ends.
fn end_of_head(bytes: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    let rest = bytes.get(from..)?;
    for line_end in memchr::memchr_iter(b'\n', rest) {
        match rest.get(line_end + 1..) {
            Some([b'\n', ..]) => return Some(from + line_end + 2),
            Some([b'\r', b'\n', ..]) => return Some(from + line_end + 3),
            _ => {}
        }
    }
    None
}

/// Reads a head that is whole and sound from the front of `bytes`, and tells its length.
fn parse(bytes: &Bytes, asks: bool) -> Option<(Head, usize)> {
    let mut storage = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    if asks {
        let mut request = httparse::Request::new(&mut []);
        let status = request
            .parse_with_uninit_headers(bytes, &mut storage)
            .ok()?;
        let httparse::Status::Complete(size) = status else {
            return None;
        };
        let head = Head {
            start: StartLine::Request {
                method: method_of(bytes, request.method?.as_bytes()),
                target: bytes.slice_ref(request.path?.as_bytes()),
            },
            version: Version::one(request.version?),
            bytes: bytes.slice(..size),
            fields: Fields::of(bytes, request.headers),
        };
        Some((head, size))
    } else {
        let mut response = httparse::Response::new(&mut []);
        let status = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut response, bytes, &mut storage)
            .ok()?;
        let httparse::Status::Complete(size) = status else {
            return None;
        };
        let head = Head {
            start: StartLine::Response {
                status: response.code?,
                reason: reason_of(bytes, response.reason?.as_bytes()),
            },
            version: Version::one(response.version?),
            bytes: bytes.slice(..size),
            fields: Fields::of(bytes, response.headers),
        };
        Some((head, size))
    }
}

/// Adds a line of a trailer section (RFC 9112 section 7.1.2) to `out` as it is read again behind a
/// head: `name: value CRLF`. A line that is no field is left out.
pub(super) fn add_trailer(line: &[u8], out: &mut Vec<u8>) {
    let Some((name, value)) = field_of(line.trim_ascii_end()) else {
        return;
    };
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    extend_clean(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Name and value of a field line; `None` when it is none.
fn field_of(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
    let name = name.trim_ascii();
    let sound = !name.is_empty() && name.iter().all(recognise::is_token);
    let value = value.strip_prefix(b":").unwrap_or_default();
    sound.then_some((name, value.trim_ascii()))
}

/// Calls `each` with name and value of every field of a head, and of the trailers behind it.
pub(super) fn each_field(head: &Bytes, mut each: impl FnMut(&[u8], &[u8])) {
    let mut storage = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let mut response = httparse::Response::new(&mut []);
    let (parsed, fields) = if head.starts_with(b"HTTP/") {
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut response, head, &mut storage);
        (parsed, &*response.headers)
    } else {
        let parsed = request.parse_with_uninit_headers(head, &mut storage);
        (parsed, &*request.headers)
    };
    let Ok(httparse::Status::Complete(size)) = parsed else {
        return;
    };
    for field in fields {
        each(field.name.as_bytes(), field.value);
    }
    let trailers = head.get(size..).unwrap_or_default();
    for line in trailers.split(|byte| *byte == b'\n') {
        if let Some((name, value)) = field_of(line) {
            each(name, value);
        }
    }
}

/// The usual methods need no reference to the stream's bytes.
fn method_of(head: &Bytes, method: &[u8]) -> Bytes {
    Bytes::from_static(match method {
        b"GET" => b"GET",
        b"POST" => b"POST",
        b"PUT" => b"PUT",
        b"DELETE" => b"DELETE",
        b"HEAD" => b"HEAD",
        b"PATCH" => b"PATCH",
        b"OPTIONS" => b"OPTIONS",
        b"CONNECT" => b"CONNECT",
        _ => return head.slice_ref(method),
    })
}

fn reason_of(head: &Bytes, reason: &[u8]) -> Bytes {
    Bytes::from_static(match reason {
        b"OK" => b"OK",
        b"Not Found" => b"Not Found",
        b"Created" => b"Created",
        b"No Content" => b"No Content",
        _ => return head.slice_ref(reason),
    })
}

impl Fields {
    fn of(head: &Bytes, fields: &[httparse::Header<'_>]) -> Fields {
        let mut found = Fields::default();
        let mut transfer = Codings::default();
        for field in fields {
            found.take(head, field.name.as_bytes(), field.value, &mut transfer);
        }
        found.codings.append(transfer);
        found
    }

    /// Telling by length and first letter leaves most names uncompared.
    fn take(&mut self, head: &Bytes, name: &[u8], value: &[u8], transfer: &mut Codings) {
        let is = |wanted: &[u8]| {
            let first = name.first().zip(wanted.first());
            first.is_some_and(|(name, wanted)| name | 0x20 == *wanted)
                && name.eq_ignore_ascii_case(wanted)
        };
        match name.len() {
            6 if is(b"cookie") => self.cookies = true,
            7 if is(b"upgrade") => self.upgrade = true,
            8 if is(b"location") => self.location = head.slice_ref(value),
            10 if is(b"set-cookie") => self.cookies = true,
            12 if is(b"content-type") => self.content_type = head.slice_ref(value),
            14 if is(b"content-length") => self.length = self.length.and(value),
            16 if is(b"content-encoding") => {
                for name in list(value) {
                    self.codings.push(Coding::named(name));
                }
            }
            17 if is(b"transfer-encoding") => {
                for name in list(value) {
                    let name = name.split(|byte| *byte == b';').next().unwrap_or(name);
                    if name.eq_ignore_ascii_case(b"chunked") {
                        self.transfer = Transfer::Chunked;
                    } else if !name.eq_ignore_ascii_case(b"identity") {
                        self.transfer = Transfer::Other;
                        transfer.push(Coding::named(name));
                    }
                }
            }
            _ => {}
        }
    }
}

impl Length {
    /// "a valid list of identical values" counts as one (RFC 9112 section 6.3).
    fn and(self, value: &[u8]) -> Length {
        let mut all = self;
        let mut any = false;
        for value in list(value) {
            any = true;
            let one = match value.iter().all(u8::is_ascii_digit) {
                true => std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok()),
                false => None,
            };
            all = match (all, one) {
                (Length::Absent, Some(length)) => Length::Known(length),
                (Length::Known(before), Some(length)) if before == length => all,
                _ => Length::Invalid,
            };
        }
        if any { all } else { Length::Invalid }
    }
}

/// Elements of a comma-separated list, empty ones left out.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Reads a head again after writing it as the standard wants it.
fn repaired(head: &Bytes, asks: bool) -> Option<Head> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let start_line = lines.next()?;
    let (start, version, plain) = match asks {
        true => request_line(head, start_line)?,
        false => status_line(start_line)?,
    };
    let mut out = Vec::with_capacity(head.len() + 16);
    out.extend_from_slice(plain);
    let mut in_field = false;
    let mut fields = 0;
    for line in lines {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            // "replace each received obs-fold with one or more SP octets" (RFC 9112 section 5.2).
            if in_field {
                out.push(b' ');
                extend_clean(&mut out, line.trim_ascii());
            }
            continue;
        }
        // More fields than fit are left out rather than the message.
        if fields == MAX_FIELDS {
            break;
        }
        let Some((name, value)) = field_of(line) else {
            in_field = false;
            continue;
        };
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        extend_clean(&mut out, value);
        in_field = true;
        fields += 1;
    }
    out.extend_from_slice(b"\r\n\r\n");
    let (mut read, _) = parse(&Bytes::from(out), asks)?;
    read.start = start;
    read.version = version;
    Some(read)
}

/// "CR, LF, or NUL ... replace each of those characters with SP" (RFC 9110 section 5.5).
fn extend_clean(out: &mut Vec<u8>, value: &[u8]) {
    let clean = |byte: &u8| match byte {
        b'\t' => b'\t',
        byte if byte.is_ascii_control() => b' ',
        byte => *byte,
    };
    out.extend(value.iter().map(clean));
}

type Start = (StartLine, Version, &'static [u8]);

/// Splits at the first and the last space, so that a target with spaces is kept whole.
fn request_line(head: &Bytes, line: &[u8]) -> Option<Start> {
    let gap = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (method, rest) = line.split_at(gap);
    if method.is_empty() || !method.iter().all(recognise::is_token) {
        return None;
    }
    let rest = rest.trim_ascii();
    let digit = |at: usize| rest.get(at + 8).filter(|digit| digit.is_ascii_digit());
    let named = memchr::memmem::rfind(rest, b" HTTP/1.").and_then(|at| Some((at, digit(at)?)));
    let (target, version) = match named {
        Some((at, digit)) => (rest.get(..at)?.trim_ascii(), Version::one(digit - b'0')),
        None if !recognise::is_known(method) => return None,
        // Only a line that was cut before its version has no end.
        None if !head.contains(&b'\n') => (
            rest.split(|byte| *byte == b' ')
                .next()
                .filter(|target| !target.is_empty())?,
            Version::one(1),
        ),
        None => (rest, Version::Missing),
    };
    let start = StartLine::Request {
        method: Bytes::copy_from_slice(method),
        target: Bytes::copy_from_slice(target),
    };
    Some((start, version, b"GET / HTTP/1.1"))
}

fn status_line(line: &[u8]) -> Option<Start> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let (version, rest) = rest.split_at_checked(3)?;
    let version = match version {
        [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Version::Named(major - b'0', minor - b'0')
        }
        _ => return None,
    };
    let rest = rest.trim_ascii_start();
    let (code, reason) = rest.split_at_checked(3)?;
    code.iter().all(u8::is_ascii_digit).then_some(())?;
    let status = std::str::from_utf8(code).ok()?.parse().ok()?;
    let start = StartLine::Response {
        status,
        reason: Bytes::copy_from_slice(reason.trim_ascii()),
    };
    Some((start, version, b"HTTP/1.1 200 OK"))
}
