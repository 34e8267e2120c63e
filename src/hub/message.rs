//! What workers and hub say to each other.
//!
//! In and out: plain values and frames. Never: trust; whatever comes may be cut off, too large or of
//! a newer version. What is not known is left out, so that versions may differ by one.
//!
//! ```text
//! kind 1  JSON, one of [`ToHub`] or [`ToWorker`]
//! kind 2  rows    batch u64, query u64, skipped u64, plain length u32, zstd block   worker to hub
//! kind 3  chunk   call u64, bytes                                                   worker to hub
//! kind 4  names   deltas of the name history, JSON                                  hub to worker
//! ```

use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::ask::Ask;
use super::frame::{self, Frame, TooLong};
use super::state::{ConsoleLine, State};

/// Version of what is said here; it rises when something is said that older programs must know of.
pub const PROTOCOL: u32 = 1;

/// Bytes of the rows of one batch at most, unpacked.
pub const MAX_ROWS: usize = 4 << 20;

/// Rows that fill a batch.
pub const FULL_BATCH: usize = 1 << 20;

/// Queries that are in force at once.
pub const MAX_QUERIES: usize = 32;

const JSON: u8 = 1;
const ROWS: u8 = 2;
const CHUNK: u8 = 3;
const NAMES: u8 = 4;

/// Level of zstd for rows: the lowest, which takes a tenth of the bytes away from the network and
/// little from the processor.
const LEVEL: i32 = 1;

/// The protocol that two sides speak, the older of theirs.
///
/// # Errors
/// One sentence when they differ by more than one.
pub fn common(ours: u32, theirs: u32) -> Result<u32, String> {
    if ours.abs_diff(theirs) <= 1 {
        return Ok(ours.min(theirs));
    }
    Err(format!(
        "the hub speaks protocol {ours} and this worker {theirs}, which may differ by one; \
         bring the older of them to the version of the other"
    ))
}

/// Who a worker is; always its first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// [`PROTOCOL`] of the worker.
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    /// Name of the node.
    pub node: String,
    /// Its address.
    pub ip: String,
    /// The worker as items name it, `ip:port`.
    pub worker: String,
    /// The run: its Unix start second.
    pub run: u64,
    /// A random number of the process, which tells runs of one second apart; 0 from those that have none.
    #[serde(default)]
    pub instance: u64,
    /// Whether it takes differences of targets ([`ToWorker::Retargeted`]).
    #[serde(default)]
    pub takes_differences: bool,
}

impl Hello {
    /// Of two workers of one node the greater one stays: that of the newer run, and of two that began in the
    /// same second always the same one, whichever of them asks.
    pub(super) fn rank(&self) -> (u64, u64) {
        (self.run, self.instance)
    }

    /// That of a worker of this version in tests.
    #[cfg(test)]
    pub(super) fn of(node: &str, run: u64) -> Hello {
        Hello {
            protocol: PROTOCOL,
            version: "0.1.0".into(),
            node: node.into(),
            ip: "10.0.0.1".into(),
            worker: "10.0.0.1:8897".into(),
            run,
            instance: 0,
            takes_differences: true,
        }
    }
}

/// What a worker says as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ToHub {
    /// Who it is.
    Hello(Hello),
    /// How it is.
    State(Box<State>),
    /// What its scripts print.
    Console {
        /// The lines, in order.
        lines: Vec<ConsoleLine>,
    },
    /// `hub.action` of a script.
    Action {
        /// Its name.
        action: String,
        /// What comes with it.
        object: Json,
    },
    /// `hub.blockPod` of a script.
    BlockPod {
        /// Name of the pod.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// What was asked is answered, or all chunks of it were sent.
    Answer {
        /// Number of the call.
        call: u64,
        /// The answer, or one sentence.
        result: Result<Json, String>,
    },
    /// The rows that were there before a query came are sent.
    Backfilled {
        /// Number of the query.
        query: u64,
    },
    /// Asks for the targets whole: a difference did not fit.
    Astray,
    /// It is alive.
    Beat,
    /// Something of a newer version.
    #[serde(other)]
    Unknown,
}

/// One file of scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptText {
    /// File name.
    pub name: String,
    /// The whole text.
    pub code: String,
}

/// What all workers follow: recordings and scripts.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spread {
    /// `RECORDING_KFL`; `None` for none.
    pub recording_kfl: Option<String>,
    /// Whether the query stays as the worker has it instead: it is invalid, and the hub knows no other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub query_stays: bool,
    /// `recordings:`, and those that were added at the hub.
    pub recordings: Json,
    /// Names of those that were added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Whether `recordings:` stays as the worker has it, beside those that were added: it is invalid, and the
    /// hub knows no other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub list_stays: bool,
    /// `scripting.env` as scripts see it.
    pub env: Map<String, Json>,
    /// `scripting.envFor`.
    pub env_for: Map<String, Json>,
    /// The scripts, in their order.
    pub scripts: Vec<ScriptText>,
}

/// A query of somebody who looks at items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryText {
    /// Its number.
    pub id: u64,
    /// KFL.
    pub kfl: String,
}

/// What the hub says as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ToWorker {
    /// The worker may stay; always the first message, unless it is `Refused`.
    Welcome {
        /// The protocol that is spoken.
        protocol: u32,
        /// Version of the hub's program.
        version: String,
        /// Number of the hub's life: another one knows nothing of what was sent before.
        hub: u64,
        /// Number of the last batch of rows of this run that came.
        received: u64,
        /// Lines of the console of this run that came.
        lines: u64,
        /// Endpoints of the hub, whose traffic is not captured; with port 0 all ports of an address.
        own: Vec<SocketAddr>,
    },
    /// The worker may not stay.
    Refused {
        /// Why, one sentence.
        sentence: String,
    },
    /// Recordings and scripts as they are from now on.
    Spread(Box<Spread>),
    /// The queries in force; rows that match none stay where they are.
    Queries {
        /// All of them.
        queries: Vec<QueryText>,
    },
    /// Rows came.
    Received {
        /// Number of the last batch.
        batch: u64,
    },
    /// What is to be captured.
    Targets {
        /// As [`Targeted`](super::targeted::Targeted) writes them.
        targets: Json,
        /// Their number in the hub's life; 0 from those that tell no differences.
        #[serde(default)]
        number: u64,
    },
    /// What changed of it.
    Retargeted {
        /// Number of the targets before.
        base: u64,
        /// Number of those that it makes of them.
        number: u64,
        /// As [`Difference`](super::difference::Difference) writes it.
        difference: Json,
    },
    /// All names in force were told since the connection began: what was not among them has none.
    Named,
    /// What became of pods.
    News {
        /// As whoever hears it wrote it.
        news: Json,
    },
    /// Asks for something.
    Call {
        /// Number of the call.
        call: u64,
        /// What.
        ask: Ask,
    },
    /// More chunks of a call may come.
    More {
        /// Number of the call.
        call: u64,
        /// How many more.
        chunks: u32,
    },
    /// Nobody waits for a call any more.
    Cancel {
        /// Number of the call.
        call: u64,
    },
    /// It is alive.
    Beat,
    /// Something of a newer version.
    #[serde(other)]
    Unknown,
}

/// Rows on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Number of the batch in the worker's run, from 1.
    pub batch: u64,
    /// The query for which rows of before are sent; 0 for rows as they come.
    pub query: u64,
    /// Rows that were left out before these.
    pub skipped: u64,
    /// Flat records, back to back.
    pub records: Vec<u8>,
}

/// A message that a worker sends.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWorker {
    /// As JSON.
    Said(ToHub),
    /// Rows.
    Rows(Rows),
    /// A piece of what was asked for.
    Chunk {
        /// Number of the call.
        call: u64,
        /// The bytes.
        bytes: Bytes,
    },
}

/// A message that the hub sends.
#[derive(Debug, Clone, PartialEq)]
pub enum FromHub {
    /// As JSON.
    Said(ToWorker),
    /// Deltas of the name history.
    Names(Bytes),
}

/// Something that is no message.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// JSON that is none, or lacks what its kind has.
    #[error("a message cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A body that is shorter than its kind has.
    #[error("a message is cut off")]
    Short,
    /// Rows that cannot be unpacked, or are too many.
    #[error("rows cannot be unpacked: {0}")]
    Packed(std::io::Error),
}

/// The frame of a message as JSON.
///
/// # Errors
/// When it is too long.
pub fn said(message: &impl Serialize) -> Result<Bytes, TooLong> {
    // What is said has names and plain values only, which JSON can always hold.
    let text = serde_json::to_vec(message).unwrap_or_default();
    frame::encode(JSON, &[&text])
}

/// The frame of rows.
///
/// # Errors
/// When they are too many.
pub fn rows(rows: &Rows) -> Result<Bytes, TooLong> {
    let length = rows.records.len();
    let most = MAX_ROWS;
    if length > most {
        return Err(TooLong { length, most });
    }
    let packed = zstd::bulk::compress(&rows.records, LEVEL).unwrap_or_default();
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let parts: [&[u8]; 5] = [
        &rows.batch.to_le_bytes(),
        &rows.query.to_le_bytes(),
        &rows.skipped.to_le_bytes(),
        &length.to_le_bytes(),
        &packed,
    ];
    frame::encode(ROWS, &parts)
}

/// The frame of a piece of what was asked for.
///
/// # Errors
/// When it is too long.
pub fn chunk(call: u64, bytes: &[u8]) -> Result<Bytes, TooLong> {
    frame::encode(CHUNK, &[&call.to_le_bytes(), bytes])
}

/// The frame of deltas of the name history.
///
/// # Errors
/// When they are too long.
pub fn names(deltas: &[u8]) -> Result<Bytes, TooLong> {
    frame::encode(NAMES, &[deltas])
}

/// Reads a worker's message; `None` for one of a kind that is not known.
///
/// # Errors
/// When it is malformed.
pub fn from_worker(frame: Frame) -> Result<Option<FromWorker>, Malformed> {
    let Frame { kind, mut body } = frame;
    match kind {
        JSON => Ok(Some(FromWorker::Said(serde_json::from_slice(&body)?))),
        ROWS => {
            if body.len() < 28 {
                return Err(Malformed::Short);
            }
            let (batch, query, skipped) = (body.get_u64_le(), body.get_u64_le(), body.get_u64_le());
            let length = body.get_u32_le() as usize;
            if length > MAX_ROWS {
                return Err(Malformed::Packed(std::io::ErrorKind::OutOfMemory.into()));
            }
            let records = zstd::bulk::decompress(&body, length).map_err(Malformed::Packed)?;
            Ok(Some(FromWorker::Rows(Rows {
                batch,
                query,
                skipped,
                records,
            })))
        }
        CHUNK => {
            if body.len() < 8 {
                return Err(Malformed::Short);
            }
            let call = body.get_u64_le();
            Ok(Some(FromWorker::Chunk { call, bytes: body }))
        }
        _ => Ok(None),
    }
}

/// Reads a message of the hub; `None` for one of a kind that is not known.
///
/// # Errors
/// When it is malformed.
pub fn from_hub(frame: Frame) -> Result<Option<FromHub>, Malformed> {
    match frame.kind {
        JSON => Ok(Some(FromHub::Said(serde_json::from_slice(&frame.body)?))),
        NAMES => Ok(Some(FromHub::Names(frame.body))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::hub::frame::Frames;

    fn frame(bytes: &Bytes) -> Frame {
        let mut frames = Frames::new(frame::MAX_FRAME);
        frames.buffer().extend_from_slice(bytes);
        frames.take().unwrap().unwrap()
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let hello = ToHub::Hello(Hello::of("n", 7));
        let answer = ToHub::Answer {
            call: 3,
            result: Err("no".into()),
        };
        let state = ToHub::State(Box::new(State {
            counts: Some(json!({"packets": 1})),
            ..State::default()
        }));
        for message in [hello, answer, state, ToHub::Beat] {
            let read = from_worker(frame(&said(&message).unwrap())).unwrap();
            assert_eq!(read, Some(FromWorker::Said(message)));
        }
        let call = ToWorker::Call {
            call: 1,
            ask: Ask::Seal { name: None },
        };
        let spread = ToWorker::Spread(Box::new(Spread {
            recording_kfl: Some("http".into()),
            ..Spread::default()
        }));
        for message in [call, spread] {
            let read = from_hub(frame(&said(&message).unwrap())).unwrap();
            assert_eq!(read, Some(FromHub::Said(message)));
        }
        let sent = Rows {
            batch: 4,
            query: 2,
            skipped: 9,
            records: vec![7; 100_000],
        };
        let packed = rows(&sent).unwrap();
        assert!(packed.len() < 1000);
        assert_eq!(
            from_worker(frame(&packed)).unwrap(),
            Some(FromWorker::Rows(sent))
        );
    }

    #[test]
    fn what_a_newer_version_says_is_left_out() {
        let newer = |text: &str| frame(&frame::encode(JSON, &[text.as_bytes()]).unwrap());
        let read = from_worker(newer(r#"{"kind":"weather","sun":true}"#)).unwrap();
        assert_eq!(read, Some(FromWorker::Said(ToHub::Unknown)));
        let read = from_hub(newer(r#"{"kind":"beat","with":"more"}"#)).unwrap();
        assert_eq!(read, Some(FromHub::Said(ToWorker::Beat)));
        let other = frame(&frame::encode(99, &[b"x"]).unwrap());
        assert_eq!(from_worker(other).unwrap(), None);
        assert_eq!(common(1, 2), Ok(1));
        assert_eq!(common(2, 1), Ok(1));
        assert!(
            common(1, 3)
                .unwrap_err()
                .contains("protocol 1 and this worker 3")
        );
    }

    #[test]
    fn rows_that_would_burst_memory_are_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], LEVEL).unwrap();
        for said in [MAX_ROWS, 64 << 20] {
            let length = u32::try_from(said).unwrap().to_le_bytes();
            let parts: [&[u8]; 3] = [&[0; 24], &length, &bomb];
            let bytes = frame::encode(ROWS, &parts).unwrap();
            assert!(from_worker(frame(&bytes)).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_body_is_a_message_or_an_error(kind in 0_u8..6, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let body = Bytes::from(body);
            let _ = from_worker(Frame { kind, body: body.clone() });
            let _ = from_hub(Frame { kind, body });
        }
    }
}
