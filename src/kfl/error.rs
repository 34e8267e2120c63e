//! What can be wrong with a query, with the place where it is.
//!
//! In: byte offsets from lexers, parsers and checks. Out: [`Error`] and [`Warning`], both one
//! sentence. Never: more than one error a query; the first is what a person can act on.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// Why a query is invalid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Error {
    /// Offset in bytes.
    pub offset: usize,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// One sentence without a full stop.
    pub message: String,
    /// What could have stood there instead; empty when nothing can be said.
    pub expected: Vec<&'static str>,
}

impl Error {
    pub(crate) fn at(text: &str, offset: usize, message: impl Into<String>) -> Error {
        let (line, column) = place(text, offset);
        Error {
            offset,
            line,
            column,
            message: message.into(),
            expected: Vec::new(),
        }
    }

    /// That a query has too many parts.
    pub(crate) fn too_large(text: &str, offset: usize) -> Error {
        let most = super::MAX_NODES;
        let message = format!("the query has more than {most} parts; split it");
        Error::at(text, offset, message)
    }

    /// That a query nests too deep.
    pub(crate) fn too_deep(text: &str, offset: usize) -> Error {
        let most = super::MAX_DEPTH;
        let message = format!("the query nests deeper than {most} levels");
        Error::at(text, offset, message)
    }

    pub(crate) fn expecting(mut self, expected: &[&'static str]) -> Error {
        self.expected = expected.to_vec();
        self
    }

    /// The bytes of `text` that it is about: the token at the place, or the last character when the
    /// text ends too soon. Never empty unless the text is.
    pub fn span(&self, text: &str) -> Range<usize> {
        let rest = text.get(self.offset..).unwrap_or_default();
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
        let length = match rest.chars().next() {
            None => {
                let last = text.trim_end().char_indices().next_back();
                return last.map_or(0..text.len(), |(at, c)| at..at + c.len_utf8());
            }
            Some(first) if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            Some(quote @ ('"' | '\'' | '`')) => rest
                .get(1..)
                .and_then(|inner| inner.find([quote, '\n']))
                .map_or(rest.len(), |end| end + 2),
            Some(first) => first.len_utf8(),
        };
        let end = (self.offset + length).min(text.len());
        self.offset
            ..(self.offset..=end)
                .rev()
                .find(|end| text.is_char_boundary(*end))
                .unwrap_or(end)
    }

    /// The offending line of `text` with a caret below the place.
    pub fn caret(&self, text: &str) -> String {
        let line = (self.line as usize)
            .checked_sub(1)
            .and_then(|index| text.split('\n').nth(index))
            .unwrap_or_default()
            .trim_end_matches('\r');
        let before: String = line
            .chars()
            .take((self.column as usize).saturating_sub(1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        format!("{line}\n{before}^")
    }
}

/// `1:5: unexpected token "?"`, followed by what was expected when that is known.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        if !self.expected.is_empty() {
            write!(f, " (expected {})", self.expected.join(" or "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Something valid that is hardly meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Offset in bytes of what it is about.
    pub offset: usize,
    /// One sentence without a full stop.
    pub message: String,
}

impl Warning {
    /// About a text with characters that change the order it is shown in (UAX #9 section 2): what is
    /// read is not what is asked.
    pub(super) fn turned(text: &str) -> Option<Warning> {
        let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let (offset, c) = text.char_indices().find(|(_, c)| turns(*c))?;
        let (line, column) = place(text, offset);
        let code = u32::from(c);
        Some(Warning {
            offset,
            message: format!(
                "the character U+{code:04X} at {line}:{column} changes the order that the query is \
                 shown in, so that it may read as another; take it out"
            ),
        })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Line and column, from 1, of a byte offset.
fn place(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (
        u32::try_from(line).unwrap_or(u32::MAX),
        u32::try_from(column).unwrap_or(u32::MAX),
    )
}

/// The name among `known` that is nearest to `name`, when it is near enough to be meant.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // A third of the letters may differ; beyond that a proposal confuses more than it helps.
    let most = (name.chars().count() / 3).clamp(1, 3);
    known
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 8)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(far, _)| *far <= most)
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace) from one name to the other, letter case counting as none.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right
        .chars()
        .flat_map(char::to_lowercase)
        .take(64)
        .collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left
        .chars()
        .flat_map(char::to_lowercase)
        .take(64)
        .enumerate()
    {
        let mut corner = i;
        let mut last = i + 1;
        for (slot, r) in row.iter_mut().skip(1).zip(&right) {
            let here = (*slot + 1).min(last + 1).min(corner + usize::from(l != *r));
            corner = *slot;
            *slot = here;
            last = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_counts_characters_and_lines() {
        let error = Error::at("ü\nä b ?", 8, "unexpected token \"?\"");
        assert_eq!(error.to_string(), "2:5: unexpected token \"?\"");
        assert_eq!(error.caret("ü\nä b ?"), "ä b ?\n    ^");
    }

    #[test]
    fn the_span_is_the_token_at_the_place() {
        let span = |text: &'static str, offset| &text[Error::at(text, offset, "x").span(text)];
        assert_eq!(span("a && status_cod == 1", 5), "status_cod");
        assert_eq!(span("path.matches(\"[é\") && b", 13), "\"[é\"");
        assert_eq!(span("http &&", 7), "&");
        assert_eq!(span("a ? ü", 2), "?");
        assert_eq!(span("", 0), "");
        assert_eq!(span("x == \"open", 5), "\"open");
    }

    #[test]
    fn nearest_finds_one_slip_and_refuses_strangers() {
        let known = ["request.method", "request.path", "src.name"];
        assert_eq!(
            nearest("request.metod", known.into_iter()),
            Some("request.method")
        );
        assert_eq!(nearest("src.nme", known.into_iter()), Some("src.name"));
        assert_eq!(nearest("weather", known.into_iter()), None);
    }
}
