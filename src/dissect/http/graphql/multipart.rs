//! The first part of a form that uploads files with a GraphQL operation.
//!
//! In: a content type and the body behind it, perhaps cut at its end. Out: the value of `operations`.
//! Never: files, or more of the form than its first two parts. Standards: the GraphQL multipart
//! request specification (`operations`, then `map`, then files), RFC 7578, RFC 2046 section 5.1.1.

use memchr::memmem;

/// Longest boundary (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// Bytes of one part's header fields that are looked at.
const MAX_FIELDS: usize = 1024;

/// Bytes in front of the first boundary that are passed over.
const MAX_PREAMBLE: usize = 1024;

/// The value of the part `operations` when it comes first and `map` behind it, or the body ends
/// before that can be told.
pub(super) fn operations<'b>(content_type: &[u8], body: &'b [u8]) -> Option<&'b [u8]> {
    let boundary = boundary(content_type)?;
    let front = body.get(..body.len().min(MAX_PREAMBLE))?;
    let start = delimiters(front, boundary).next()?;
    let rest = body.get(start..)?;
    let mut marks = delimiters(rest, boundary);
    let first = part(rest, marks.next()?, boundary)?;
    let (fields, value) = split(first)?;
    (name_of(fields)? == b"operations").then_some(())?;
    let Some(end) = marks.next() else {
        return Some(value);
    };
    let length = value.len().checked_sub(rest.len().checked_sub(end)?)?;
    let value = value.get(..length)?;
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let next = part(rest, end, boundary)?;
    match split(next).map(|(fields, _)| fields) {
        Some(fields) => (name_of(fields)? == b"map").then_some(value),
        // The closing delimiter has two dashes behind it.
        None => (!next.starts_with(b"--")).then_some(value),
    }
}

/// What follows the delimiter at `at`.
fn part<'b>(body: &'b [u8], at: usize, boundary: &[u8]) -> Option<&'b [u8]> {
    body.get(at + 2 + boundary.len()..)
}

/// Where lines begin with the delimiter: two dashes and the boundary.
fn delimiters<'b>(body: &'b [u8], boundary: &'b [u8]) -> impl Iterator<Item = usize> {
    memmem::find_iter(body, boundary).filter_map(move |at| {
        let start = at.checked_sub(2)?;
        let starts_line = start == 0 || body.get(start - 1) == Some(&b'\n');
        (starts_line && body.get(start..at) == Some(b"--")).then_some(start)
    })
}

/// Header fields and content of a part, from behind its delimiter on.
fn split(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let front = part.get(..part.len().min(MAX_FIELDS))?;
    let at = memmem::find(front, b"\r\n\r\n")?;
    Some((part.get(..at)?, part.get(at + 4..)?))
}

/// The name that a part's Content-Disposition gives it.
fn name_of(fields: &[u8]) -> Option<&[u8]> {
    let mut lines = fields.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        name.eq_ignore_ascii_case(b"content-disposition")
            .then_some(value)
    })?;
    parameter(value, b"name")
}

/// The boundary that a content type names.
fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    parameter(content_type, b"boundary")
        .filter(|boundary| (1..=MAX_BOUNDARY).contains(&boundary.len()))
}

/// A parameter of a field value, without its quotes; one with escaped letters is none.
fn parameter<'v>(value: &'v [u8], wanted: &[u8]) -> Option<&'v [u8]> {
    value.split(|byte| *byte == b';').skip(1).find_map(|pair| {
        let (name, value) = pair.split_at_checked(memchr::memchr(b'=', pair)?)?;
        let value = value.strip_prefix(b"=")?.trim_ascii();
        let value = match value.strip_prefix(b"\"") {
            Some(quoted) => quoted.strip_suffix(b"\"")?,
            None => value,
        };
        name.trim_ascii()
            .eq_ignore_ascii_case(wanted)
            .then_some(value)
    })
}
