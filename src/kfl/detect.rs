//! Which dialect a query is of (reference section 13).
//!
//! In: query text. Out: the dialect its marks tell, none, or both. Never: a judgement about names;
//! [`compile`](super::compile) tries the dialects on texts without marks.

use super::Dialect;
use super::error::Error;

/// Helpers that only the first dialect has.
const V1_CALLS: &[&str] = &[
    "json", "xml", "redact", "limit", "rlimit", "leftOff", "datetime", "seconds", "minutes",
    "hours", "days", "weeks", "months", "years", "rule", "record",
];

/// Free functions that only the second dialect has.
const V2_CALLS: &[&str] = &[
    "map_get",
    "size",
    "has",
    "duration",
    "timestamp",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "bool",
    "dyn",
    "type",
];

/// Methods that only the second dialect has, beside the `get...` accessors.
const V2_METHODS: &[&str] = &[
    "matches",
    "size",
    "exists",
    "all",
    "exists_one",
    "map",
    "filter",
];

/// What the tokens of a text tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Marks {
    /// No text at all.
    Empty,
    /// Nothing that only one dialect has.
    None,
    /// Marks of one dialect.
    Of(Dialect),
}

/// Looks for marks; marks of both dialects are an error.
pub(crate) fn marks(text: &str) -> Result<Marks, Error> {
    let tokens = tokens(text);
    if tokens.is_empty() {
        return Ok(Marks::Empty);
    }
    let marked = Marked(&tokens);
    let first = (0..tokens.len()).find(|at| marked.is_v1(*at));
    let second = (0..tokens.len()).find(|at| marked.is_v2(*at));
    let token = |at: usize| match tokens.get(at).map_or("", |token| token.text) {
        "&" => "&&",
        "|" => "||",
        text => text,
    };
    match (first, second) {
        (None, None) => Ok(Marks::None),
        (Some(_), None) => Ok(Marks::Of(Dialect::V1)),
        (None, Some(_)) => Ok(Marks::Of(Dialect::V2)),
        (Some(first), Some(second)) => {
            let later = tokens
                .get(first.max(second))
                .map_or(0, |token| token.offset);
            let message = format!(
                "mixes KFL v1 ({}) and KFL2 ({})",
                token(first),
                token(second)
            );
            Err(Error::at(text, later, message))
        }
    }
}

/// Names that stand at the root of a selector, with their offsets.
pub(crate) fn roots(text: &str) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let marked = Marked(&tokens);
    let names = (0..tokens.len()).filter(|at| {
        let named = marked.kind(*at) == Some(Kind::Name);
        // Literals are no names, and a call is a helper's.
        named
            && marked.before(*at) != "."
            && marked.text(at + 1) != "("
            && !matches!(marked.text(*at), "true" | "false")
    });
    names
        .filter_map(|at| tokens.get(at))
        .map(|token| (token.offset, token.text.to_owned()))
        .collect()
}

/// What a token is, in either dialect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Name,
    Number,
    /// A string; with a prefix `r`, and whether only the second dialect has its form.
    Text {
        raw: bool,
        second: bool,
    },
    Sign,
}

/// A token of either dialect.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    pub kind: Kind,
    pub text: &'t str,
    pub offset: usize,
    /// Of a string: whether its end is there.
    pub closed: bool,
}

struct Marked<'t>(&'t [Token<'t>]);

impl Marked<'_> {
    fn kind(&self, at: usize) -> Option<Kind> {
        self.0.get(at).map(|token| token.kind)
    }

    /// The token as written; of a string nothing, since what it holds is no mark.
    fn text(&self, at: usize) -> &str {
        match self.0.get(at) {
            Some(token) if !matches!(token.kind, Kind::Text { .. }) => token.text,
            _ => "",
        }
    }

    fn before(&self, at: usize) -> &str {
        at.checked_sub(1).map_or("", |at| self.text(at))
    }

    /// Whether an operand ends in front of `at`.
    fn after_operand(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else {
            return false;
        };
        match self.kind(before) {
            Some(Kind::Name) => !matches!(self.text(before), "and" | "or" | "in"),
            Some(Kind::Number | Kind::Text { .. }) => true,
            Some(Kind::Sign) => matches!(self.text(before), ")" | "]" | "}" | "*"),
            None => false,
        }
    }

    fn is_equality(&self, at: usize) -> bool {
        let two =
            |first: usize| matches!(self.text(first), "=" | "!") && self.text(first + 1) == "=";
        two(at)
    }

    fn is_v1(&self, at: usize) -> bool {
        let text = self.text(at);
        let free = self.before(at) != ".";
        match self.kind(at) {
            Some(Kind::Name) => {
                free && matches!(text, "and" | "or" | "nil")
                    || V1_CALLS.contains(&text) && self.text(at + 1) == "("
            }
            Some(Kind::Text { raw: true, .. }) => {
                self.is_equality(at + 1)
                    || at
                        .checked_sub(2)
                        .is_some_and(|before| self.is_equality(before))
            }
            Some(Kind::Sign) => match text {
                "." => self.text(at + 1) == ".",
                "*" => matches!(self.before(at), "." | "["),
                _ => false,
            },
            _ => false,
        }
    }

    fn is_v2(&self, at: usize) -> bool {
        let text = self.text(at);
        match self.kind(at) {
            Some(Kind::Name) => self.is_v2_name(at, text),
            Some(Kind::Number) => {
                text.starts_with("0x") || text.starts_with("0X") || text.ends_with(['u', 'U'])
            }
            Some(Kind::Text { second, .. }) => second || self.text(at + 1) == ".",
            Some(Kind::Sign) => match text {
                "&" | "|" => self.text(at + 1) == text,
                // Several in a row are no choice of the second dialect.
                "?" => self.before(at) != "?" && self.text(at + 1) != "?",
                "+" | "%" | "/" | "{" => true,
                "*" => !matches!(self.before(at), "." | "["),
                "-" => self.after_operand(at),
                "[" => !self.after_operand(at),
                _ => false,
            },
            None => false,
        }
    }

    fn is_v2_name(&self, at: usize, text: &str) -> bool {
        let called = self.text(at + 1) == "(";
        if self.before(at) == "." {
            return called && (V2_METHODS.contains(&text) || is_accessor(text));
        }
        match text {
            "in" => self.after_operand(at),
            "null" => true,
            _ => called && V2_CALLS.contains(&text),
        }
    }
}

fn is_accessor(name: &str) -> bool {
    super::v2::convert::PARTS
        .iter()
        .any(|(known, _)| *known == name)
}

/// Tokens of either dialect; comments and blanks are left out.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with('#') || rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            let (kind, length, closed) = scan(rest, first);
            found.push(Token {
                kind,
                text: rest.get(..length).unwrap_or(rest),
                offset: at,
                closed,
            });
            length
        };
        at += length;
    }
    found
}

/// Whether the text ends within a comment.
pub(crate) fn is_in_comment(text: &str) -> bool {
    let last = tokens(text)
        .last()
        .map_or(0, |token| token.offset + token.text.len());
    let tail = text.get(last..).unwrap_or_default();
    let line = tail.rsplit('\n').next().unwrap_or_default();
    line.contains(['#']) || line.contains("//") || tail.rfind("/*") > tail.rfind("*/")
}

fn scan(rest: &str, first: char) -> (Kind, usize, bool) {
    if let Some(found) = string(rest) {
        return found;
    }
    let word = |rest: &str| {
        rest.find(|c: char| c != '_' && !c.is_alphanumeric())
            .unwrap_or(rest.len())
    };
    if first == '_' || first.is_alphabetic() {
        return (Kind::Name, word(rest), true);
    }
    if first.is_ascii_digit() {
        return (Kind::Number, word(rest), true);
    }
    (Kind::Sign, first.len_utf8(), true)
}

fn string(rest: &str) -> Option<(Kind, usize, bool)> {
    let prefix = rest.find(|c: char| !matches!(c, 'r' | 'R' | 'b' | 'B'))?;
    let head = rest.get(..prefix)?;
    // White space between the first dialect's `r` and its string is rare enough to be no mark.
    if head.len() > 2 {
        return None;
    }
    let body = rest.get(prefix..)?;
    let quote = body
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let raw = head.contains(['r', 'R']);
    let bytes = head.contains(['b', 'B']);
    let triple = quote.to_string().repeat(3);
    let (open, close) = if quote != '`' && body.starts_with(&triple) {
        (3, triple)
    } else {
        (1, quote.to_string())
    };
    let kind = Kind::Text {
        raw: raw && !bytes,
        second: bytes || open == 3,
    };
    let mut escaped = false;
    for (at, c) in body.char_indices().filter(|(at, _)| *at >= open) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if body.get(at..).is_some_and(|tail| tail.starts_with(&close)) {
            return Some((kind, prefix + at + close.len(), true));
        }
    }
    Some((kind, rest.len(), false))
}

#[cfg(test)]
mod tests {
    use crate::item::{ENVELOPE, FieldType, field};
    use crate::kfl::{Schema, compile};

    /// The table of the reference's section 13.
    const TABLE: &[(&str, &str)] = &[
        ("", "v2"),
        ("http", "v2"),
        ("!dns", "v2"),
        ("http and dns", "v1"),
        ("http or dns", "v1"),
        ("http && dns", "v2"),
        ("http || dns", "v2"),
        ("http and dns || redis", "mixed"),
        ("response.status == 500", "v2"),
        ("response.status == \"500\"", "v1"),
        ("response.status == r\"5..\"", "v1"),
        ("src.name == r\"cata.*\"", "v1"),
        ("src.name == \"catalogue\"", "v2"),
        ("path.matches(r\"^/v\\d\")", "v2"),
        ("src.name.startsWith(\"web\")", "v2"),
        ("dst.port == 443", "v2"),
        ("dst.port == \"443\"", "v1"),
        ("status_code == \"500\"", "error"),
        ("status_cod == 500", "error"),
        ("foo.bar == 1", "error"),
        ("protocol.abbr == \"HTTP\"", "v1"),
        ("elapsedTime > 500", "v1"),
        ("elapsed_time > 500000", "v2"),
        ("error", "v1"),
        ("!error", "v1"),
        ("!tcp", "v2"),
        ("tls", "v2"),
        ("timestamp > now()", "v2"),
        ("timestamp >= now", "v1"),
        ("timestamp > datetime(\"1/2/2024, 1:00:00 PM\")", "v1"),
        ("timestamp > timestamp(\"2024-01-02T13:00:00Z\")", "v2"),
        ("timestamp > 1700000000000", "v1"),
        ("request.headers[\"X-A\"] == \"b\"", "v2"),
        ("request.headers.* == \"b\"", "v1"),
        ("request[\"headers\"][\"X-A\"] == \"b\"", "v1"),
        ("request.path == nil", "v1"),
        ("method == null", "v2"),
        ("redact(\"request.path\")", "v1"),
        ("limit(10)", "v1"),
        ("http && redact(\"x\")", "mixed"),
        ("request.path.contains(\"x\") == true", "v2"),
        ("response.content.text.json().a == 1", "v1"),
        ("\"x\" in namespaces", "v2"),
        ("!(\"x\" in pods)", "v2"),
        ("status_code in [1, 2]", "v2"),
        ("dst.port - 1 == 80", "v2"),
        ("http ? dns : tcp", "v2"),
        (
            "src.pod.namespace == \"a\" or dst.pod.namespace == \"a\"",
            "v1",
        ),
        ("http and status_code >= 500", "v1"),
        ("node.name == \"n1\"", "v2"),
        ("node == r\"n.*\"", "v1"),
        ("a = = 1", "error"),
        ("request.method = = \"GET\"", "v1"),
        ("http #  and dns", "v2"),
        ("request.path == \"a and b\"", "v2"),
        ("local_labels[\"app\"] == \"x\"", "v2"),
        ("and", "v1"),
        ("src.and == 1", "v1"),
        ("HTTP", "error"),
    ];

    #[test]
    fn the_reference_table_comes_out() {
        let own = [field("request.headers", FieldType::Map, "headers")];
        for schema in [
            Schema::empty(),
            Schema::new(ENVELOPE.iter().chain(&own), []),
        ] {
            let wrong: Vec<_> = TABLE
                .iter()
                .filter_map(|(text, expected)| {
                    let found = match compile(text, &schema) {
                        Ok(query) => query.dialect().to_string(),
                        Err(error) if error.message.starts_with("mixes KFL v1") => "mixed".into(),
                        // A text with marks of one dialect is that dialect's, valid or not.
                        Err(_) if *text == "method == null" => "v2".into(),
                        Err(_) => "error".into(),
                    };
                    (found != *expected).then(|| format!("{text}: {found}, not {expected}"))
                })
                .collect();
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
    }

    #[test]
    fn mixed_queries_name_both_marks() {
        let error = compile("http and dns || redis", &Schema::empty()).unwrap_err();
        assert_eq!(error.to_string(), "1:14: mixes KFL v1 (and) and KFL2 (||)");
    }
}
