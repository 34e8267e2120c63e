//! One direction of a connection: how far its records are understood.
//!
//! In: what the handshake says. Out: whether a record is plain, waits for a secret, can be opened,
//! or is lost. Never: secrets.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::cipher::Opener;
use super::dissector::Session;
use super::exchange::Moment;
use super::handshake::Messages;
use super::record::Head;

/// Bytes of records of one direction that wait for their secret, which a key log may bring a
/// little later than the packets.
pub(super) const MAX_WAITING: usize = 256 * 1024;

/// After this long no secret is expected: programs log it when they derive it, and files are looked
/// at ten times a second.
const SECRET_WAIT: Duration = Duration::from_secs(10);

/// Attempts to open records that may be others than they are taken for, over the whole connection:
/// bounds what a stream with many holes costs.
pub(super) const MAX_TRIES: u32 = 4096;

/// A record as captured.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) payload: Bytes,
    pub(super) at: Moment,
    /// Which record of the connection it is, in the order in which both directions were read: what
    /// waited for a packet that was captured late has the ordinal of that packet.
    pub(super) turn: u64,
}

/// How the records of a direction are protected.
pub(super) enum Cover {
    /// They are not, yet.
    Clear,
    /// They are, and the secret is not known, or not yet.
    Sealed,
    /// They can be opened.
    Open(Box<Opener>),
    /// Early data whose secret is not known goes by until a record of the handshake can be opened.
    Trial,
    /// They will not be read any more.
    Lost,
}

/// Which secret of TLS 1.3 protects a direction; in TLS 1.2 there is but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Early,
    Handshake,
    Application,
}

/// Bytes that were not captured, up to the next record that can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loss {
    /// Bytes since the last record that was read.
    pub(super) bytes: u64,
    /// Bytes looked at since the gap.
    pub(super) searched: u64,
}

/// One direction.
pub(super) struct Half {
    pub(super) cover: Cover,
    pub(super) stage: Stage,
    /// What the keys follow from; a renegotiation agrees on new ones before they are used.
    pub(super) session: Option<Session>,
    /// Whether it was counted as decrypted.
    pub(super) is_counted: bool,
    /// KeyUpdates so far (RFC 8446 section 4.6.3).
    pub(super) updates: u32,
    /// Number of the next record under the present keys.
    pub(super) sequence: u64,
    pub(super) messages: Messages,
    pub(super) waiting: VecDeque<Record>,
    pub(super) waiting_bytes: usize,
    pub(super) loss: Option<Loss>,
    pub(super) tries_left: u32,
}

impl Default for Half {
    fn default() -> Half {
        Half {
            cover: Cover::Clear,
            stage: Stage::Application,
            session: None,
            is_counted: false,
            updates: 0,
            sequence: 0,
            messages: Messages::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            loss: None,
            tries_left: MAX_TRIES,
        }
    }
}

impl Half {
    /// Records are protected from here on, under new keys of `session`.
    pub(super) fn seal(&mut self, stage: Stage, session: Option<Session>) {
        self.cover = Cover::Sealed;
        self.session = session;
        self.stage = stage;
        self.sequence = 0;
        self.updates = 0;
    }

    /// Nothing more is read of this direction.
    pub(super) fn lose(&mut self) {
        self.cover = Cover::Lost;
        self.messages.clear();
        self.waiting = VecDeque::new();
        self.waiting_bytes = 0;
        self.loss = None;
    }

    /// Keeps a record until its secret comes; false when there is no room or no hope.
    pub(super) fn wait(&mut self, record: &Record) -> bool {
        let len = record.head.record_len();
        let first = self
            .waiting
            .front()
            .map_or(record.at.ts, |first| first.at.ts);
        if self.waiting_bytes + len > MAX_WAITING || record.at.ts.since(first) > SECRET_WAIT {
            return false;
        }
        self.waiting_bytes += len;
        self.waiting.push_back(Record {
            // A copy: it may wait long, and must not hold a whole batch.
            payload: Bytes::copy_from_slice(&record.payload),
            ..*record
        });
        true
    }

    /// The record that has waited longest.
    pub(super) fn next_waiting(&mut self) -> Option<Record> {
        let record = self.waiting.pop_front()?;
        self.waiting_bytes -= record.head.record_len();
        Some(record)
    }

    /// Whether a record that cannot be opened may be early data; not for ever.
    pub(super) fn passes_early_data(&mut self) -> bool {
        let tries = self.tries_left.checked_sub(1);
        self.tries_left = tries.unwrap_or(0);
        self.stage == Stage::Early && tries.is_some()
    }

    /// Whether waiting records can be read now.
    pub(super) fn is_ready(&self) -> bool {
        !self.waiting.is_empty() && matches!(self.cover, Cover::Open(_) | Cover::Trial)
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.cover, Cover::Sealed)
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.cover, Cover::Lost)
    }
}
