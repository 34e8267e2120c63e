//! A release in a cluster, as a person's computer reaches it: found, forwarded, its logs read.
//!
//! In: a way to the API server. Out: the hub's dashboard on a port of this computer, logs and events of
//! the release's pods. Never: a change of anything in the cluster, a credential kept.
//!
//! ```text
//! command ──▶ 127.0.0.1:PORT ── one WebSocket a connection ──▶ API server ──▶ kubelet ──▶ hub's pod
//! ```
//!
//! The hub's dashboard listens inside its pod alone, so whoever may forward ports of that pod, and read
//! the Secret with its token, is let in: rights in the cluster are the rights here.

mod api;
mod find;
mod forward;
mod logs;

pub use api::{Api, Refusal};
pub use find::{Named, NotFound, Release, find, find_named};
pub use forward::Forward;
pub use logs::{Collected, collect, event_lines};

/// Name of a release that was given no other.
pub const DEFAULT_NAME: &str = "tapedeck";

#[cfg(test)]
mod tests;
