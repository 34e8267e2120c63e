//! What the start of an HTTP/1.x message looks like: for detection, and for finding the way back.
//!
//! In: bytes from anywhere in a stream. Out: whether a message begins here, or where the next one
//! does. Never: state. Standard: RFC 9112 sections 2, 3 and 4.

use memchr::memmem;

/// Longest method that is believed; the registered ones have at most 17 letters.
const MAX_METHOD: usize = 24;

/// Longest piece of a line that is kept while looking for a request line cut by a chunk's end.
const MAX_LINE_KEPT: usize = 8 * 1024;

/// Bytes of `HTTP/1.1 200`, the shortest that tells a status line.
const STATUS_LINE: usize = 12;

/// Bytes of empty lines that may stand in front of the first request: what clients of old sent behind
/// a body is one line end.
const MAX_BLANK: usize = 16;

/// Methods known by name; others are taken where a whole request line vouches for them.
const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"CONNECT",
    b"TRACE",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"REPORT",
    b"SEARCH",
    b"MKCALENDAR",
    b"MERGE",
    b"NOTIFY",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"M-SEARCH",
    b"PURGE",
    b"LINK",
    b"UNLINK",
    b"BIND",
    b"ACL",
    b"CHECKOUT",
    b"CCM_POST",
];

/// Whether bytes are the start of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// They are.
    Yes,
    /// So far nothing speaks against it.
    Maybe,
    /// They are not.
    No,
}

/// Whether `bytes` begin with a status line, of whatever version it says it is.
pub(super) fn response(bytes: &[u8]) -> Looks {
    const SHAPE: &[u8; STATUS_LINE] = b"HTTP/0.0 000";
    let fits = bytes.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        shape => byte == shape,
    });
    match fits {
        true if bytes.len() >= STATUS_LINE => Looks::Yes,
        true => Looks::Maybe,
        false => Looks::No,
    }
}

/// Whether `bytes` begin with a request line of HTTP/1.x.
pub(super) fn request(bytes: &[u8]) -> Looks {
    let line_end = memchr::memchr(b'\n', bytes);
    let line = bytes
        .get(..line_end.unwrap_or(bytes.len()))
        .unwrap_or_default();
    let method_end = memchr::memchr(
        b' ',
        line.get(..line.len().min(MAX_METHOD + 1)).unwrap_or(line),
    );
    let Some(method_end) = method_end else {
        let open = line_end.is_none() && line.len() <= MAX_METHOD && line.iter().all(is_token);
        return if open { Looks::Maybe } else { Looks::No };
    };
    let (method, rest) = line.split_at(method_end);
    if method.is_empty() || !method.iter().all(is_token) {
        return Looks::No;
    }
    match line_end {
        Some(_) if ends_with_version(rest) => Looks::Yes,
        Some(_) => Looks::No,
        // A request target is an origin, absolute, authority or asterisk form (RFC 9112 section
        // 3.2), so it begins with one of these; binary protocols fall here.
        None => match rest.get(1) {
            None => Looks::Maybe,
            Some(b'/' | b'*' | b'[') => Looks::Maybe,
            Some(byte) if byte.is_ascii_alphanumeric() && is_known(method) => Looks::Maybe,
            Some(_) => Looks::No,
        },
    }
}

/// What a client sent first, without the empty lines in front of it: "a server ... SHOULD ignore at
/// least one empty line (CRLF) received prior to the request-line" (RFC 9112 section 2.2).
pub(super) fn without_blank(bytes: &[u8]) -> &[u8] {
    let front = bytes.iter().take(MAX_BLANK);
    let blank = front.take_while(|byte| matches!(byte, b'\r' | b'\n'));
    bytes.get(blank.count()..).unwrap_or_default()
}

/// Whether `bytes` begin with a known method and the start of a path.
pub(super) fn begins_request(bytes: &[u8]) -> bool {
    let mut words = bytes.splitn(2, |byte| *byte == b' ');
    words.next().is_some_and(is_known) && words.next().is_some_and(|rest| rest.starts_with(b"/"))
}

/// Whether `bytes` begin with a known method, whatever follows it.
pub(super) fn begins_with_method(bytes: &[u8]) -> bool {
    let end = bytes
        .iter()
        .take(MAX_METHOD)
        .position(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    end.and_then(|end| bytes.get(..end)).is_some_and(is_known)
}

/// Whether `method` is one of the known methods.
pub(super) fn is_known(method: &[u8]) -> bool {
    METHODS.contains(&method)
}

/// Whether the bytes could be the connection preface of HTTP/2 (RFC 9113 section 3.4).
pub(super) fn http2_preface(bytes: &[u8]) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2";
    bytes.len() >= 4 && bytes.iter().zip(PREFACE).all(|(byte, shape)| byte == shape)
}

/// Where the next message may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// At this offset.
    At(usize),
    /// Nowhere before this offset.
    NotBefore(usize),
}

/// Looks for a status line anywhere: a body need not end with a line end.
pub(super) fn find_response(bytes: &[u8]) -> Found {
    let mut from = 0;
    while let Some(at) = memmem::find(bytes.get(from..).unwrap_or_default(), b"HTTP/1.") {
        let at = from + at;
        match response(bytes.get(at..).unwrap_or_default()) {
            Looks::Yes => return Found::At(at),
            Looks::Maybe => return Found::NotBefore(at),
            Looks::No => from = at + 1,
        }
    }
    let tail = bytes.len().saturating_sub(STATUS_LINE - 1);
    let cut = (tail..bytes.len())
        .find(|at| response(bytes.get(*at..).unwrap_or_default()) == Looks::Maybe)
        .unwrap_or(bytes.len());
    Found::NotBefore(cut)
}

/// Looks for a request line: at the start of a line, or behind a body when its method is known.
pub(super) fn find_request(bytes: &[u8]) -> Found {
    for version in memmem::find_iter(bytes, b" HTTP/1.") {
        let (before, after) = bytes.split_at(version);
        let whole = match after.get(8..) {
            Some([digit, b'\n', ..] | [digit, b'\r', b'\n', ..]) => digit.is_ascii_digit(),
            _ => false,
        };
        let Some(gap) = memchr::memrchr(b' ', before).filter(|_| whole) else {
            continue;
        };
        let target = before.get(gap + 1..).unwrap_or_default();
        let ahead = before.get(..gap).unwrap_or_default();
        let run = ahead.iter().rev().take_while(|byte| is_token(byte)).count();
        let token = ahead.get(ahead.len() - run..).unwrap_or_default();
        if target.is_empty() || target.contains(&b'\n') || token.is_empty() {
            continue;
        }
        let starts_line = match ahead.get(..ahead.len() - run) {
            None | Some([]) => true,
            Some(rest) => rest.ends_with(b"\n"),
        };
        if starts_line && (is_known(token) || token.iter().all(is_loud)) && run <= MAX_METHOD {
            return Found::At(gap - run);
        }
        let known = METHODS
            .iter()
            .filter(|method| token.ends_with(method))
            .max_by_key(|method| method.len());
        if let Some(method) = known {
            return Found::At(gap - method.len());
        }
    }
    let line = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
    Found::NotBefore(line.max(bytes.len().saturating_sub(MAX_LINE_KEPT)))
}

/// ` target HTTP/1.x` with any line end already cut at LF.
fn ends_with_version(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_end();
    let Some(tail) = rest.len().checked_sub(9).and_then(|at| rest.get(at..)) else {
        return false;
    };
    tail.starts_with(b" HTTP/1.") && tail.last().is_some_and(u8::is_ascii_digit) && rest.len() > 10
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn is_loud(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_http_are_not_taken_for_it() {
        for other in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"EHLO example.org\r\n",
            b"OPTIONS rtsp://cam/1 RTSP/1.0\r\nCSeq: 1\r\n",
            b"INVITE sip:bob@example.org SIP/2.0\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET cart:7\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"USER anonymous\r\n",
        ] {
            assert_eq!(request(other), Looks::No, "{}", other.escape_ascii());
            assert_eq!(response(other), Looks::No, "{}", other.escape_ascii());
        }
        assert!(http2_preface(b"PRI * HTTP/2.0\r\n"));
    }

    #[test]
    fn a_request_line_is_known_only_when_it_is_whole() {
        assert_eq!(request(b"GE"), Looks::Maybe);
        assert_eq!(request(b"GET /a"), Looks::Maybe);
        assert_eq!(request(b"GET /a HTTP/1.1\r\n"), Looks::Yes);
        assert_eq!(request(b"CCM_POST /a HTTP/1.1\n"), Looks::Yes);
        assert_eq!(response(b"HTTP/1."), Looks::Maybe);
        assert_eq!(response(b"HTTP/1.1 200 OK"), Looks::Yes);
        assert_eq!(response(b"HTTP/2 200"), Looks::No);
    }

    #[test]
    fn the_next_head_is_found_behind_a_body() {
        assert_eq!(find_request(b"qty=1GET /a HTTP/1.1\r\n"), Found::At(5));
        assert_eq!(find_request(b"x\r\nFETCH /a HTTP/1.1\r\n"), Found::At(3));
        assert_eq!(find_request(b"a\nGET /a HTT"), Found::NotBefore(2));
        assert_eq!(find_response(b"...HTTP/1.x HTTP/1.0 404 "), Found::At(12));
        assert_eq!(find_response(b"...HTTP/1.1 2"), Found::NotBefore(3));
        assert_eq!(find_response(b"...HT"), Found::NotBefore(3));
    }
}
