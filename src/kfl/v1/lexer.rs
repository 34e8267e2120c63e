//! Tokens of the first dialect (reference section 2).
//!
//! In: query text. Out: tokens with their byte offsets, ending in [`Kind::End`]. Never: an error;
//! what is no token becomes one that no parser accepts, so that the leftmost mistake is reported.

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A name.
    Ident,
    /// A whole number; `None` when it does not fit 64 bits.
    Int(Option<i64>),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// A string; the quotes are not part of `inner`.
    Str { quote: char },
    /// One of ``( ) [ ] . , : * ! = < > -``.
    Punct(char),
    /// A string or comment without an end.
    Open,
    /// A character that starts no token.
    Stray,
    /// The end of the text.
    End,
}

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token<'t> {
    pub kind: Kind,
    /// The token as written.
    pub text: &'t str,
    /// Offset of its first byte.
    pub offset: usize,
}

impl<'t> Token<'t> {
    /// The text between the quotes.
    pub(crate) fn inner(&self) -> &'t str {
        let end = self.text.len().saturating_sub(1);
        self.text.get(1..end).unwrap_or_default()
    }
}

/// All tokens of `text`.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        if blank > 0 {
            at += blank;
            continue;
        }
        if rest.starts_with('#') || rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with("/*")
            && let Some(end) = rest.get(2..).and_then(|inner| inner.find("*/"))
        {
            at += end + 4;
            continue;
        }
        let (kind, length) = scan(rest);
        found.push(Token {
            text: rest.get(..length).unwrap_or(rest),
            offset: at,
            kind: kind.clone(),
        });
        if kind == Kind::End {
            return found;
        }
        at += length;
    }
}

fn scan(rest: &str) -> (Kind, usize) {
    let Some(first) = rest.chars().next() else {
        return (Kind::End, 0);
    };
    match first {
        _ if first == '_' || first.is_alphabetic() => (Kind::Ident, ident(rest)),
        '0'..='9' => number(rest),
        '.' if rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => number(rest),
        '"' | '\'' | '`' => string(rest, first),
        '/' if rest.starts_with("/*") => (Kind::Open, rest.len()),
        '(' | ')' | '[' | ']' | '.' | ',' | ':' | '*' | '!' | '=' | '<' | '>' | '-' => {
            (Kind::Punct(first), 1)
        }
        _ => (Kind::Stray, first.len_utf8()),
    }
}

/// Length of the name at the start of `rest`.
pub(crate) fn ident(rest: &str) -> usize {
    rest.find(|c: char| c != '_' && !c.is_alphanumeric())
        .unwrap_or(rest.len())
}

fn digits(rest: &str) -> usize {
    let mut length = 0;
    let bytes = rest.as_bytes();
    while let Some(byte) = bytes.get(length) {
        let inside =
            *byte == b'_' && length > 0 && bytes.get(length + 1).is_some_and(u8::is_ascii_digit);
        if !byte.is_ascii_digit() && !inside {
            break;
        }
        length += 1;
    }
    length
}

fn number(rest: &str) -> (Kind, usize) {
    let whole = digits(rest);
    let mut length = whole;
    let after = |at: usize| rest.get(at..).unwrap_or_default();
    let mut exact = true;
    // `5..x` is a number and a descent nobody can write, `5.x` a number and a name: both are errors
    // later, whichever way the dot goes.
    if after(length).starts_with('.') {
        exact = false;
        length += 1;
        length += digits(after(length));
    }
    if let Some(tail) = after(length).strip_prefix(['e', 'E']) {
        let sign = usize::from(tail.starts_with(['+', '-']));
        let power = digits(tail.get(sign..).unwrap_or_default());
        if power > 0 {
            exact = false;
            length += 1 + sign + power;
        }
    }
    let plain: String = rest
        .get(..length)
        .unwrap_or_default()
        .chars()
        .filter(|c| *c != '_')
        .collect();
    if exact {
        return (Kind::Int(plain.parse().ok()), length);
    }
    (Kind::Float(plain.parse().unwrap_or(f64::INFINITY)), length)
}

fn string(rest: &str, quote: char) -> (Kind, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' if quote != '`' => break,
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return (Kind::Str { quote }, at + 1),
            _ => {}
        }
    }
    (Kind::Open, rest.len())
}

/// The second value of a string literal: escapes taken as such; `None` without a backslash.
pub(crate) fn unescaped(verbatim: &str) -> Option<String> {
    if !verbatim.contains('\\') {
        return None;
    }
    let mut out = String::with_capacity(verbatim.len());
    let mut rest = verbatim;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        let (made, length) = escape(rest);
        match made {
            Some(made) => out.push(made),
            None => out.push_str(rest.get(..length).unwrap_or_default()),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    Some(out)
}

/// The character that an escape stands for, and the bytes the escape takes.
fn escape(rest: &str) -> (Option<char>, usize) {
    let Some(sign) = rest.chars().nth(1) else {
        return (None, rest.len());
    };
    let hex = |count: usize| {
        let made = rest
            .get(2..2 + count)
            .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
            .and_then(char::from_u32);
        (made, if made.is_some() { 2 + count } else { 2 })
    };
    match sign {
        'n' => (Some('\n'), 2),
        't' => (Some('\t'), 2),
        'r' => (Some('\r'), 2),
        'a' => (Some('\x07'), 2),
        'b' => (Some('\x08'), 2),
        'f' => (Some('\x0c'), 2),
        'v' => (Some('\x0b'), 2),
        '\\' | '"' | '\'' | '`' | '/' => (Some(sign), 2),
        'x' => hex(2),
        'u' => hex(4),
        _ => (None, 1 + sign.len_utf8()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn comments_and_blanks_are_between_tokens() {
        assert_eq!(
            kinds("a // x\n /* y\n */ b # z"),
            [Kind::Ident, Kind::Ident, Kind::End]
        );
        assert_eq!(kinds("a /* open"), [Kind::Ident, Kind::Open, Kind::End]);
    }

    #[test]
    fn numbers_have_three_forms() {
        assert_eq!(
            kinds("017 1_000 .5 5. 1e3 99999999999999999999"),
            [
                Kind::Int(Some(17)),
                Kind::Int(Some(1000)),
                Kind::Float(0.5),
                Kind::Float(5.0),
                Kind::Float(1000.0),
                Kind::Int(None),
                Kind::End
            ]
        );
    }

    #[test]
    fn escapes_give_a_second_text() {
        assert_eq!(unescaped("plain"), None);
        assert_eq!(
            unescaped(r#"a\"b\n\d\x41\u00e9\x4"#).as_deref(),
            Some("a\"b\n\\dAé\\x4")
        );
    }
}
