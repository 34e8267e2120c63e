//! What parent and child say to each other, over one [`Line`].
//!
//! In and out: frames. Never: trust in what a child sends; a frame that cannot be read ends the child,
//! not the parent.
//!
//! ```text
//! frame    = length u32, kind u8, body                        (length counts kind and body)
//! json     = kind 0, the message as JSON
//! items    = kind 1, first u64, last u64, now i64, records    (as in item::flat)
//! sealed   = kind 2, first u64, last u64, now i64, size u64   (the records lie in sealed memory
//!                                                              that came along with the frame)
//! packets  = kind 3, ordinal u64, packets                     (17 bytes each)
//! packet   = ts i64, caplen u32, len u32, flags u8            (flags 1: fragmented)
//! queried  = kind 4, call u64, query length u32, query, one record
//! ```
//!
//! Integers are little-endian.
//!
//! **Tell and ask.** `Items`, `Packets`, `JobEnded`, `HubAction`, `PodEvent`, `LogCall` and `Tick`
//! tell: each is answered by one `Done`.
//! `Queried`, `RunJob` and `Drain` ask: each is answered by one `Answered` with its call number. So
//! the parent always knows whether a child owes it something. While a child works it sends a `Beat`
//! between two calls of hooks when [`BEAT_EVERY`] has passed: silence for longer than the budget,
//! with no host call open, means that one call of one hook does not return.

mod batch;
mod hook;
mod line;
mod macros;
mod message;
mod receive;
mod sealed;
mod send;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

pub use self::batch::{Batch, MAX_BATCH};
pub use self::hook::{FILTER, Hook, Role};
pub use self::line::Line;
pub use self::macros::{Macros, macros_of, with_macros};
pub use self::message::{
    ClockMode, Dates, Elapsed, Habits, Level, Limits, PacketSummary, Small, Spent, Start, Thrown,
    ToChild, ToParent,
};
pub use self::receive::{FromChild, FromParent};
pub use self::send::{send_to_child, send_to_parent};

/// Bytes of one frame: room for a helper that writes a large file in one call.
pub const MAX_FRAME: usize = 64 << 20;

/// Longest time that a child works in silence between two calls of hooks.
pub const BEAT_EVERY: Duration = Duration::from_millis(50);

const JSON: u8 = 0;
const ITEMS: u8 = 1;
const SEALED: u8 = 2;
const PACKETS: u8 = 3;
const QUERIED: u8 = 4;

/// Bytes of first, last and now in front of records.
const BATCH_HEAD: usize = 24;

/// Bytes of one packet summary.
const PACKET: usize = 17;

/// Why a message was not sent or not understood.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The line failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A frame's length is 0 or above [`MAX_FRAME`].
    #[error("a message of {0} bytes is too large, at most {MAX_FRAME} bytes can be sent at once")]
    Size(usize),
    /// The other end closed within a frame.
    #[error("the connection ended within a message")]
    Cut,
    /// A frame's body is not what its kind says.
    #[error("a message of kind {0} cannot be read")]
    Malformed(u8),
}
