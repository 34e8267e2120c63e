//! One request or response while it is put together, and the items that come of them.
//!
//! In: the bytes of a message as they come. Out: a [`Message`], then a [`Draft`]. Never: more than
//! [`MAX_ITEM_BODY`] bytes of one message kept.
//!
//! What is kept of a message carries with it what rendering needs besides:
//!
//! ```text
//! kept = ts i64, API key i16 (-1 unknown), API version i16, length of names u32, names (which
//!        come last of all), the message from its size on
//! ```

use bytes::{BufMut, Bytes};

use super::header::{REQUEST_START, RequestStart};
use super::{KAFKA, render, schema};
use crate::bytes::Reader;
use crate::dissect::Draft;
use crate::item::{ItemError, MAX_ITEM_BODY, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Bytes before names and message in what is kept.
pub(super) const PREFIX: usize = 16;

/// Where the API stands in them.
const API: std::ops::Range<usize> = 8..12;

/// Where the length of the names stands in them.
const NAMES: std::ops::Range<usize> = 12..16;

/// Bytes of a request that are kept when memory runs short: its header.
const SHED: usize = PREFIX + REQUEST_START + 256;

/// What is wrong with one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// Nothing.
    None,
    /// So many bytes of it were not captured.
    Missing(u64),
    /// The stream ended within it.
    Ended,
}

/// A message that is being put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partial {
    kept: Vec<u8>,
    /// Bytes still to come.
    left: u64,
    seen: u64,
    missing: u64,
    ts: Timestamp,
    ordinal: u64,
}

impl Partial {
    /// A message of `size` bytes behind its size.
    pub(super) fn new(size: u32, ts: Timestamp, ordinal: u64) -> Partial {
        let mut kept = Vec::new();
        kept.put_i64(ts.nanos());
        kept.put_i16(-1);
        kept.put_i16(0);
        kept.put_u32(0);
        Partial {
            kept,
            left: 4 + u64::from(size),
            seen: 0,
            missing: 0,
            ts,
            ordinal,
        }
    }

    /// Takes what belongs to it off the front of `bytes`; how many that were.
    pub(super) fn push(&mut self, bytes: &[u8], ordinal: u64) -> usize {
        let count = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let bytes = bytes.get(..count).unwrap_or_default();
        self.left -= count as u64;
        self.seen += count as u64;
        self.ordinal = ordinal;
        if self.missing == 0 {
            let room = (PREFIX + MAX_ITEM_BODY).saturating_sub(self.kept.len());
            self.kept
                .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        count
    }

    /// Takes note of bytes that were never seen; false when it ends in them, and more.
    pub(super) fn gap(&mut self, len: u64) -> bool {
        self.missing = self.missing.saturating_add(len.min(self.left));
        let within = len <= self.left;
        self.left = self.left.saturating_sub(len);
        within
    }

    /// Whether all of it is there.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The message, whole or as far as it went.
    pub(super) fn into_message(self) -> Message {
        Message {
            kept: self.kept,
            size: self.seen,
            ts: self.ts,
            ordinal: self.ordinal,
            damage: match (self.missing, self.left) {
                (0, 0) => Damage::None,
                (0, _) => Damage::Ended,
                (missing, _) => Damage::Missing(missing),
            },
        }
    }

    /// Writes it for [`Partial::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        for number in [self.left, self.seen, self.missing, self.ordinal] {
            out.put_u64(number);
        }
        save_kept(out, &self.kept);
    }

    /// Reads it back.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Partial> {
        let mut number = || from.u64().ok();
        let (left, seen, missing, ordinal) = (number()?, number()?, number()?, number()?);
        let (kept, ts) = load_kept(from)?;
        Some(Partial {
            kept,
            left,
            seen,
            missing,
            ts,
            ordinal,
        })
    }
}

/// One request or response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    kept: Vec<u8>,
    /// Bytes of it as captured, the size before it included.
    pub size: u64,
    /// Time of its first packet.
    pub ts: Timestamp,
    /// Ordinal of the packet that completed it.
    pub ordinal: u64,
    /// What is wrong with it.
    pub damage: Damage,
}

impl Message {
    /// What is kept of it, from its size on; names are not there yet.
    pub(super) fn bytes(&self) -> &[u8] {
        self.kept.get(PREFIX..).unwrap_or_default()
    }

    /// Bytes that it holds in memory.
    pub(super) fn weight(&self) -> usize {
        self.kept.len()
    }

    /// Lets go of all but its header.
    pub(super) fn shed(&mut self) {
        self.kept.truncate(SHED);
        self.kept.shrink_to_fit();
    }

    /// Notes the API, which a response does not say itself.
    fn set_api(&mut self, key: i16, version: i16) {
        if let Some(place) = self.kept.get_mut(API) {
            let [a, b] = key.to_be_bytes();
            let [c, d] = version.to_be_bytes();
            place.copy_from_slice(&[a, b, c, d]);
        }
    }

    /// Adds the names of topics that it may speak of by their identifiers.
    fn set_names(&mut self, names: &[u8]) {
        if let (Some(place), Ok(length)) = (self.kept.get_mut(NAMES), u32::try_from(names.len())) {
            place.copy_from_slice(&length.to_be_bytes());
            self.kept.splice(PREFIX..PREFIX, names.iter().copied());
        }
    }

    fn error(&self, what: &str) -> Option<ItemError> {
        let msg = match self.damage {
            Damage::None => return None,
            Damage::Missing(count) => format!("{count} bytes of the {what} were not captured"),
            Damage::Ended => format!("the stream ends within the {what}"),
        };
        Some(ItemError {
            kind: "dissection",
            msg,
        })
    }

    /// Writes it for [`Message::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let (damage, count) = match self.damage {
            Damage::None => (0, 0),
            Damage::Missing(count) => (1, count),
            Damage::Ended => (2, 0),
        };
        out.put_u8(damage);
        for number in [count, self.size, self.ordinal] {
            out.put_u64(number);
        }
        save_kept(out, &self.kept);
    }

    /// Reads it back.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Message> {
        let damage = from.u8().ok()?;
        let count = from.u64().ok()?;
        let damage = match damage {
            0 => Damage::None,
            1 => Damage::Missing(count),
            2 => Damage::Ended,
            _ => return None,
        };
        let size = from.u64().ok()?;
        let ordinal = from.u64().ok()?;
        let (kept, ts) = load_kept(from)?;
        Some(Message {
            kept,
            size,
            ts,
            ordinal,
            damage,
        })
    }
}

/// ```text
/// kept = length u32, bytes      big-endian
/// ```
fn save_kept(out: &mut Vec<u8>, kept: &[u8]) {
    out.put_u32(u32::try_from(kept.len()).unwrap_or(u32::MAX));
    out.put_slice(kept);
}

fn load_kept(from: &mut Reader<'_>) -> Option<(Vec<u8>, Timestamp)> {
    let length = usize::try_from(from.u32().ok()?).ok()?;
    if !(PREFIX..=PREFIX + MAX_ITEM_BODY).contains(&length) {
        return None;
    }
    let kept = from.take(length).ok()?;
    let ts = Reader::new(kept).u64().ok()?.cast_signed();
    Some((kept.to_vec(), Timestamp::from_nanos(ts)))
}

/// Why a request or a response stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alone {
    /// So it should: a Produce that wants no acknowledgement.
    Rightly,
    /// The other half was not captured.
    Unseen,
    /// Too many requests wait.
    Limit,
}

/// An item of what was seen; `names` as in [`super::names`].
pub(super) fn draft(
    asks: Direction,
    mut request: Option<Message>,
    mut response: Option<Message>,
    names: &[u8],
    why: Alone,
) -> Draft {
    let response_error = response
        .as_ref()
        .and_then(|message| message.error("response"));
    let request_error = request
        .as_ref()
        .and_then(|message| message.error("request"));
    let error = response_error.or(request_error).or_else(|| {
        let msg = match (&request, &response, why) {
            (Some(_), Some(_), _) | (_, _, Alone::Rightly) => return None,
            (_, _, Alone::Limit) => "too many requests waited for their responses",
            (Some(_), None, _) => "no response to this request was captured",
            (None, _, _) => "no request for this response was captured",
        };
        Some(ItemError {
            kind: "pair-not-found",
            msg: msg.into(),
        })
    });
    let start = request.as_ref().or(response.as_ref());
    let start = start.map_or(Timestamp::default(), |message| message.ts);
    let elapsed = response
        .as_ref()
        .map_or(0, |response| response.ts.since(start).as_nanos());
    let ordinal = |message: &Option<Message>| message.as_ref().map_or(0, |one| one.ordinal);
    let size = |message: &Option<Message>| message.as_ref().map_or(0, |one| one.size);
    let api = request
        .as_ref()
        .and_then(|request| RequestStart::read(request.bytes()).ok());
    if let Some(api) = api {
        let by_id = schema::has_topic_ids(api.key, api.version);
        for message in [&mut request, &mut response].into_iter().flatten() {
            message.set_api(api.key, api.version);
            if by_id {
                message.set_names(names);
            }
        }
    }
    Draft {
        kind: &KAFKA,
        from_client: asks == Direction::ToServer,
        start,
        elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
        request_size: size(&request),
        response_size: size(&response),
        ordinal: ordinal(&request).max(ordinal(&response)),
        request: request.map_or(Value::Null, |message| {
            Value::lazy(Bytes::from(message.kept), render::request)
        }),
        response: response.map_or(Value::Null, |message| {
            Value::lazy(Bytes::from(message.kept), render::response)
        }),
        data: Value::Null,
        error,
    }
}
