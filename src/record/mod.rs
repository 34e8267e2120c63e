//! Recordings: which streams are kept, reels, manifests, and the outbox.
//!
//! In: batches with their items, wishes, look-backs from the spool. Out: sealed reels in a store:
//! packets, index, names, then a manifest that says what they are and what is missing. Never: judgement by
//! scripts, payload in messages, objects written twice.
//!
//! ```text
//! items, packets ──▶ Recorder ──▶ lane (one a recording) ──▶ open reel ──▶ sealer ──▶ Outbox ──▶ Store
//!                                      ▲ look-back
//!                                    spool
//! ```
//!
//! Every arrow to the right of the open reel survives kill -9: what is on its left of it is read
//! back at the next start and goes on from there.

mod budget;
mod files;
mod indexer;
pub mod journal;
mod keys;
mod lane;
pub mod manifest;
pub mod names;
pub mod outbox;
mod parcel;
mod rate;
mod recorder;
mod redaction;
mod reel;
mod rollup;
mod seal;
mod sealer;
mod settings;
pub mod sign;
mod states;
mod taken;
mod upload;
mod wish;

#[cfg(test)]
mod tests;

pub(crate) use files::{read_capped, read_json, write_json, write_whole};
pub use indexer::{Indexer, SealedReel};
pub use keys::{
    LATE, MANIFEST, PREFIX, ROLLUPS, SETTLED_AFTER, of_late_mark, of_manifest as manifest_key,
};
pub use lane::MAX_TAKEN;
pub use outbox::Outbox;
pub use recorder::{
    DEFAULT_OPEN_BYTES, Options, ReadCoverage, Recorder, RecorderError, Status, WantStates,
};
pub use redaction::rewrite;
pub use seal::{ENTERPRISE, FRAME_BYTES};
pub use states::{
    GOES_ON_MAGIC, STATE_MAGIC, States, parse_goes_on, parse_state, put_endpoint, take_endpoint,
};
pub use upload::digest_of;
pub use wish::{
    DEFAULT_BYTES_PER_DAY, Format, MAX_RECORDINGS, Retention, Scope, Sealing, Trigger, Wish,
};
