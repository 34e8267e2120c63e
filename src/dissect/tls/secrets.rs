//! Secrets of TLS connections, as key logs hold them (RFC 9850).
//!
//! In: text in the key log format, whole or in pieces. Out: the secret of a connection, looked up
//! by its client random. Never: files; and no secret in anything that is printed or saved.
//!
//! ```text
//! CLIENT_RANDOM <client random> <master secret of TLS 1.2>
//! SERVER_TRAFFIC_SECRET_0 <client random> <secret of TLS 1.3>            hexadecimal
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::AHashMap;

/// Connections whose secrets are kept; the oldest go first. Some 400 bytes each.
const MAX_CONNECTIONS: usize = 65_536;

/// Bytes of records that wait for their secrets in all streams together.
const MAX_WAITING: usize = 64 << 20;

/// Bytes of one line: label, two times 32 to 64 bytes in hexadecimal.
const MAX_LINE: usize = 1024;

/// Bytes of a secret: the output of SHA-512.
const MAX_SECRET: usize = 64;

/// What a secret is for; the labels of the format that decrypt something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// Master secret of TLS 1.2.
    ClientRandom,
    /// 0-RTT data.
    ClientEarly,
    ClientHandshake,
    ServerHandshake,
    Client,
    Server,
}

impl Label {
    fn of(text: &[u8]) -> Option<Label> {
        Some(match text {
            b"CLIENT_RANDOM" => Label::ClientRandom,
            b"CLIENT_EARLY_TRAFFIC_SECRET" => Label::ClientEarly,
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshake,
            b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshake,
            b"CLIENT_TRAFFIC_SECRET_0" => Label::Client,
            b"SERVER_TRAFFIC_SECRET_0" => Label::Server,
            _ => return None,
        })
    }
}

type Lines = Vec<(Label, Box<[u8]>)>;

#[derive(Default)]
struct Known {
    by_random: AHashMap<[u8; 32], Lines>,
    order: VecDeque<[u8; 32]>,
}

/// What was met with decryption, counted over all connections.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct DecryptionCounts {
    /// Lines of key logs that gave a secret.
    pub secrets: u64,
    /// Connections that were forgotten because there were too many.
    pub forgotten: u64,
    /// Handshakes seen.
    pub handshakes: u64,
    /// Directions of connections that could be decrypted.
    pub decrypted: u64,
    /// Directions of connections that were given up, for want of a secret or because bytes were
    /// lost.
    pub given_up: u64,
}

/// The secrets that are known, shared by all who decrypt.
#[derive(Default)]
pub struct Secrets {
    known: Mutex<Known>,
    /// Rises with every secret, so that waiting streams need not ask each time.
    generation: AtomicU64,
    expected: AtomicBool,
    /// Bytes of records that wait for a secret, in all streams.
    waiting: AtomicUsize,
    forgotten: AtomicU64,
    handshakes: AtomicU64,
    decrypted: AtomicU64,
    given_up: AtomicU64,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("connections", &self.known().by_random.len())
            .finish_non_exhaustive()
    }
}

impl Secrets {
    /// Takes whole lines in the key log format; others in it are passed over.
    pub fn insert(&self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n') {
            self.line(line);
        }
    }

    /// Says that secrets may still come: streams keep what they cannot read yet, for a while.
    pub fn expect(&self, more: bool) {
        self.expected.store(more, Ordering::Relaxed);
    }

    /// What was met so far.
    pub fn counts(&self) -> DecryptionCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DecryptionCounts {
            secrets: read(&self.generation),
            forgotten: read(&self.forgotten),
            handshakes: read(&self.handshakes),
            decrypted: read(&self.decrypted),
            given_up: read(&self.given_up),
        }
    }

    /// Whether no further record may wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= MAX_WAITING
    }

    /// Bytes of records that wait, in all streams.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A stream that kept `before` bytes waiting keeps `now`.
    pub(super) fn keep(&self, before: usize, now: usize) {
        self.waiting.fetch_add(now, Ordering::Relaxed);
        self.waiting.fetch_sub(before, Ordering::Relaxed);
    }

    pub(super) fn is_expected(&self) -> bool {
        self.expected.load(Ordering::Relaxed)
    }

    /// Count of secrets that came so far.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The secret of a connection.
    pub(super) fn find(&self, client_random: &[u8; 32], label: Label) -> Option<Box<[u8]>> {
        let known = self.known();
        let lines = known.by_random.get(client_random)?;
        lines
            .iter()
            .find(|(found, _)| *found == label)
            .map(|(_, secret)| secret.clone())
    }

    pub(super) fn count_handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_decrypted(&self) {
        self.decrypted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, line: &[u8]) -> Option<()> {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let label = Label::of(words.next()?)?;
        let random = <[u8; 32]>::try_from(unhex(words.next()?)?).ok()?;
        let secret = unhex(words.next()?)?;
        if secret.is_empty() || secret.len() > MAX_SECRET {
            return None;
        }
        let mut known = self.known();
        let Known { by_random, order } = &mut *known;
        let lines = by_random.entry(random).or_default();
        if lines.is_empty() {
            order.push_back(random);
        }
        // A line that comes again replaces the first: one of each label.
        lines.retain(|(found, _)| *found != label);
        lines.push((label, secret.into()));
        if order.len() > MAX_CONNECTIONS
            && let Some(oldest) = order.pop_front()
        {
            by_random.remove(&oldest);
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        drop(known);
        self.generation.fetch_add(1, Ordering::Release);
        Some(())
    }
}

/// Cuts a key log that comes in pieces, as from a file that grows, into lines.
#[derive(Debug, Default)]
pub struct KeyLogLines {
    partial: Vec<u8>,
    /// The present line is too long to be one of the format.
    overlong: bool,
}

impl KeyLogLines {
    /// Takes the next piece and hands whole lines to `secrets`.
    pub fn push(&mut self, piece: &[u8], secrets: &Secrets) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.partial.len() + part.len() > MAX_LINE {
                self.overlong = true;
                self.partial.clear();
            }
            if !self.overlong {
                self.partial.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                secrets.insert(&self.partial);
                self.partial.clear();
                self.overlong = false;
            }
        }
    }

    /// The log ends here, or begins anew: what is left counts as a line.
    pub fn end(&mut self, secrets: &Secrets) {
        secrets.insert(&self.partial);
        *self = KeyLogLines::default();
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, random: u8, secret: u8) -> String {
        format!(
            "{label} {} {}\n",
            format!("{random:02x}").repeat(32),
            format!("{secret:02X}").repeat(48)
        )
    }

    #[test]
    fn lines_are_found_by_client_random_and_label() {
        let secrets = Secrets::default();
        let text = [
            "# a comment\r\n".to_owned(),
            line("CLIENT_RANDOM", 1, 0xab),
            line("EXPORTER_SECRET", 1, 2),
            line("SERVER_TRAFFIC_SECRET_0", 2, 3),
            "CLIENT_RANDOM 00 11\n".to_owned(),
            "CLIENT_RANDOM".to_owned(),
        ]
        .concat();
        secrets.insert(text.replace('\n', "\r\n").as_bytes());
        let master = secrets.find(&[1; 32], Label::ClientRandom).unwrap();
        assert_eq!(&*master, &[0xab; 48]);
        assert!(secrets.find(&[2; 32], Label::Server).is_some());
        assert!(secrets.find(&[2; 32], Label::ClientRandom).is_none());
        assert_eq!(secrets.counts().secrets, 2);
    }

    #[test]
    fn a_log_may_come_in_any_pieces() {
        let text = [
            line("CLIENT_RANDOM", 1, 5),
            "x".repeat(5000),
            "\n".into(),
            line("CLIENT_RANDOM", 2, 6),
            line("CLIENT_RANDOM", 3, 7).trim_end().to_owned(),
        ]
        .concat();
        for size in [1, 7, 100, text.len()] {
            let (secrets, mut lines) = (Secrets::default(), KeyLogLines::default());
            for piece in text.as_bytes().chunks(size) {
                lines.push(piece, &secrets);
            }
            assert_eq!(secrets.counts().secrets, 2, "pieces of {size}");
            lines.end(&secrets);
            assert_eq!(secrets.counts().secrets, 3, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_printed_holds_no_secret() {
        let secrets = Secrets::default();
        secrets.insert(line("CLIENT_RANDOM", 1, 0xab).as_bytes());
        assert_eq!(format!("{secrets:?}"), "Secrets { connections: 1, .. }");
    }

    #[test]
    fn the_oldest_connections_are_forgotten() {
        let secrets = Secrets::default();
        for number in 0..=MAX_CONNECTIONS {
            let text = format!("CLIENT_RANDOM {number:064x} aa");
            secrets.insert(text.as_bytes());
        }
        let mut last = [0; 32];
        last[29..].copy_from_slice(&[1, 0, 0]);
        assert!(secrets.find(&[0; 32], Label::ClientRandom).is_none());
        assert!(secrets.find(&last, Label::ClientRandom).is_some());
        assert_eq!(secrets.counts().forgotten, 1);
    }
}
