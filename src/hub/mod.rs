//! The protocol between the workers of a cluster and its hub, both ends.
//!
//! In: the run of each node. Out: one dashboard, one console, one set of recordings and scripts for
//! all of them. Never: packets of a recording; spool, reels and outbox stay at the worker, which
//! loses nothing that it sealed whatever becomes of the hub.
//!
//! ```text
//! worker                                        hub
//!  Uplink ── TLS 1.3, both sides verified ──▶   Hub
//!    │  state, console, hub.action               ├── nodes    who is there, who is missing
//!    │  rows that match (feed)                   ├── merge    rows of all, one ring
//!    │  packets and items that were asked for    ├── lines    console of all
//!    ◀── recordings, scripts, targets, names     ├── aims     targets, whole and their changes
//!        queries of those who look (queries)     └── Overview what the dashboard asks (server::Run)
//! ```
//!
//! Workers connect, so that only the hub needs an address. Either side may be started anew at any
//! time; versions may differ by one (`message::PROTOCOL`).

mod aims;
mod answers;
pub mod ask;
mod calls;
mod center;
pub mod certs;
pub mod difference;
mod feed;
mod fold;
pub mod following;
pub mod frame;
mod lines;
mod link;
mod marks;
mod merge;
pub mod message;
mod nodes;
mod overview;
mod queries;
mod reach;
mod refusals;
mod remembered;
mod served;
pub mod state;
pub mod targeted;
pub mod tls;
mod uplink;
mod wishes;

pub use center::{Hub, LateNews, Options as HubOptions, Whole, WholeNames};
pub use overview::{Beside, OpenStore, Overview};
pub use reach::FOUND_WITHIN;
pub use uplink::{Actions, Follower, Options as UplinkOptions, Standing, Uplink};
pub use wishes::{Configured, Files as WishFiles, Wishes};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod versions;
