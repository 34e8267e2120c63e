//! Redis: passwords in commands, JSON in values.
//!
//! In: what was captured of a connection. Out: the same with passwords and named members
//! overwritten. Never: a command that cannot be read left alone. Standard: the Redis serialization
//! protocol (RESP 2 and 3).

use std::ops::Range;

use super::side::Side;
use super::{Payload, Redactor};

/// Words of one command that are followed.
const MAX_WORDS: u64 = 1 << 20;

/// A connection from reel to reel.
#[derive(Debug, Default, Clone)]
pub(super) struct Redis {
    sides: [Half; 2],
}

#[derive(Debug, Default, Clone)]
struct Half {
    /// Bytes of a string that an earlier reel began, which go.
    left: u64,
    lost: bool,
}

impl Redis {
    /// Joins a connection of which nothing is known.
    pub(super) fn joined() -> Redis {
        let half = || Half {
            left: 0,
            lost: true,
        };
        Redis {
            sides: [half(), half()],
        }
    }

    /// Overwrites what must go; both sides go on from where they stood.
    pub(super) fn rewrite(&mut self, redactor: &Redactor, sides: &mut [Side; 2]) {
        for (index, (half, side)) in self.sides.iter_mut().zip(sides).enumerate() {
            half.walk(redactor, side, index == 0);
        }
    }
}

impl Half {
    fn walk(&mut self, redactor: &Redactor, side: &mut Side, asks: bool) {
        let mut at = 0;
        if self.left > 0 {
            let moved = side.advance(0, self.left);
            side.hide(0..moved.to);
            (self.left, at) = (moved.left, moved.to);
        }
        while at < side.bytes.len() {
            if self.lost || side.is_behind_gap(at) {
                self.lost = true;
                let begins = |bytes: &[u8]| match asks {
                    true => matches!(bytes, [b'*', b'1'..=b'9', ..]),
                    false => matches!(
                        bytes,
                        [b'*' | b'+' | b'-' | b':' | b'$' | b'%' | b'~' | b'>', ..]
                    ),
                };
                let Some(start) = side.next_start(at, begins) else {
                    side.hide(at..side.bytes.len());
                    return;
                };
                side.hide(at..start);
                (at, self.lost) = (start, false);
            }
            at = match asks {
                true => self.command(redactor, side, at),
                false => self.reply(redactor, side, at),
            };
        }
    }

    /// Gives up on what stands from `at` on, as far as it goes without a gap.
    fn give_up(&mut self, side: &mut Side, at: usize) -> usize {
        let end = side.reach(at).max(at + 1);
        side.hide(at..end);
        self.lost = true;
        end
    }

    fn command(&mut self, redactor: &Redactor, side: &mut Side, at: usize) -> usize {
        let Some(line) = line(side, at) else {
            return self.give_up(side, at);
        };
        let text = side.bytes.get(line.clone()).unwrap_or_default();
        let Some(count) = number(text, b'*') else {
            // An inline command: a line of words.
            let secret = inline_secret(text);
            if let Some(from) = secret {
                side.hide(line.start + from..line.end);
            }
            return behind(side, &line);
        };
        if count > MAX_WORDS {
            return self.give_up(side, at);
        }
        let mut next = behind(side, &line);
        let mut words: Vec<Range<usize>> = Vec::new();
        for _ in 0..count {
            match self.string(side, next) {
                Some((word, end)) => {
                    words.push(word);
                    next = end;
                }
                None => {
                    // Whatever it is, it is not all there.
                    words.into_iter().for_each(|word| side.hide(word));
                    let end = side.reach(next).max(next);
                    side.hide(next..end);
                    self.lost |= self.left == 0;
                    return end.max(at + 1);
                }
            }
        }
        self.words(redactor, side, &words);
        next
    }

    fn words(&self, redactor: &Redactor, side: &mut Side, words: &[Range<usize>]) {
        let word = |index: usize| {
            let part = words.get(index).cloned().unwrap_or_default();
            side.bytes
                .get(part)
                .unwrap_or_default()
                .to_ascii_uppercase()
        };
        let verb = word(0);
        let all = |from: usize| (from..words.len()).collect::<Vec<_>>();
        let secret: Vec<usize> = match verb.as_slice() {
            b"AUTH" => all(1),
            b"ACL" => all(2),
            b"HELLO" => {
                let auth = (1..words.len()).find(|index| word(*index) == b"AUTH");
                auth.map_or_else(Vec::new, |auth| all(auth + 1))
            }
            b"CONFIG" if word(1) == b"SET" => all(3),
            b"MIGRATE" => {
                let auth = (1..words.len())
                    .find(|index| matches!(word(*index).as_slice(), b"AUTH" | b"AUTH2"));
                auth.map_or_else(Vec::new, |auth| all(auth + 1))
            }
            _ if redactor.rule.payload == Payload::Headers => all(1),
            _ => Vec::new(),
        };
        for (index, part) in words.iter().enumerate() {
            if secret.contains(&index) {
                side.hide(part.clone());
            } else if index > 0 {
                in_value(redactor, side, part.clone());
            }
        }
    }

    fn reply(&mut self, redactor: &Redactor, side: &mut Side, at: usize) -> usize {
        let Some(line) = line(side, at) else {
            return self.give_up(side, at);
        };
        let text = side.bytes.get(line.clone()).unwrap_or_default();
        match text.first() {
            Some(b'$' | b'=' | b'!') if number(text, *text.first().unwrap_or(&b'$')).is_some() => {
                match self.string(side, at) {
                    Some((value, end)) => {
                        if redactor.rule.payload == Payload::Headers {
                            side.hide(value);
                        } else {
                            in_value(redactor, side, value);
                        }
                        end
                    }
                    None => {
                        let from = behind(side, &line);
                        let end = side.reach(from).max(from);
                        side.hide(from..end);
                        self.lost |= self.left == 0;
                        end
                    }
                }
            }
            Some(
                b'+' | b'-' | b':' | b'*' | b'_' | b'#' | b',' | b'(' | b'%' | b'~' | b'>' | b'|'
                | b'$',
            ) => behind(side, &line),
            _ => self.give_up(side, at),
        }
    }

    /// A string with its length in front: where its bytes stand, and what follows it.
    fn string(&mut self, side: &Side, at: usize) -> Option<(Range<usize>, usize)> {
        let line = line(side, at)?;
        let text = side.bytes.get(line.clone())?;
        let length = number(
            text,
            *text
                .first()
                .filter(|first| matches!(first, b'$' | b'=' | b'!'))?,
        )?;
        let begin = behind(side, &line);
        let moved = side.advance(begin, length.checked_add(2)?);
        if moved.left > 0 {
            self.left = moved.left;
            return None;
        }
        if moved.holed || side.is_behind_gap(begin) {
            return None;
        }
        Some((begin..moved.to.checked_sub(2)?, moved.to))
    }
}

/// Overwrites named members of a value that is JSON.
fn in_value(redactor: &Redactor, side: &mut Side, part: Range<usize>) {
    if redactor.json.is_empty() {
        return;
    }
    if let Some(value) = side.bytes.get_mut(part)
        && matches!(value.trim_ascii_start().first(), Some(b'{' | b'['))
    {
        redactor.in_json(value);
    }
}

/// The line at `at` without its end; `None` when the end is not there.
fn line(side: &Side, at: usize) -> Option<Range<usize>> {
    let rest = side.rest(at);
    let end = memchr::memchr(b'\n', rest.get(..rest.len().min(64 * 1024))?)?;
    let text = rest.get(..end)?;
    Some(at..at + text.strip_suffix(b"\r").unwrap_or(text).len())
}

/// What follows a line.
fn behind(side: &Side, line: &Range<usize>) -> usize {
    let rest = side.bytes.get(line.end..).unwrap_or_default();
    line.end + 1 + usize::from(rest.first() == Some(&b'\r'))
}

/// The number behind `mark`.
fn number(text: &[u8], mark: u8) -> Option<u64> {
    let digits = text.strip_prefix(&[mark])?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Where the secret of an inline command begins.
fn inline_secret(text: &[u8]) -> Option<usize> {
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let secret = [&b"AUTH"[..], b"HELLO", b"CONFIG", b"ACL", b"MIGRATE"];
    secret
        .iter()
        .any(|verb| word.eq_ignore_ascii_case(verb))
        .then_some(word.len() + 1)
}
