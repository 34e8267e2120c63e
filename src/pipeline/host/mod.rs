//! What scripts may do to the world: files, packets, objects, recordings.
//!
//! In: the requests of script children. Out: effects, each confined: files to one data folder,
//! uploads to the node's own keys. Never: anything that a limit does not bound.

mod dry;
pub(crate) mod files;
mod health;
mod live;
mod metrics;
pub(crate) mod objects;
mod outside;
pub(crate) mod snapshot;
mod spooled;
pub(crate) mod streams;
mod vendor;
mod web;

pub use dry::{DryHost, Sent, SentLog, Upload};
pub use health::health;
pub use live::{HISTORY, LiveHost, LiveOptions, Recordings};
pub(crate) use metrics::escaped;
pub use objects::{NodeName, S3Target, StoreFactory};
pub use outside::{HubAction, Outside, PodBlocker};
pub use spooled::SpoolStreams;
pub use streams::{StreamReader, StreamRef};
pub use vendor::{CREDENTIALS, Credential, Credentials, Used, VendorOptions};
pub use web::NetworkPolicy;

#[cfg(test)]
mod tests;
