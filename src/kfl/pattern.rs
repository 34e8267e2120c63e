//! Regexes in RE2's syntax, found anywhere in a text (reference section 5.6).
//!
//! In: the pattern as written. Out: a compiled [`Pattern`] that takes time linear in the text.
//! Never: back references, look-around, or a program beyond [`MAX_PROGRAM`].

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Bytes that one compiled regex may take: far above any filter, far below what hurts.
const MAX_PROGRAM: usize = 1 << 20;

/// Nested groups in one regex; the regex compiler recurses over them.
const MAX_NEST: u32 = 100;

/// A compiled regex.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    written: Arc<str>,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.written == other.written
    }
}

impl Pattern {
    /// Compiles `written`; the error is the reason on one line.
    pub(crate) fn new(written: &str) -> Result<Pattern, String> {
        let regex = RegexBuilder::new(&translated(written)?)
            .octal(true)
            .size_limit(MAX_PROGRAM)
            .nest_limit(MAX_NEST)
            .build()
            .map_err(|error| reason(&error))?;
        Ok(Pattern {
            written: written.into(),
            regex,
        })
    }

    /// The pattern as written.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// Whether the pattern is found anywhere in `text`.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The longest text that everything the pattern is found in holds; `None` when none is known.
    pub(crate) fn required(&self) -> Option<String> {
        required(&self.parsed()?)
    }

    /// Whether the pattern is found in every text that quotes one in which it is found, and never in a number
    /// alone: it asks for no end of the text, and for a character that no number has.
    pub(crate) fn is_found_in_quotes(&self) -> bool {
        let Some(parsed) = self.parsed() else {
            return false;
        };
        let edges = Look::WordAscii.as_repr() | Look::WordAsciiNegate.as_repr();
        let asks = parsed.properties().look_set();
        let asks_for_ends = asks.iter().any(|look| look.as_repr() & edges == 0);
        !asks_for_ends && is_no_number(&parsed)
    }

    fn parsed(&self) -> Option<Hir> {
        let mut parser = regex_syntax::ParserBuilder::new()
            .octal(true)
            .utf8(true)
            .nest_limit(MAX_NEST)
            .build();
        parser.parse(&translated(&self.written).ok()?).ok()
    }

    /// Whether every text holds it: such a regex filters nothing.
    pub(crate) fn is_in_every_text(&self) -> bool {
        matches!(
            &*self.written,
            "" | ".*" | "^" | "$" | "^.*" | ".*$" | "^.*$" | "(.*)" | "|"
        ) || self.regex.is_match("") && !self.written.contains(['^', '$', '\\'])
    }
}

/// The longest literal that every match of an expression holds. Neighbours are one literal already.
fn required(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repeated) if repeated.min > 0 => required(&repeated.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(required).max_by_key(String::len),
        _ => None,
    }
}

/// The characters of numbers as texts or JSON write them.
const OF_NUMBERS: &str = "+-.0123456789Ee";

/// Whether a number may have this character.
pub(crate) fn is_in_number(c: char) -> bool {
    OF_NUMBERS.contains(c)
}

/// Whether every match has a character that is in no number as texts or JSON write one.
fn is_no_number(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0);
            text.is_ok_and(|text| !text.chars().all(is_in_number))
        }
        HirKind::Class(Class::Unicode(class)) => {
            let holds = |c: char| {
                class
                    .iter()
                    .any(|range| (range.start()..=range.end()).contains(&c))
            };
            !OF_NUMBERS.chars().any(holds)
        }
        HirKind::Capture(capture) => is_no_number(&capture.sub),
        HirKind::Repetition(repeated) => repeated.min > 0 && is_no_number(&repeated.sub),
        HirKind::Concat(parts) => parts.iter().any(is_no_number),
        HirKind::Alternation(parts) => parts.iter().all(is_no_number),
        _ => false,
    }
}

/// The last line of the regex crate's message, which draws the pattern over several lines.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Rewrites what RE2 and the regex crate read differently: Perl classes and word boundaries are
/// ASCII in RE2, `\Q..\E` quotes, `\<` is a plain character, and a class knows no set operations.
fn translated(written: &str) -> Result<String, String> {
    let mut out = String::with_capacity(written.len() + 16);
    let mut chars = written.chars().peekable();
    let mut class = false;
    let mut first = false;
    while let Some(c) = chars.next() {
        let opens = first;
        first = false;
        match c {
            '\\' => {
                let Some(next) = chars.next() else {
                    return Err("trailing backslash at end of expression".into());
                };
                if next == 'Q' && !class {
                    quoted(&mut chars, &mut out);
                } else {
                    escape(next, class, chars.peek().copied(), &mut out)?;
                }
            }
            '[' if !class => {
                class = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
                first = true;
            }
            // A bracket that opens a class is a member of it in RE2.
            ']' if class && opens => out.push_str("\\]"),
            ']' if class => {
                class = false;
                out.push(']');
            }
            '[' if chars.peek() == Some(&':') => {
                // `[:alpha:]` goes over as it is.
                out.push('[');
                for inner in chars.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            '[' | '&' | '~' if class => {
                out.push('\\');
                out.push(c);
            }
            '-' if class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            _ => out.push(c),
        }
    }
    Ok(out)
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.peek() == Some(&'E') {
            chars.next();
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

fn escape(sign: char, class: bool, next: Option<char>, out: &mut String) -> Result<(), String> {
    let (inside, outside) = match sign {
        'd' => ("0-9", "[0-9]"),
        'D' => ("[^0-9]", "[^0-9]"),
        'w' => ("0-9A-Za-z_", "[0-9A-Za-z_]"),
        'W' => ("[^0-9A-Za-z_]", "[^0-9A-Za-z_]"),
        's' => (r"\t\n\f\r\x20", r"[\t\n\f\r\x20]"),
        'S' => (r"[^\t\n\f\r\x20]", r"[^\t\n\f\r\x20]"),
        'b' => (r"\b", r"(?-u:\b)"),
        'B' => (r"\B", r"(?-u:\B)"),
        '<' => ("<", "<"),
        '>' => (">", ">"),
        '1'..='9' if !next.is_some_and(|c| ('0'..='7').contains(&c)) => {
            return Err("back references are not supported".into());
        }
        _ => {
            out.push('\\');
            out.push(sign);
            return Ok(());
        }
    };
    out.push_str(if class { inside } else { outside });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).expect(pattern).is_in(text)
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert!(found(r"^\d$", "7") && !found(r"^\d$", "٣"));
        assert!(found(r"^[\w-]+$", "a_b-9") && !found(r"^\w$", "é"));
        assert!(found(r"\bcat\b", "é cat é") && found(r"é\bc", "éc"));
        assert!(found(r"a\Bb", "ab") && found(r"^\D\W\S$", "é-x"));
        assert!(found(r"\pL", "é"));
    }

    #[test]
    fn what_every_match_holds_is_known() {
        for (written, wanted) in [
            ("name0.*7[.]shop", Some("7.shop")),
            ("^/api/v[0-9]+/orders$", Some("/orders")),
            ("(shop|cart)/item", Some("/item")),
            ("(?:/a+)?", None),
            ("(?:xa){2}y", Some("xa")),
            (r"\Qa.b\E\d", Some("a.b")),
            ("(?i)shop", None),
            ("shop|cart", None),
            ("", None),
        ] {
            let found = Pattern::new(written).unwrap().required();
            assert_eq!(found.as_deref(), wanted, "{written}");
        }
    }

    #[test]
    fn what_is_found_in_quotes_asks_for_no_end_and_no_number() {
        for (written, wanted) in [
            ("[x-z]{4}", true),
            ("(GET|PUT)", true),
            (r"\bcat|dog\b", true),
            ("(?i)shop", true),
            ("^[x-z]", false),
            ("[x-z]$", false),
            ("[0-9]{5}", false),
            ("[a-z]+", false),
            ("a*", false),
            ("GET|[0-9]", false),
        ] {
            let pattern = Pattern::new(written).unwrap();
            assert_eq!(pattern.is_found_in_quotes(), wanted, "{written}");
        }
    }

    #[test]
    fn syntax_is_that_of_re2() {
        assert!(found(r"\107", "G") && found(r"\x{1F600}", "😀"));
        assert!(found(r"\Qa.b\E$", "a.b") && !found(r"\Qa.b\E", "axb"));
        assert!(found(r"[[a]", "[") && found(r"[a&&b]", "&") && found("[]a]", "]"));
        assert!(found(r"[[:alpha:]]", "x") && found(r"\<", "<"));
        assert!(found("(?i)CATA", "cata") && found("(?s)a.b", "a\nb") && !found("a.b", "a\nb"));
        for broken in ["(", r"(a)\1", "(?=a)", "[", "a{1001}{1001}", r"\"] {
            assert!(Pattern::new(broken).is_err(), "{broken}");
        }
    }
}
