//! Secrets in text: header fields, cookies, query parameters, forms.
//!
//! In: a value as it stands on the wire. Out: which of its bytes go. Never: bytes changed.
//! Standards: RFC 9110, RFC 6265, RFC 3986, the URL standard's form encoding.

use std::ops::Range;

use percent_encoding::percent_decode;

use super::Redactor;

impl Redactor {
    /// What goes of the value of a header field; `name` in any case.
    pub(super) fn in_header(&self, name: &[u8], value: &[u8]) -> Vec<Range<usize>> {
        if self.rule.hides_header(name) {
            return whole(value);
        }
        if name.eq_ignore_ascii_case(b"cookie") {
            return self.in_cookies(value);
        }
        if name.eq_ignore_ascii_case(b"set-cookie") {
            return self.in_set_cookie(value);
        }
        if name == b":path" || value.contains(&b'?') || value.contains(&b'@') {
            return self.in_target(value);
        }
        Vec::new()
    }

    /// Values of `Cookie: a=1; b=2`.
    fn in_cookies(&self, value: &[u8]) -> Vec<Range<usize>> {
        pairs(value, 0, b";")
            .filter(|(name, _)| {
                self.rule
                    .hides_cookie(value.get(name.clone()).unwrap_or_default().trim_ascii())
            })
            .map(|(_, value)| value)
            .collect()
    }

    /// The value of `Set-Cookie: a=1; Path=/`.
    fn in_set_cookie(&self, value: &[u8]) -> Vec<Range<usize>> {
        pairs(value, 0, b";")
            .take(1)
            .filter(|(name, _)| {
                self.rule
                    .hides_cookie(value.get(name.clone()).unwrap_or_default().trim_ascii())
            })
            .map(|(_, value)| value)
            .collect()
    }

    /// Parameters of a request target or URL, and who logs in with it.
    pub(super) fn in_target(&self, target: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if !self.rule.headers.is_empty()
            && let Some(scheme) = memchr::memmem::find(target, b"://")
        {
            let host = scheme + 3;
            let rest = target.get(host..).unwrap_or_default();
            let end = rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?' | b'#'));
            let authority = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            if let Some(at) = authority.iter().rposition(|byte| *byte == b'@') {
                found.push(host..host + at);
            }
        }
        if let Some(mark) = target.iter().position(|byte| *byte == b'?') {
            let end = target
                .iter()
                .position(|byte| *byte == b'#')
                .unwrap_or(target.len());
            if mark < end {
                found.extend(self.in_parameters(target.get(..end).unwrap_or_default(), mark + 1));
            }
        }
        if let Some(mark) = target.iter().position(|byte| *byte == b'#') {
            found.extend(self.in_parameters(target, mark + 1));
        }
        found
    }

    /// Values of `a=1&b=2` from `from` on.
    pub(super) fn in_parameters(&self, text: &[u8], from: usize) -> Vec<Range<usize>> {
        pairs(text, from, b"&;")
            .filter(|(name, _)| {
                let name = text.get(name.clone()).unwrap_or_default();
                let name: Vec<u8> = percent_decode(name).collect();
                self.rule.hides_parameter(name.trim_ascii())
            })
            .map(|(_, value)| value)
            .collect()
    }
}

/// All of a value, if there is any.
pub(super) fn whole(value: &[u8]) -> Vec<Range<usize>> {
    match value.is_empty() {
        true => Vec::new(),
        false => std::iter::once(0..value.len()).collect(),
    }
}

/// Names and values of `name=value` between any of `separators`.
fn pairs<'a>(
    text: &'a [u8],
    from: usize,
    separators: &'a [u8],
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + 'a {
    let mut at = from;
    std::iter::from_fn(move || {
        while at < text.len() {
            let rest = text.get(at..)?;
            let end = rest
                .iter()
                .position(|byte| separators.contains(byte))
                .unwrap_or(rest.len());
            let begin = at;
            at = begin + end + 1;
            let pair = rest.get(..end)?;
            if let Some(mark) = pair.iter().position(|byte| *byte == b'=') {
                return Some((begin..begin + mark, begin + mark + 1..begin + end));
            }
        }
        None
    })
}
