//! HTTP/1: header fields, targets and bodies of both directions.
//!
//! In: what was captured of a connection. Out: the same with named values overwritten. Never: a
//! message whose head cannot be read left alone. Standards: RFC 9110, RFC 9112.

use std::collections::VecDeque;
use std::ops::Range;

use super::body::Kind;
use super::side::Side;
use super::{Payload, Redactor};

/// Longest head that is looked for.
const MAX_HEAD: usize = 256 * 1024;

/// Requests whose responses are still to come.
const MAX_ASKED: usize = 65_536;

/// Where a direction stands.
#[derive(Debug, Default, Clone)]
enum Place {
    /// At the start of a message.
    #[default]
    Head,
    /// Within a body of known length.
    Body { left: u64, hide: bool },
    /// Within something that goes on to the end.
    Rest { hide: bool },
    /// Nobody knows where the next message begins.
    Lost,
}

/// How a request was asked, as far as it matters for its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Head,
    Connect,
    Other,
}

/// A connection from reel to reel.
#[derive(Debug, Default, Clone)]
pub(super) struct Http1 {
    places: [Place; 2],
    asked: VecDeque<Asked>,
}

/// A head that was read.
struct Read {
    /// Behind its empty line.
    end: usize,
    kind: Kind,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

/// What follows a head.
enum Framing {
    None,
    Length(u64),
    Chunked,
    ToEnd,
}

impl Http1 {
    /// Joins a connection of which nothing is known.
    pub(super) fn joined() -> Http1 {
        Http1 {
            places: [Place::Lost, Place::Lost],
            asked: VecDeque::new(),
        }
    }

    /// Overwrites what must go; both sides go on from where they stood.
    pub(super) fn rewrite(&mut self, redactor: &Redactor, sides: &mut [Side; 2]) {
        let [to_server, to_client] = sides;
        self.walk(redactor, to_server, true);
        self.walk(redactor, to_client, false);
    }

    fn walk(&mut self, redactor: &Redactor, side: &mut Side, asks: bool) {
        let index = usize::from(!asks);
        let mut place = std::mem::take(&mut self.places[index]);
        let mut at = 0;
        while at < side.bytes.len() {
            (at, place) = match place {
                Place::Lost => match side.next_start(at, |bytes| begins(bytes, asks)) {
                    Some(start) => {
                        side.hide(at..start);
                        (start, Place::Head)
                    }
                    None => {
                        side.hide(at..side.bytes.len());
                        (side.bytes.len(), Place::Lost)
                    }
                },
                Place::Rest { hide } => {
                    if hide {
                        side.hide(at..side.bytes.len());
                    }
                    (side.bytes.len(), Place::Rest { hide })
                }
                Place::Body { left, hide } => {
                    let moved = side.advance(at, left);
                    if hide {
                        side.hide(at..moved.to);
                    }
                    match moved.left {
                        0 => (moved.to, Place::Head),
                        left => (moved.to, Place::Body { left, hide }),
                    }
                }
                Place::Head => self.message(redactor, side, at, asks),
            };
        }
        self.places[index] = place;
    }

    /// One message from its head on.
    fn message(
        &mut self,
        redactor: &Redactor,
        side: &mut Side,
        at: usize,
        asks: bool,
    ) -> (usize, Place) {
        let blank = side
            .rest(at)
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let at = at + blank;
        if at >= side.bytes.len() {
            return (at, Place::Head);
        }
        let Some((start, head)) = head(redactor, side, at, asks) else {
            let to = side.reach(at);
            // Not a byte further than needed: a message may begin in the next packet.
            let next = side
                .next_start(at + 1, |bytes| begins(bytes, asks))
                .unwrap_or(to)
                .min(to)
                .max(at + 1);
            side.hide(at..next);
            return (next, Place::Lost);
        };
        let framing = match asks {
            true => self.after_request(&start, &head),
            false => self.after_response(&start, &head, side),
        };
        let gap = side.is_behind_gap(head.end);
        match framing {
            Framing::Length(_) | Framing::Chunked if gap => (head.end, Place::Lost),
            Framing::None if head.upgrade && asks => (
                head.end,
                Place::Rest {
                    hide: !redactor.rule.keeps("ws"),
                },
            ),
            Framing::None => (head.end, Place::Head),
            Framing::ToEnd if head.upgrade => (
                head.end,
                Place::Rest {
                    hide: !redactor.rule.keeps("ws"),
                },
            ),
            Framing::ToEnd => to_end(redactor, side, &head),
            Framing::Length(count) => of_length(redactor, side, &head, count),
            Framing::Chunked => chunked(redactor, side, &head),
        }
    }

    fn after_request(&mut self, start: &[u8], head: &Read) -> Framing {
        let method = start.split(|byte| *byte == b' ').next().unwrap_or_default();
        let asked = match method {
            b"HEAD" => Asked::Head,
            b"CONNECT" => Asked::Connect,
            _ => Asked::Other,
        };
        if self.asked.len() < MAX_ASKED {
            self.asked.push_back(asked);
        }
        match (head.chunked, head.length) {
            _ if asked == Asked::Connect => Framing::ToEnd,
            (true, _) => Framing::Chunked,
            (false, Some(count)) if count > 0 => Framing::Length(count),
            _ => Framing::None,
        }
    }

    fn after_response(&mut self, start: &[u8], head: &Read, side: &Side) -> Framing {
        let status = start.get(9..12).unwrap_or_default();
        if status == b"101" {
            return Framing::ToEnd;
        }
        if status.starts_with(b"1") {
            return Framing::None;
        }
        let asked = self.asked.pop_front();
        if asked == Some(Asked::Connect) && status.starts_with(b"2") {
            return Framing::ToEnd;
        }
        // Without its request, a head right behind it says that there was no body.
        let unasked = asked.is_none() && begins(side.rest(head.end), false);
        if asked == Some(Asked::Head) || unasked || status == b"204" || status == b"304" {
            return Framing::None;
        }
        match (head.chunked, head.length) {
            (true, _) => Framing::Chunked,
            (false, Some(0)) => Framing::None,
            (false, Some(count)) => Framing::Length(count),
            (false, None) => Framing::ToEnd,
        }
    }
}

/// Whether bytes begin with a start line, as far as they go.
pub(super) fn begins(bytes: &[u8], asks: bool) -> bool {
    let line = bytes.get(
        ..bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(bytes.len()),
    );
    let line = line.unwrap_or_default().trim_ascii_end();
    if !asks {
        return line.starts_with(b"HTTP/1.")
            && line
                .get(9..12)
                .is_some_and(|code| code.iter().all(u8::is_ascii_digit));
    }
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let is_method = (1..=32).contains(&method.len())
        && method
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
    is_method
        && words
            .next_back()
            .is_some_and(|last| last.starts_with(b"HTTP/1."))
}

/// Reads a head and overwrites what goes of it; its start line as it was.
fn head(redactor: &Redactor, side: &mut Side, at: usize, asks: bool) -> Option<(Vec<u8>, Read)> {
    let rest = side.rest(at);
    let rest = rest.get(..rest.len().min(MAX_HEAD)).unwrap_or_default();
    if !begins(rest, asks) {
        return None;
    }
    let lines = lines(rest)?;
    let (first, fields) = lines.split_first()?;
    let start = rest.get(first.clone())?.to_vec();
    let mut read = Read {
        end: at
            + fields.last().map_or(first.end, |last| last.end)
            + tail(rest, fields.last().unwrap_or(first))?,
        kind: Kind::default(),
        length: None,
        chunked: false,
        upgrade: false,
    };
    let mut hidden: Vec<Range<usize>> = Vec::new();
    if asks {
        let target = start.iter().position(|byte| *byte == b' ')? + 1;
        let end = start.iter().rposition(|byte| *byte == b' ')?;
        let found = redactor.in_target(start.get(target..end)?);
        hidden.extend(
            found
                .into_iter()
                .map(|span| at + target + span.start..at + target + span.end),
        );
    }
    for line in fields {
        let text = rest.get(line.clone())?;
        let Some(colon) = text.iter().position(|byte| *byte == b':') else {
            hidden.push(at + line.start..at + line.end);
            continue;
        };
        let name = text.get(..colon)?.trim_ascii();
        let raw = text.get(colon + 1..)?;
        let lead = raw.len() - raw.trim_ascii_start().len();
        let value = raw.trim_ascii();
        let begin = at + line.start + colon + 1 + lead;
        let found = redactor.in_header(name, value);
        hidden.extend(
            found
                .into_iter()
                .map(|span| begin + span.start..begin + span.end),
        );
        read.kind.learn(name, value);
        if name.eq_ignore_ascii_case(b"content-length") {
            read.length = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let text = String::from_utf8_lossy(value).to_ascii_lowercase();
            for coding in text.split(',').map(str::trim) {
                match coding {
                    "chunked" => read.chunked = true,
                    other => read.kind.codings.push(other.to_owned()),
                }
            }
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            read.upgrade = value.eq_ignore_ascii_case(b"websocket");
        }
    }
    for part in hidden {
        side.hide(part);
    }
    Some((start, read))
}

/// The lines of a head without their ends, the start line first; `None` when its end is not there.
///
/// A folded line is a part of the one before it (RFC 9112 section 5.2).
fn lines(head: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut lines: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    loop {
        let rest = head.get(at..)?;
        let end = at + rest.iter().position(|byte| *byte == b'\n')?;
        let line = head.get(at..end)?;
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if text.is_empty() {
            return (!lines.is_empty()).then_some(lines);
        }
        match lines.last_mut() {
            Some(last) if matches!(text.first(), Some(b' ' | b'\t')) => last.end = at + text.len(),
            _ => lines.push(at..at + text.len()),
        }
        at = end + 1;
    }
}

/// Bytes between the end of a head's last line and what follows the head.
fn tail(head: &[u8], last: &Range<usize>) -> Option<usize> {
    let rest = head.get(last.end..)?;
    let mut ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.next()?;
    Some(ends.next()?.0 + 1)
}

fn of_length(redactor: &Redactor, side: &mut Side, head: &Read, count: u64) -> (usize, Place) {
    let moved = side.advance(head.end, count);
    let part = head.end..moved.to;
    if moved.holed || moved.left > 0 {
        let hide = head.kind.goes_undecoded(redactor);
        if hide {
            side.hide(part);
        }
        let place = match moved.left {
            0 => Place::Head,
            left => Place::Body { left, hide },
        };
        return (moved.to, place);
    }
    if let Some(body) = side.bytes.get_mut(part) {
        redactor.in_body(&head.kind, body);
    }
    (moved.to, Place::Head)
}

/// A body that ends with its connection; more of it may come in a later reel.
fn to_end(redactor: &Redactor, side: &mut Side, head: &Read) -> (usize, Place) {
    let hide = head.kind.goes_undecoded(redactor);
    let end = side.bytes.len();
    let whole = side.reach(head.end) == end;
    let part = head.end..end;
    match side.bytes.get_mut(part.clone()) {
        // What is JSON to its end is taken for all of it.
        Some(body) if whole && redactor.rule.payload == Payload::Full => {
            redactor.in_body(&head.kind, body);
        }
        _ if hide => side.hide(part),
        _ => {}
    }
    (end, Place::Rest { hide })
}

fn chunked(redactor: &Redactor, side: &mut Side, head: &Read) -> (usize, Place) {
    let mut at = head.end;
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut broken = false;
    let over = loop {
        let rest = side.rest(at);
        let Some(end) = rest.iter().take(1024).position(|byte| *byte == b'\n') else {
            break None;
        };
        let line = rest.get(..end).unwrap_or_default().trim_ascii();
        let digits = line
            .split(|byte| matches!(byte, b';' | b' '))
            .next()
            .unwrap_or_default();
        let size = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| u64::from_str_radix(text, 16).ok());
        let Some(size) = size.filter(|size| *size < 1 << 40) else {
            break None;
        };
        at += end + 1;
        if size == 0 {
            break trailer(redactor, side, at);
        }
        let moved = side.advance(at, size);
        pieces.push(at..moved.to);
        broken |= moved.holed || moved.left > 0;
        at = moved.to;
        if moved.left > 0 {
            break None;
        }
        let ends = side.rest(at);
        at += match ends {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => break None,
        };
    };
    let whole = over.is_some() && !broken;
    if whole {
        let mut body: Vec<u8> = pieces
            .iter()
            .filter_map(|part| side.bytes.get(part.clone()))
            .flatten()
            .copied()
            .collect();
        if redactor.in_body(&head.kind, &mut body) {
            let mut rest = body.as_slice();
            for part in pieces {
                if let Some(target) = side.bytes.get_mut(part)
                    && let Some((front, behind)) = rest.split_at_checked(target.len())
                {
                    target.copy_from_slice(front);
                    rest = behind;
                }
            }
        }
    } else if head.kind.goes_undecoded(redactor) {
        pieces.into_iter().for_each(|part| side.hide(part));
    }
    match over {
        Some(end) => (end, Place::Head),
        None => (at, Place::Lost),
    }
}

/// Overwrites what goes of the fields behind a chunked body; where the next message begins.
fn trailer(redactor: &Redactor, side: &mut Side, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = side.rest(at);
        let end = rest.iter().take(MAX_HEAD).position(|byte| *byte == b'\n')?;
        let line = rest.get(..end).unwrap_or_default();
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if text.is_empty() {
            return Some(at + end + 1);
        }
        let found: Vec<Range<usize>> = match text.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let raw = text.get(colon + 1..).unwrap_or_default();
                let begin = colon + 1 + raw.len() - raw.trim_ascii_start().len();
                let name = text.get(..colon).unwrap_or_default().trim_ascii();
                let spans = redactor.in_header(name, raw.trim_ascii());
                spans
                    .into_iter()
                    .map(|span| at + begin + span.start..at + begin + span.end)
                    .collect()
            }
            None => std::iter::once(at..at + text.len()).collect(),
        };
        at += end + 1;
        found.into_iter().for_each(|part| side.hide(part));
    }
}
