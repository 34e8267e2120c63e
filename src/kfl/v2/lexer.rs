//! Tokens of the second dialect (reference section 12.1).
//!
//! In: query text. Out: tokens with their byte offsets, ending in [`Kind::End`], and the mistake that
//! ended them early. Never: back-quoted strings or block comments, which this dialect does not have.

use crate::kfl::error::Error;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Ident,
    /// Magnitude of a whole number, and whether it has the suffix `u`.
    Int(u64, bool),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// An operator or a bracket.
    Sign,
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

const SIGNS: &[&str] = &[
    "||", "&&", "<=", ">=", "==", "!=", "?", ":", "<", ">", "+", "-", "*", "/", "%", "!", ".", ",",
    "[", "]", "{", "}", "(", ")",
];

/// What is no token.
struct Mistake {
    /// Offset from the start of the token.
    offset: usize,
    why: String,
    expected: &'static [&'static str],
}

impl Mistake {
    fn at(offset: usize, why: impl Into<String>) -> Mistake {
        Mistake {
            offset,
            why: why.into(),
            expected: &[],
        }
    }

    fn expecting(mut self, expected: &'static [&'static str]) -> Mistake {
        self.expected = expected;
        self
    }
}

/// The tokens of `text`, up to what is none.
///
/// The mistake is handed over beside them and not instead, so that the parser can report one of its
/// own that stands further left.
pub(crate) fn tokens(text: &str) -> (Vec<Token<'_>>, Option<Error>) {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let blank = rest.len()
            - rest
                .trim_start_matches([' ', '\t', '\r', '\n', '\x0c'])
                .len();
        if blank > 0 {
            at += blank;
            continue;
        }
        if rest.starts_with('#') || rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (kind, length, mistake) = match scan(rest) {
            Ok((kind, length)) => (kind, length, None),
            Err(mistake) => (Kind::End, 0, Some(mistake)),
        };
        let ends = kind == Kind::End;
        found.push(Token {
            kind,
            text: rest.get(..length).unwrap_or(rest),
            offset: at,
        });
        if ends {
            let error = mistake.map(
                |Mistake {
                     offset,
                     why,
                     expected,
                 }| {
                    Error::at(text, at + offset, format!("syntax error: {why}")).expecting(expected)
                },
            );
            return (found, error);
        }
        at += length;
    }
}

type Scanned = Result<(Kind, usize), Mistake>;

fn scan(rest: &str) -> Scanned {
    let Some(first) = rest.chars().next() else {
        return Ok((Kind::End, 0));
    };
    if let Some(found) = string(rest) {
        return found;
    }
    if first == '_' || first.is_ascii_alphabetic() {
        return Ok((Kind::Ident, ident(rest)));
    }
    let dotted = rest.starts_with('.') && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
    if first.is_ascii_digit() || dotted {
        return number(rest);
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => Ok((Kind::Sign, sign.len())),
        None => {
            Err(Mistake::at(0, format!("unexpected character '{first}'"))
                .expecting(meant_by(first)))
        }
    }
}

/// What a character that starts no token is mostly written for.
fn meant_by(stray: char) -> &'static [&'static str] {
    match stray {
        '&' => &["\"&&\""],
        '|' => &["\"||\""],
        '=' => &["\"==\""],
        '`' | '“' | '”' | '‘' | '’' => &["a string in \" or '"],
        _ => &[],
    }
}

fn ident(rest: &str) -> usize {
    rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
        .unwrap_or(rest.len())
}

fn run(rest: &str, from: usize, wanted: fn(&u8) -> bool) -> usize {
    let bytes = rest.as_bytes().get(from..).unwrap_or_default();
    bytes.iter().take_while(|byte| wanted(byte)).count()
}

fn number(rest: &str) -> Scanned {
    let part = |from: usize, to: usize| rest.get(from..to).unwrap_or_default();
    let too_large = || Mistake::at(0, "the number does not fit 64 bits");
    let suffix = |at: usize| {
        rest.get(at..)
            .is_some_and(|tail| tail.starts_with(['u', 'U']))
    };
    if rest.starts_with("0x") || rest.starts_with("0X") {
        let end = 2 + run(rest, 2, u8::is_ascii_hexdigit);
        if end > 2 {
            let value = u64::from_str_radix(part(2, end), 16).map_err(|_| too_large())?;
            let unsigned = suffix(end);
            return Ok((Kind::Int(value, unsigned), end + usize::from(unsigned)));
        }
    }
    let whole = run(rest, 0, u8::is_ascii_digit);
    let mut end = whole;
    if part(end, end + 1) == "." {
        let fraction = run(rest, end + 1, u8::is_ascii_digit);
        if fraction > 0 {
            end += 1 + fraction;
        }
    }
    if matches!(part(end, end + 1), "e" | "E") {
        let sign = usize::from(matches!(part(end + 1, end + 2), "+" | "-"));
        let power = run(rest, end + 1 + sign, u8::is_ascii_digit);
        if power > 0 {
            end += 1 + sign + power;
        }
    }
    if end > whole {
        return Ok((
            Kind::Double(part(0, end).parse().unwrap_or(f64::INFINITY)),
            end,
        ));
    }
    let value = part(0, end).parse().map_err(|_| too_large())?;
    let unsigned = suffix(end);
    Ok((Kind::Int(value, unsigned), end + usize::from(unsigned)))
}

/// The string literal at the start of `rest`; `None` when there is none.
fn string(rest: &str) -> Option<Scanned> {
    let prefix = rest.find(|c: char| !matches!(c, 'r' | 'R' | 'b' | 'B'))?;
    let head = rest.get(..prefix)?.to_ascii_lowercase();
    if !matches!(&*head, "" | "r" | "b" | "rb" | "br") {
        return None;
    }
    let quote = rest
        .get(prefix..)?
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''))?;
    let triple = quote.to_string().repeat(3);
    let close = if rest.get(prefix..)?.starts_with(&triple) {
        triple
    } else {
        quote.to_string()
    };
    Some(
        Literal {
            rest,
            from: prefix + close.len(),
            close,
            raw: head.contains('r'),
            bytes: head.contains('b'),
        }
        .read(),
    )
}

struct Literal<'t> {
    rest: &'t str,
    from: usize,
    close: String,
    raw: bool,
    bytes: bool,
}

impl Literal<'_> {
    fn read(self) -> Scanned {
        let mut text = String::new();
        let mut bytes = Vec::new();
        let mut at = self.from;
        loop {
            let here = self.rest.get(at..).unwrap_or_default();
            if here.starts_with(&self.close) {
                at += self.close.len();
                let kind = if self.bytes {
                    Kind::Bytes(bytes)
                } else {
                    Kind::Text(text)
                };
                return Ok((kind, at));
            }
            let Some(c) = here.chars().next() else {
                return Err(Mistake::at(0, "literal not terminated"));
            };
            if self.close.len() == 1 && matches!(c, '\n' | '\r') {
                return Err(Mistake::at(0, "literal not terminated"));
            }
            if c != '\\' || self.raw {
                text.push(c);
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                at += c.len_utf8();
                continue;
            }
            let (code, length, numeric) = escape(here).ok_or_else(|| {
                let shown: String = here.chars().take(2).collect();
                Mistake::at(at, format!("unknown escape '{shown}'"))
                    .expecting(&["\\\\ for a backslash", "r in front of the string"])
            })?;
            let made = char::from_u32(code);
            match (self.bytes && numeric, u8::try_from(code), made) {
                (true, Ok(byte), _) => bytes.push(byte),
                (false, _, Some(made)) => {
                    text.push(made);
                    bytes.extend_from_slice(made.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(Mistake::at(at, "the escape names no character")),
            }
            at += length;
        }
    }
}

/// Code, length, and whether it is a byte value in a bytes literal, of the escape at the start.
fn escape(here: &str) -> Option<(u32, usize, bool)> {
    let sign = here.chars().nth(1)?;
    let digits = |from: usize, count: usize, radix: u32| {
        let digits = here.get(from..from + count)?;
        let plain = digits.bytes().all(|byte| char::from(byte).is_digit(radix));
        plain
            .then(|| u32::from_str_radix(digits, radix).ok())
            .flatten()
    };
    let simple = |code: char| Some((u32::from(code), 2, false));
    match sign {
        '\\' | '"' | '\'' | '`' | '?' => simple(sign),
        'a' => simple('\x07'),
        'b' => simple('\x08'),
        'f' => simple('\x0c'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\x0b'),
        'x' | 'X' => Some((digits(2, 2, 16)?, 4, true)),
        'u' => Some((digits(2, 4, 16)?, 6, false)),
        'U' => Some((digits(2, 8, 16)?, 10, false)),
        '0'..='3' => Some((digits(1, 3, 8)?, 4, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let (tokens, mistake) = tokens(text);
        assert_eq!(mistake, None, "{text}");
        tokens
            .into_iter()
            .map(|token| token.kind)
            .filter(|kind| *kind != Kind::End)
            .collect()
    }

    #[test]
    fn numbers_have_four_forms() {
        assert_eq!(
            kinds("12 0x1F 3u .5 1e3 1.5"),
            [
                Kind::Int(12, false),
                Kind::Int(31, false),
                Kind::Int(3, true),
                Kind::Double(0.5),
                Kind::Double(1000.0),
                Kind::Double(1.5),
            ]
        );
    }

    #[test]
    fn strings_have_many_forms() {
        let text = |text: &str| Kind::Text(text.into());
        assert_eq!(
            kinds(r#""a\n" 'b"' r"\d" """x"y""" "\u017e\101""#),
            [
                text("a\n"),
                text("b\""),
                text("\\d"),
                text("x\"y"),
                text("žA"),
            ]
        );
        assert_eq!(kinds(r#"b"\xffé""#), [Kind::Bytes(vec![0xff, 0xc3, 0xa9])]);
        for broken in [r#""\d""#, "\"open", "'a\nb'", "`x`", "\"\\ud800\"", "a & b"] {
            assert!(tokens(broken).1.is_some(), "{broken}");
        }
    }
}
