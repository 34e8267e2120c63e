//! Recognising RESP: what a stream speaks, which side asks, and where a message begins again.
//!
//! In: bytes of one direction. Out: whether they are, or where in them begins, a command or a
//! reply. Never: a decision by port; what is certain by content alone and what is not, is told apart.

use super::command::{self, Words};
use super::parser::{Framer, Head, HeadStep, Kind, MAX_INLINE, Role, Step, head};

/// What some bytes look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Looks {
    /// They are not it.
    No,
    /// More bytes are needed.
    Unsure,
    /// They may be: other protocols have such lines too.
    Perhaps,
    /// They are it.
    Yes,
}

/// Where something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It begins at this offset.
    At(usize),
    /// It does not begin before this offset.
    NotBefore(usize),
}

/// Longest verb; those of modules have a name before them (`FT.SEARCH`).
const MAX_VERB: u64 = 64;

/// Commands that POP3, IMAP, SMTP, FTP or NATS have as well, as lines and with answers that look
/// alike.
const SHARED_WORDS: &[&[u8]] = &[
    b"AUTH", b"HELLO", b"INFO", b"PING", b"QUIT", b"RESET", b"TYPE",
];

/// Whether `bytes` begin with a command.
pub(super) fn command(bytes: &[u8]) -> Looks {
    match bytes.first() {
        None => Looks::Unsure,
        Some(b'*') => array(bytes),
        Some(byte) if byte.is_ascii_alphabetic() => inline(bytes),
        Some(_) => Looks::No,
    }
}

/// `*<count> $<length> <verb>`, the form that every client library sends.
fn array(bytes: &[u8]) -> Looks {
    let rest = match head(bytes) {
        HeadStep::Wait => return Looks::Unsure,
        HeadStep::Head(Head::Aggregate(Kind::Array, 1..), size) => {
            bytes.get(size..).unwrap_or_default()
        }
        _ => return Looks::No,
    };
    let (length, rest) = match head(rest) {
        HeadStep::Wait => return Looks::Unsure,
        HeadStep::Head(Head::Bulk(Kind::BulkString, length @ 1..=MAX_VERB), size) => {
            (length, rest.get(size..).unwrap_or_default())
        }
        _ => return Looks::No,
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let verb = rest.get(..length).unwrap_or(rest);
    if !verb.iter().all(|byte| is_verb_byte(*byte)) {
        return Looks::No;
    }
    if verb.len() < length {
        return Looks::Unsure;
    }
    match rest.get(length..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([] | [b'\r']) | None => return Looks::Unsure,
        Some(_) => return Looks::No,
    }
    // A reply that lists words has the same form; a confirmation has a number at its end.
    match rest.get(length + 2..).map(head) {
        Some(HeadStep::Broken) => Looks::No,
        Some(HeadStep::Head(Head::Bulk(Kind::BulkString, _) | Head::Aggregate(..), _))
        | Some(HeadStep::Wait)
        | None
            if command::is_known(&verb.to_ascii_uppercase()) =>
        {
            Looks::Yes
        }
        _ => Looks::Perhaps,
    }
}

/// A line whose first word is a command, alone.
fn inline(bytes: &[u8]) -> Looks {
    let window = bytes.get(..MAX_INLINE as usize).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\r' | b'\t' | 0x80..);
        let verb = window
            .iter()
            .take_while(|byte| !byte.is_ascii_whitespace())
            .count();
        let fits = verb as u64 <= MAX_VERB
            && window.len() < MAX_INLINE as usize
            && window.iter().all(printable);
        return if fits { Looks::Unsure } else { Looks::No };
    };
    let line = window.get(..end).unwrap_or_default();
    let mut words = Words::Inline(line);
    let verb = words.next().unwrap_or_default().to_ascii_uppercase();
    let http = words.any(|word| word.starts_with(b"HTTP/"));
    if http || !command::is_known(&verb) {
        Looks::No
    } else {
        Looks::Perhaps
    }
}

/// Whether `bytes` begin with a whole line of printable text that is no HTTP request, whatever its
/// first word is.
pub(super) fn is_line(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\r' | b'\t' | 0x80..);
    line.len() < bytes.len()
        && line.first().is_some_and(u8::is_ascii_alphabetic)
        && line.iter().all(printable)
        && memchr::memmem::find(line, b" HTTP/").is_none()
}

/// Whether the first word of an inline command belongs to other protocols too.
pub(super) fn is_shared_word(bytes: &[u8]) -> bool {
    SHARED_WORDS.contains(&command::Verb::of(bytes).as_bytes())
}

fn is_verb_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'|')
}

/// Whether `bytes` begin with a reply; a line of text is only perhaps one.
pub(super) fn reply(bytes: &[u8]) -> Looks {
    let first = match head(bytes) {
        HeadStep::Wait => return Looks::Unsure,
        HeadStep::Broken => return Looks::No,
        HeadStep::Head(head, _) => head,
    };
    let line = matches!(first, Head::Line(_));
    if line {
        let text = bytes
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let whole = text.len() < bytes.len();
        let sound = match whole {
            true => {
                text.ends_with(b"\r") && !text.iter().any(|byte| *byte < b' ' && *byte != b'\r')
            }
            false => !text.iter().any(|byte| *byte < b' ' && *byte != b'\r'),
        };
        if !sound {
            return Looks::No;
        }
    }
    match Framer::new(Role::Reply).walk(bytes) {
        Step::Broken => Looks::No,
        Step::Took(_) if line && bytes.len() < MAX_INLINE as usize => Looks::Unsure,
        _ if line => Looks::Perhaps,
        _ => Looks::Yes,
    }
}

/// Looks for a command at the front or behind a line end.
pub(super) fn find_command(bytes: &[u8]) -> Found {
    match command(bytes) {
        Looks::Yes | Looks::Perhaps => return Found::At(0),
        Looks::Unsure => return Found::NotBefore(0),
        Looks::No => {}
    }
    for at in memchr::memmem::find_iter(bytes, b"\r\n*") {
        // Within a value the bytes must be those of a command that is known.
        match array(bytes.get(at + 2..).unwrap_or_default()) {
            Looks::Yes => return Found::At(at + 2),
            Looks::Unsure => return Found::NotBefore(at + 2),
            Looks::No | Looks::Perhaps => {}
        }
    }
    // A line end that is cut in two is found with the next bytes.
    let kept = match bytes {
        [.., b'\r', b'\n'] => 2,
        [.., b'\r'] => 1,
        _ => 0,
    };
    Found::NotBefore(bytes.len() - kept)
}

/// A message that subscribers get, in the form of RESP2 and RESP3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// A published message.
    Message,
    /// A subscription began or ended, and so many are left; `None` when the count was not kept.
    Confirmation(Option<u64>),
    /// Of RESP3's push type and none of these, such as an invalidation.
    Other,
}

/// What a reply is as a pushed message; `None` when its type and first word are those of none.
pub(super) fn pushed(bytes: &[u8]) -> Option<Pushed> {
    let (push, mut rest) = match head(bytes) {
        HeadStep::Head(Head::Aggregate(kind @ (Kind::Push | Kind::Array), 3..=4), size) => {
            (kind == Kind::Push, bytes.get(size..)?)
        }
        HeadStep::Head(Head::Aggregate(Kind::Push, _) | Head::StreamedAggregate(Kind::Push), _) => {
            return Some(Pushed::Other);
        }
        _ => return None,
    };
    let other = push.then_some(Pushed::Other);
    let HeadStep::Head(Head::Bulk(Kind::BulkString, length), size) = head(rest) else {
        return other;
    };
    let length = usize::try_from(length).ok()?;
    let word = rest.get(size..).and_then(|rest| rest.get(..length));
    match word? {
        b"message" | b"pmessage" | b"smessage" => Some(Pushed::Message),
        b"subscribe" | b"unsubscribe" | b"psubscribe" | b"punsubscribe" | b"ssubscribe"
        | b"sunsubscribe" => {
            rest = rest.get(size + length + 2..).unwrap_or_default();
            let behind_channel = match head(rest) {
                HeadStep::Head(Head::Bulk(_, length), size) => usize::try_from(length)
                    .ok()
                    .and_then(|length| size.checked_add(length)?.checked_add(2)),
                HeadStep::Head(_, size) => Some(size),
                _ => None,
            };
            let count = behind_channel
                .and_then(|at| rest.get(at..))
                .and_then(|rest| {
                    let HeadStep::Head(Head::Short(Kind::Integer, length), _) = head(rest) else {
                        return None;
                    };
                    let digits = rest.get(1..1 + length)?;
                    std::str::from_utf8(digits).ok()?.parse().ok()
                });
            Some(Pushed::Confirmation(count))
        }
        _ => other,
    }
}

/// Whether a reply is a line that MONITOR gives: `+<seconds>.<microseconds> [<db> <client>] ...`.
pub(super) fn is_monitor_line(bytes: &[u8]) -> bool {
    let Some(text) = bytes.strip_prefix(b"+") else {
        return false;
    };
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let seconds = digits(text);
    let rest = text.get(seconds..).unwrap_or_default();
    let Some(fraction) = rest.strip_prefix(b".") else {
        return false;
    };
    let rest = fraction.get(digits(fraction)..).unwrap_or_default();
    seconds > 0 && rest.starts_with(b" [")
}
