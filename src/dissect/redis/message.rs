//! One command or reply while it is put together, and the items that come of them.
//!
//! In: the bytes of a message as they come. Out: a [`Message`], then a [`Draft`]. Never: more than
//! [`MAX_ITEM_BODY`] bytes of one message kept.

use bytes::{BufMut, Bytes};

use super::{REDIS, render};
use crate::bytes::Reader;
use crate::dissect::Draft;
use crate::flow::Chunk;
use crate::item::{ItemError, MAX_ITEM_BODY, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// What is wrong with one message.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// Nothing.
    #[default]
    None,
    /// So many bytes within a value were not captured.
    Missing(u64),
    /// The rest of it was not captured.
    Lost,
    /// It goes on against RESP.
    Malformed,
    /// The stream ended within it.
    Ended,
}

/// Why a command or a reply stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alone {
    /// So it should: a pushed message, or a command that wants no reply.
    Rightly,
    /// The other half was not captured.
    Unseen,
    /// Bytes are missing, and the client sends commands without awaiting replies.
    Ambiguous,
    /// Too many commands wait.
    Limit,
}

/// One command or reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its first bytes, at most [`MAX_ITEM_BODY`].
    pub bytes: Bytes,
    /// Bytes of it as captured.
    pub size: u64,
    /// Time of its first packet.
    pub ts: Timestamp,
    /// Ordinal of the packet that completed it.
    pub ordinal: u64,
    /// What is wrong with it.
    pub damage: Damage,
}

impl Message {
    /// Whether `bytes` is not all of it.
    fn is_cut(&self) -> bool {
        self.damage != Damage::None || self.size > self.bytes.len() as u64
    }

    /// Lets go of the batch that the bytes are a slice of.
    pub(super) fn own(mut self) -> Message {
        self.bytes = Bytes::copy_from_slice(&self.bytes);
        self
    }

    fn error(&self, what: &str) -> Option<ItemError> {
        let msg = match self.damage {
            Damage::None => return None,
            Damage::Missing(count) => format!("{count} bytes of the {what} were not captured"),
            Damage::Lost => format!("the end of the {what} was not captured"),
            Damage::Malformed => format!("the {what} is not valid RESP"),
            Damage::Ended => format!("the stream ends within the {what}"),
        };
        Some(ItemError {
            kind: "dissection",
            msg,
        })
    }
}

/// A command with its reply.
pub(super) fn pair(asks: Direction, command: Message, reply: Message, pushed: bool) -> Draft {
    let error = reply.error("reply").or_else(|| command.error("command"));
    let elapsed = reply.ts.since(command.ts).as_nanos();
    Draft {
        kind: &REDIS,
        from_client: asks == Direction::ToServer,
        start: command.ts,
        elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
        request_size: command.size,
        response_size: reply.size,
        request: render::request(&command.bytes, command.is_cut()),
        response: render::response(&reply.bytes, pushed, reply.is_cut()),
        data: Value::Null,
        error,
        ordinal: command.ordinal.max(reply.ordinal),
    }
}

/// A command without a reply.
pub(super) fn command(asks: Direction, command: Message, why: Alone) -> Draft {
    let error = command.error("command").or_else(|| {
        let (kind, msg) = match why {
            Alone::Rightly => return None,
            Alone::Unseen => ("pair-not-found", "no reply to this command was captured"),
            Alone::Ambiguous => (
                "pair-not-found",
                "bytes of the stream are missing: which reply belongs to it cannot be told",
            ),
            Alone::Limit => (
                "pair-not-found",
                "too many commands waited for their replies",
            ),
        };
        Some(ItemError {
            kind,
            msg: msg.into(),
        })
    });
    Draft {
        kind: &REDIS,
        from_client: asks == Direction::ToServer,
        start: command.ts,
        elapsed_nanos: 0,
        request_size: command.size,
        response_size: 0,
        request: render::request(&command.bytes, command.is_cut()),
        response: Value::Null,
        data: Value::Null,
        error,
        ordinal: command.ordinal,
    }
}

/// A reply without a command, or a message that the server pushed.
pub(super) fn reply(asks: Direction, reply: Message, pushed: bool, why: Alone) -> Draft {
    let error = reply.error("reply").or_else(|| {
        let msg = match why {
            Alone::Rightly => return None,
            Alone::Unseen => "no command for this reply was captured",
            Alone::Ambiguous => {
                "bytes of the stream are missing: which command it answers cannot be told"
            }
            Alone::Limit => "its command was handed out before: too many waited",
        };
        Some(ItemError {
            kind: "pair-not-found",
            msg: msg.into(),
        })
    });
    Draft {
        kind: &REDIS,
        from_client: asks == Direction::ToServer,
        start: reply.ts,
        elapsed_nanos: 0,
        request_size: 0,
        response_size: reply.size,
        request: Value::Null,
        response: render::response(&reply.bytes, pushed, reply.is_cut()),
        data: Value::Null,
        error,
        ordinal: reply.ordinal,
    }
}

/// A message that has begun and not ended.
#[derive(Debug, Clone)]
pub(super) struct Partial {
    kept: Vec<u8>,
    size: u64,
    missing: u64,
    ts: Timestamp,
    ordinal: u64,
}

impl Partial {
    /// A message whose first bytes come with `chunk`.
    pub(super) fn new(chunk: &Chunk) -> Partial {
        Partial {
            kept: Vec::new(),
            size: 0,
            missing: 0,
            ts: chunk.ts,
            ordinal: chunk.ordinal,
        }
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8], ordinal: u64) {
        self.size += bytes.len() as u64;
        self.ordinal = ordinal;
        if self.missing == 0 {
            let room = MAX_ITEM_BODY.saturating_sub(self.kept.len());
            let fits = bytes.get(..room).unwrap_or(bytes);
            self.kept.extend_from_slice(fits);
        }
    }

    /// Takes note of bytes within a value that were never seen; nothing behind them is kept.
    pub(super) fn gap(&mut self, len: u64) {
        self.missing = self.missing.saturating_add(len);
    }

    /// The message, whole or as far as it went.
    pub(super) fn into_message(self, damage: Damage) -> Message {
        Message {
            bytes: self.kept.into(),
            size: self.size,
            ts: self.ts,
            ordinal: self.ordinal,
            damage: match damage {
                Damage::None if self.missing > 0 => Damage::Missing(self.missing),
                damage => damage,
            },
        }
    }

    /// Writes it for [`Partial::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.put_u64(self.missing);
        save_parts(out, self.size, self.ts, self.ordinal, &self.kept);
    }

    /// Reads it back.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Partial> {
        let missing = from.u64().ok()?;
        let (size, ts, ordinal, kept) = load_parts(from)?;
        Some(Partial {
            kept: kept.to_vec(),
            size,
            missing,
            ts,
            ordinal,
        })
    }
}

impl Message {
    /// Writes it for [`Message::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let (damage, count) = match self.damage {
            Damage::None => (0, 0),
            Damage::Missing(count) => (1, count),
            Damage::Lost => (2, 0),
            Damage::Malformed => (3, 0),
            Damage::Ended => (4, 0),
        };
        out.put_u8(damage);
        out.put_u64(count);
        save_parts(out, self.size, self.ts, self.ordinal, &self.bytes);
    }

    /// Reads it back.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Message> {
        let damage = from.u8().ok()?;
        let count = from.u64().ok()?;
        let damage = match damage {
            0 => Damage::None,
            1 => Damage::Missing(count),
            2 => Damage::Lost,
            3 => Damage::Malformed,
            4 => Damage::Ended,
            _ => return None,
        };
        let (size, ts, ordinal, bytes) = load_parts(from)?;
        Some(Message {
            bytes: Bytes::copy_from_slice(bytes),
            size,
            ts,
            ordinal,
            damage,
        })
    }
}

/// ```text
/// parts = size u64, ts i64, ordinal u64, length u32, bytes      big-endian
/// ```
fn save_parts(out: &mut Vec<u8>, size: u64, ts: Timestamp, ordinal: u64, bytes: &[u8]) {
    out.put_u64(size);
    out.put_i64(ts.nanos());
    out.put_u64(ordinal);
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

fn load_parts<'a>(from: &mut Reader<'a>) -> Option<(u64, Timestamp, u64, &'a [u8])> {
    let size = from.u64().ok()?;
    let ts = load_ts(from)?;
    let ordinal = from.u64().ok()?;
    let length = usize::try_from(from.u32().ok()?).ok()?;
    if length > MAX_ITEM_BODY {
        return None;
    }
    Some((size, ts, ordinal, from.take(length).ok()?))
}

/// Reads a time as it was saved.
pub(super) fn load_ts(from: &mut Reader<'_>) -> Option<Timestamp> {
    let bytes = from.take(8).ok()?.try_into().ok()?;
    Some(Timestamp::from_nanos(i64::from_be_bytes(bytes)))
}
