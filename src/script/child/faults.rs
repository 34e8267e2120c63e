//! What went wrong in a script, with the place where it is.
//!
//! In: errors of the engine and the script's text. Out: one sentence with file, line, column and the
//! line itself. Never: a stack trace; the place of the fault is what a person can act on.

use std::fmt;

use boa_engine::{Context, JsError};

use crate::script::check::broken_at;
use crate::script::console::cut;
use crate::script::wire::Thrown;

/// Characters of a source line that are quoted.
const MAX_QUOTE: usize = 120;

/// Bytes of an error's text: a script may throw anything.
const MAX_TEXT: usize = 4 << 10;

/// An error of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The error as JavaScript shows it: `TypeError: ...`.
    pub(crate) text: String,
    /// Where it is.
    pub(crate) place: Option<Place>,
}

/// A place in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// File name without folders; empty when it is the script and nothing else is known.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: u32,
    /// Column, from 1.
    pub(crate) column: u32,
    /// The line itself, blanks around it cut off.
    pub(crate) quote: String,
}

impl Fault {
    /// An error without a place.
    pub(crate) fn plain(text: impl Into<String>) -> Fault {
        Fault {
            text: text.into(),
            place: None,
        }
    }

    /// An error at the first place in the script that reads `what`.
    pub(crate) fn at(text: impl Into<String>, what: &str, code: &str) -> Fault {
        let found = code.lines().zip(1..).find_map(|(line, number)| {
            let before = line.get(..line.find(what)?)?;
            Some((number, before.chars().count()))
        });
        let place = found.map(|(line, before)| Place {
            file: String::new(),
            line,
            column: u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1),
            quote: quote(code, line),
        });
        Fault {
            text: text.into(),
            place,
        }
    }

    /// The sentence for a script that cannot be loaded, with its whole path.
    pub(crate) fn in_file(&self, path: &str) -> String {
        match &self.place {
            None => format!("{path}: {}", self.text),
            Some(Place {
                line,
                column,
                quote,
                ..
            }) => format!("{path}:{line}:{column}: {} in: {quote}", self.text),
        }
    }
}

/// What the parent is told of it.
impl From<Fault> for Thrown {
    fn from(fault: Fault) -> Thrown {
        let place = fault.place.map(|place| place.to_string());
        Thrown {
            text: fault.text,
            place: place.unwrap_or_default(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.place {
            Some(place) => write!(f, "{place}"),
            None => Ok(()),
        }
    }
}

/// As it stands behind the text.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = if self.file.is_empty() {
            "line"
        } else {
            &self.file
        };
        write!(f, " (at {file}:{}:{}", self.line, self.column)?;
        if !self.quote.is_empty() {
            write!(f, ": {}", self.quote)?;
        }
        f.write_str(")")
    }
}

/// Reads the place out of an error's trace: the first `at` line that is in a file, which is the
/// innermost frame; a syntax error says it in its message.
pub(crate) fn fault_of(error: JsError, code: &str, context: &mut Context) -> Fault {
    let shown = error.to_string();
    let traced = shown
        .lines()
        .filter_map(|line| line.strip_prefix("    at "))
        .find_map(traced);
    let text = match error.into_opaque(context) {
        Ok(value) => match value.to_string(context) {
            Ok(text) => text.to_std_string_lossy(),
            Err(_) => value.display().to_string(),
        },
        Err(engine) => engine
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    let text = cut(&text, MAX_TEXT);
    let place = traced
        .or_else(|| spoken(&text))
        .or_else(|| silent(&text, code));
    let place = place.map(|(file, line, column)| Place {
        file,
        line,
        column,
        quote: quote(code, line),
    });
    Fault { text, place }
}

/// `name (path:line:column)`
fn traced(line: &str) -> Option<(String, u32, u32)> {
    let (_, place) = line.strip_suffix(')')?.rsplit_once(" (")?;
    let mut parts = place.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    let path = parts.next().filter(|path| !path.starts_with("native"))?;
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    Some((file.to_owned(), line, column))
}

/// `... at line 3, col 7`
fn spoken(text: &str) -> Option<(String, u32, u32)> {
    let (_, place) = text.rsplit_once("line ")?;
    let (line, column) = place.split_once(", col")?;
    let digits: String = column
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    Some((String::new(), line.parse().ok()?, digits.parse().ok()?))
}

/// The place of an error of syntax that does not say it: of a text that ends too early.
fn silent(text: &str, code: &str) -> Option<(String, u32, u32)> {
    let (line, column) = text
        .starts_with("SyntaxError")
        .then(|| broken_at(code))
        .flatten()?;
    Some((String::new(), line, column))
}

fn quote(code: &str, line: u32) -> String {
    let line = usize::try_from(line)
        .ok()
        .and_then(|line| line.checked_sub(1));
    let text = line
        .and_then(|line| code.lines().nth(line))
        .unwrap_or_default();
    text.trim().chars().take(MAX_QUOTE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_traces_and_messages() {
        let place = traced("onItemCaptured (/scripts/a b.js:12:5)");
        assert_eq!(place, Some(("a b.js".into(), 12, 5)));
        assert_eq!(traced("map (native at a.rs:1:2)"), None);
        assert_eq!(traced("map (native)"), None);
        assert_eq!(
            spoken("SyntaxError: unexpected token '}' at line 3, col 7"),
            Some((String::new(), 3, 7))
        );
        assert_eq!(spoken("Error: line 4 is bad"), None);
    }
}
