//! The messages: what a script is started with, what the parent says, what a child says.
//!
//! In and out: plain values. Never: bytes; `send` and `receive` make them.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::batch::Batch;
use super::hook::{Hook, Role};
use super::macros::Macros;
use crate::script::host::HostCall;
use crate::script::times::Times;
use crate::time::Timestamp;

/// Where a script's clock gets its time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClockMode {
    /// From the system.
    #[default]
    Wall,
    /// From the packets: each message's `now`, and the end of each item.
    Packet,
}

/// What one child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Address space in bytes; the heap alone where the system bounds no process.
    pub memory: u64,
    /// Iterations of loops in one call frame.
    pub loop_iterations: u64,
    /// Calls within calls.
    pub recursion: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 1 << 30,
            loop_iterations: 10_000_000,
            recursion: 512,
        }
    }
}

/// What reads as a script was written for, where the usual way has another.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Habits {
    /// Unit of `data.elapsedTime`.
    pub elapsed: Elapsed,
    /// How a `Date` becomes text.
    pub dates: Dates,
}

/// Unit of `data.elapsedTime`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Elapsed {
    /// Milliseconds.
    #[default]
    Millis,
    /// Microseconds.
    Micros,
}

/// How a `Date` becomes text.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dates {
    /// As ECMAScript says: `Fri Feb 02 2024 12:00:00 GMT+0000 (UTC)`.
    #[default]
    Standard,
    /// As the engine otto did: `Fri, 02 Feb 2024 12:00:00 UTC`.
    Otto,
}

/// The first message to a child: the script and its surroundings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// Where the script lies, for error texts.
    pub path: String,
    /// The script's title.
    pub title: String,
    /// The whole text.
    pub code: String,
    /// `scripting.env`.
    pub env: serde_json::Map<String, Json>,
    /// The script's stable index.
    pub index: u32,
    /// Name of the node.
    pub node: String,
    /// The run: its Unix start second.
    pub run: u64,
    /// Which role the instance plays.
    pub role: Role,
    /// Where its clock gets its time.
    pub clock: ClockMode,
    /// The present moment; what the clock shows first in packet mode.
    pub now: Timestamp,
    /// What it may use.
    pub limits: Limits,
    /// How items and dates read.
    pub habits: Habits,
    /// Macros of the configuration, each with the query that it stands for.
    pub macros: Macros,
}

/// One packet as `onPacketCaptured` sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketSummary {
    /// When it was captured.
    pub at: Timestamp,
    /// Bytes present.
    pub caplen: u32,
    /// Bytes on the wire.
    pub len: u32,
    /// Whether it is a fragment that does not end its datagram.
    pub fragmented: bool,
}

/// What the parent says.
#[derive(Debug, Clone)]
pub enum ToChild {
    /// The script to run; always first.
    Start(Box<Start>),
    /// Items captured.
    Items(Batch),
    /// Packets captured, the last of which has the ordinal.
    Packets {
        /// Ordinal of the last packet.
        last: u64,
        /// The packets in their order.
        packets: Vec<PacketSummary>,
    },
    /// Asks `onItemQueried` about one item.
    Queried {
        /// Number of the question.
        call: u64,
        /// The query of the client that will see the item.
        query: String,
        /// The item's flat record.
        record: Vec<u8>,
    },
    /// Anything else.
    Small(Small),
}

/// The parent's messages that are small and sent as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Small {
    /// Runs a job.
    RunJob {
        /// Number of the question.
        call: u64,
        /// The function, as `jobs.schedule` numbered it.
        task: u64,
        /// When it was due.
        now: Timestamp,
    },
    /// No job has the function any more.
    ForgetTask {
        /// The function, as `jobs.schedule` numbered it.
        task: u64,
    },
    /// A job of any script ended; `err` says that it failed.
    JobEnded {
        /// Normalised tag.
        tag: String,
        /// Cron text.
        cron: String,
        /// Runs allowed; 0 is no limit.
        limit: u64,
        /// Why it failed; absent when it passed.
        err: Option<String>,
    },
    /// A script sent something to the hub.
    HubAction {
        /// Its name.
        action: String,
        /// What came with it.
        object: Json,
    },
    /// A pod came, changed or went.
    PodEvent {
        /// `ADDED`, `MODIFIED` or `DELETED`.
        event: String,
        /// The pod, as core/v1 has it.
        pod: Json,
    },
    /// This program logged something.
    LogCall {
        /// `info`, `warning` or `error`.
        level: String,
        /// JSON text of the record.
        msg: String,
    },
    /// The time is `now`: timers that are due run.
    Tick {
        /// The present moment.
        now: Timestamp,
    },
    /// Answers when all that was said before is done.
    Drain {
        /// Number of the question.
        call: u64,
    },
    /// End now.
    Stop,
    /// What a host call came to.
    Answer {
        /// Number of the call.
        call: u64,
        /// What the helper returns, or the message of its error.
        result: Result<Json, String>,
    },
}

/// What kind of line a script prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// `console.log` and its like.
    Log,
    /// `console.error`, and what went wrong in a hook.
    Error,
    /// `console.clear`.
    Clear,
}

/// What the calls of one hook came to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Calls.
    pub calls: u64,
    /// Calls that ended in an exception.
    pub errors: u64,
    /// Time within them, host calls left out.
    pub nanos: u64,
    /// The same, call by call.
    #[serde(default, skip_serializing_if = "Times::is_empty")]
    pub times: Times,
}

/// What a function of a script threw.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thrown {
    /// The error as JavaScript shows it: `TypeError: ...`.
    pub text: String,
    /// Where it was thrown, to be put behind the text; empty when that is not known.
    pub place: String,
}

impl Thrown {
    /// An error without a place.
    pub fn plain(text: impl Into<String>) -> Thrown {
        Thrown {
            text: text.into(),
            place: String::new(),
        }
    }
}

/// `Error: no (at a.js:3:5: throw new Error("no"))`
impl std::fmt::Display for Thrown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.text, self.place)
    }
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ToParent {
    /// The top level completed; nothing else is sent to a child before this.
    Ready {
        /// Hooks that the script defines.
        hooks: Vec<Hook>,
        /// The query that the script states for its item hook; absent tells it every item.
        kfl: Option<String>,
        /// What the system does not let the child limit, a sentence each.
        missing: Vec<String>,
    },
    /// The script cannot be run; the child ends.
    LoadFailed {
        /// What went wrong, with file, line and column and the line itself where known.
        message: String,
        /// Line, from 1.
        line: Option<u32>,
        /// Column, from 1.
        column: Option<u32>,
    },
    /// Hooks were defined or taken away later on, or the query of the item hook changed.
    Hooks {
        /// Hooks that the script defines now.
        hooks: Vec<Hook>,
        /// The query that the script states now.
        kfl: Option<String>,
    },
    /// The earliest timer changed; the parent sends a `Tick` then.
    TimerAt {
        /// When; absent when there is no timer.
        at: Option<Timestamp>,
    },
    /// A console line.
    Console {
        /// What kind of line.
        level: Level,
        /// The text without prefix.
        text: String,
    },
    /// Asks for an effect; nothing else happens in the child until the answer.
    Call {
        /// Number of the call.
        call: u64,
        /// What is asked.
        with: HostCall,
    },
    /// Answers a question; `null` when the hook returned no object.
    Answered {
        /// Number of the question.
        call: u64,
        /// What the function returned, or its exception.
        result: Result<Json, Thrown>,
        /// What the call cost.
        spent: Spent,
    },
    /// Something told is done.
    Done {
        /// Number of the last item or ordinal of the last packet; 0 for other things told.
        last: u64,
        /// What the hook calls came to.
        spent: Spent,
    },
    /// The engine met one of its limits and does not unwind what ran: the child ends instead of
    /// answering.
    Spoilt {
        /// The error, with the place where it is.
        message: String,
    },
    /// The child works; see the head of the room `wire`.
    Beat {
        /// Number of the item, or ordinal of the batch's last packet, that comes now.
        at: u64,
    },
}
