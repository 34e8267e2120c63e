//! Tapedeck records the Kubernetes traffic that matters and keeps it where nobody can change it.
//!
//! The rooms stand here in reading order, the order in which a packet meets them; data flows one
//! way, and a room uses only rooms above it (`tests/tidy.rs` holds the exact table).
//! `docs/tour.md` follows one packet through the files.
//!
//! ```text
//!            packets              chunks             items
//! capture ────────────▶ flow ───────────▶ dissect ───────┬──▶ record   does a recording want this stream?
//! live | savefile |      5-tuple table,    protocols,    ├──▶ script   hooks of the user's JavaScript
//! archive | bucket       TCP reassembly    pairing       └──▶ server   live feed of the dashboard
//!    │
//!    ▼
//!  spool   every packet once, in order, in a bounded ring of savefiles on disk
//!    │
//!    ▼
//!  record ──▶ reel (packets, index, names, manifest) ─────▶ outbox ──▶ store (S3, folder)
//!                                                                        │
//!  investigate ◀── tap --pcap s3://bucket/ ◀─────────────────────────────┘
//! ```
//!
//! In a cluster each node is a worker, which does all of this, and `hub` shows them as one.

pub mod bytes;
pub mod private;
pub mod system;
pub mod time;
pub mod units;

pub mod packet;

pub mod capture;
pub mod flow;
pub mod synth;

pub mod item;

pub mod dissect;
pub mod kfl;
pub mod resolve;

pub mod cluster;

pub mod index;
pub mod redact;

pub mod script;

pub mod deliver;

pub mod spool;
pub mod store;

pub mod record;

pub mod pipeline;

pub mod investigate;

pub mod sql;

pub mod server;

pub mod hub;

pub mod release;

pub mod cli;
