//! What scripts may do to the world: files, packets, objects, recordings.
//!
//! In: the requests of script children. Out: effects, each confined: files to one data folder,
//! uploads to the node's own keys. Never: anything that a limit does not bound.

mod dry;
pub(crate) mod files;
mod live;
pub(crate) mod objects;
pub(crate) mod snapshot;
mod spooled;
pub(crate) mod streams;

pub use dry::{DryHost, Sent, SentLog, Upload};
pub use live::{HISTORY, LiveHost, LiveOptions, Recordings};
pub use objects::{NodeName, S3Target, StoreFactory};
pub use spooled::SpoolStreams;
pub use streams::{StreamReader, StreamRef};

#[cfg(test)]
mod tests;
