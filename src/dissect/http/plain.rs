//! Heads as programs write them: printable ASCII, CRLF at each line's end, nothing folded.
//!
//! In: the bytes of one direction from where a message begins. Out: start line and fields as slices,
//! equal to what `httparse` makes of them, at half the cost. Never: a judgement on a head that is
//! written in any other way; that one is read again by `httparse`.

use super::parser::MAX_FIELDS;

/// Bytes of ` HTTP/1.1`.
const VERSION: usize = 9;

/// The line that tells requests from responses; the number is the minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First<'h> {
    /// Method and request target.
    Request(&'h [u8], &'h [u8], u8),
    /// Status code and reason phrase.
    Response(u16, &'h [u8], u8),
}

/// Reads the head at the front of `bytes`, calls `each` with name and value of its fields and tells
/// its length; `None` when it is not whole, or not plain.
pub(super) fn head<'h>(
    bytes: &'h [u8],
    asks: bool,
    mut each: impl FnMut(&'h [u8], &'h [u8]),
) -> Option<(First<'h>, usize)> {
    let mut ends = memchr::memchr_iter(b'\n', bytes);
    let end = ends.next()?;
    let line = bytes.get(..end)?.strip_suffix(b"\r")?;
    let first = match asks {
        true => request_line(line)?,
        false => status_line(line)?,
    };
    let mut start = end + 1;
    for _ in 0..=MAX_FIELDS {
        let end = ends.next()?;
        let line = bytes.get(start..end)?.strip_suffix(b"\r")?;
        start = end + 1;
        if line.is_empty() {
            return Some((first, start));
        }
        let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        // One space, as nearly everybody writes it, and none at the end.
        let value = value.strip_prefix(b": ")?;
        if !is_name(name) || !is_printable(value) || is_space(value.first()) {
            return None;
        }
        if is_space(value.last()) {
            return None;
        }
        each(name, value);
    }
    None
}

fn request_line(line: &[u8]) -> Option<First<'_>> {
    let (front, version) = line.split_at_checked(line.len().checked_sub(VERSION)?)?;
    let minor = minor(version.strip_prefix(b" ")?)?;
    let gap = memchr::memchr(b' ', front)?;
    let (method, target) = (front.get(..gap)?, front.get(gap + 1..)?);
    let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase);
    let is_target = !target.is_empty() && is_printable(target) && !target.contains(&b' ');
    (is_method && is_target).then_some(First::Request(method, target, minor))
}

fn status_line(line: &[u8]) -> Option<First<'_>> {
    let (version, rest) = line.split_at_checked(VERSION - 1)?;
    let minor = minor(version)?;
    let [b' ', a, b, c, b' ', reason @ ..] = rest else {
        return None;
    };
    let is_code = [a, b, c].into_iter().all(u8::is_ascii_digit);
    if !is_code || !is_printable(reason) {
        return None;
    }
    let digit = |digit: &u8| u16::from(digit - b'0');
    let status = digit(a) * 100 + digit(b) * 10 + digit(c);
    Some(First::Response(status, reason, minor))
}

fn minor(version: &[u8]) -> Option<u8> {
    match version {
        b"HTTP/1.1" => Some(1),
        b"HTTP/1.0" => Some(0),
        _ => None,
    }
}

fn is_space(byte: Option<&u8>) -> bool {
    // A value without any byte is left to the other reader as well.
    byte.is_none_or(|byte| *byte == b' ')
}

/// All bytes are looked at, so that many are looked at at once.
fn is_printable(bytes: &[u8]) -> bool {
    let fits = |byte: &u8| (b' '..=b'~').contains(byte);
    bytes.iter().fold(true, |all, byte| all & fits(byte))
}

fn is_name(name: &[u8]) -> bool {
    let fits = |byte: &u8| {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        letter | (byte.wrapping_sub(b'0') < 10) | (*byte == b'-') | (*byte == b'_')
    };
    !name.is_empty() && name.iter().fold(true, |all, byte| all & fits(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = (String, usize, Vec<(Vec<u8>, Vec<u8>)>);

    fn plain(bytes: &[u8], asks: bool) -> Option<Read> {
        let mut fields = Vec::new();
        let (first, size) = head(bytes, asks, |name, value| {
            fields.push((name.to_vec(), value.to_vec()));
        })?;
        let first = match first {
            First::Request(method, target, minor) => {
                let text = String::from_utf8_lossy;
                format!("{} {} {minor}", text(method), text(target))
            }
            First::Response(status, reason, minor) => {
                format!("{status} {} {minor}", String::from_utf8_lossy(reason))
            }
        };
        Some((first, size, fields))
    }

    fn by_httparse(bytes: &[u8], asks: bool) -> Option<Read> {
        let mut storage = [httparse::EMPTY_HEADER; 16];
        let (first, status, fields) = match asks {
            true => {
                let mut request = httparse::Request::new(&mut storage);
                let status = request.parse(bytes).ok()?;
                let (method, target) = (request.method?, request.path?);
                let first = format!("{method} {target} {}", request.version?);
                (first, status, request.headers.to_vec())
            }
            false => {
                let mut response = httparse::Response::new(&mut storage);
                let status = response.parse(bytes).ok()?;
                let (code, reason) = (response.code?, response.reason?);
                let first = format!("{code} {reason} {}", response.version?);
                (first, status, response.headers.to_vec())
            }
        };
        let httparse::Status::Complete(size) = status else {
            return None;
        };
        let fields = fields
            .iter()
            .map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec()));
        Some((first, size, fields.collect()))
    }

    const SAMPLES: [(&[u8], bool); 5] = [
        (
            b"GET /a?b=c HTTP/1.1\r\nHost: shop\r\nX-A_1: b c\r\n\r\nbody\n",
            true,
        ),
        (b"OPTIONS * HTTP/1.0\r\n\r\n", true),
        (
            b"HTTP/1.1 200 OK\r\nServer: nginx/1.22\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
        (b"HTTP/1.0 404 Not Found\r\nETag: \"a:b\"\r\n\r\n", false),
        (b"HTTP/1.1 599 \r\nA: b\r\n\r\n", false),
    ];

    #[test]
    fn usual_heads_are_plain() {
        for (bytes, asks) in SAMPLES {
            let read = plain(bytes, asks);
            assert!(read.is_some(), "{}", String::from_utf8_lossy(bytes));
            assert_eq!(read, by_httparse(bytes, asks));
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_is_read_as_httparse_reads_it(
            sample in 0..SAMPLES.len(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 1..4),
        ) {
            const LIKELY: &[u8] = b"\r\n\t :;\"\x00\x7f\x80\xff09azAZ/.?-_~";
            let (bytes, asks) = SAMPLES[sample];
            let mut bytes = bytes.to_vec();
            for (at, what, byte) in changes {
                let at = at.index(bytes.len());
                let byte = match what {
                    0 => byte,
                    _ => LIKELY[usize::from(byte) % LIKELY.len()],
                };
                match what {
                    0 | 1 => bytes[at] = byte,
                    2 => bytes.insert(at, byte),
                    _ => drop(bytes.drain(at..)),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            if let Some(read) = plain(&bytes, asks) {
                prop_assert_eq!(Some(read), by_httparse(&bytes, asks));
            }
        }
    }
}
