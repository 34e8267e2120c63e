//! Addresses to names, as of a packet's time.
//!
//! In: name histories (`name_resolution_history.json`, reels, watches of a cluster), and names
//! that a capture itself holds. Out: the name that an address had at a moment. Never: DNS queries,
//! sockets.

mod history;
mod live;
mod read;
mod write;

use std::net::IpAddr;
use std::sync::Arc;

use crate::item::{Identity, Process};
use crate::packet::Endpoint;
use crate::time::Timestamp;

pub use history::{Address, Change, History, Name};
pub use live::{KEPT, LiveHistory, Update};
pub use write::Form;

/// A name as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name, without namespace.
    pub name: Arc<str>,
    /// The namespace; empty when none.
    pub namespace: Arc<str>,
    /// `ip` or `ip-and-port`, with `-borrowed` behind it when it comes from another node's history;
    /// `capture` when the capture itself holds the name, `dns` or `tls-sni` when it was learned from
    /// its traffic.
    pub mechanism: &'static str,
    /// Pod, service and more, where the cluster told it.
    pub identity: Option<Arc<Identity>>,
}

/// Why a history could not be read to its end; what came before counts all the same.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The text is no name history, or is cut off.
    #[error("the name history is damaged: {0}")]
    Damaged(serde_json::Error),
    /// More addresses or changes than are kept.
    #[error("the name history has more than {max} changes; names beyond them are missing")]
    TooLarge {
        /// Changes that are kept.
        max: usize,
    },
}

/// The histories that one capture's addresses are looked up in: its node's own, then those
/// borrowed from other nodes, in the order in which they were added, then what the capture itself says.
#[derive(Debug, Default, Clone)]
pub struct Names {
    own: Option<Arc<History>>,
    live: Option<Arc<LiveHistory>>,
    borrowed: Vec<Arc<History>>,
    capture: Option<Arc<History>>,
}

impl Names {
    /// The names of a node that has a history of its own.
    pub fn of(own: Arc<History>) -> Names {
        Names {
            own: Some(own),
            ..Names::default()
        }
    }

    /// The names of a node whose history goes on while it is asked.
    pub fn live(history: Arc<LiveHistory>) -> Names {
        Names {
            live: Some(history),
            ..Names::default()
        }
    }

    /// Adds the history of another node, for addresses that are found in none before it.
    pub fn borrow(&mut self, other: Arc<History>) {
        self.borrowed.push(other);
    }

    /// The same names, and those that the capture itself holds for addresses that are found nowhere
    /// else.
    #[must_use]
    pub fn with_capture(&self, learned: Arc<History>) -> Names {
        Names {
            capture: Some(learned),
            ..self.clone()
        }
    }

    /// The name of an endpoint at a moment: first that of the address with its port, then that of
    /// the address.
    pub fn lookup(&self, endpoint: Endpoint, at: Timestamp) -> Option<Named> {
        self.find(|history| history.lookup(endpoint, at))
    }

    /// The name of an address at a moment, whatever the port; for the asking side, whose port
    /// means nothing.
    pub fn lookup_ip(&self, ip: IpAddr, at: Timestamp) -> Option<Named> {
        self.find(|history| history.lookup_ip(ip, at))
    }

    /// The process that held an end at a moment, as the reel of its node tells it.
    pub fn process(&self, endpoint: Endpoint, at: Timestamp) -> Option<Arc<Process>> {
        self.own.as_ref()?.process(endpoint, at)
    }

    fn find(&self, look: impl Fn(&History) -> Option<Named>) -> Option<Named> {
        let own = self.own.as_deref().and_then(&look);
        let live = || self.live.as_ref().and_then(|live| live.read(&look));
        own.or_else(live)
            .or_else(|| self.find_borrowed(&look))
            .or_else(|| self.capture.as_deref().and_then(&look))
    }

    fn find_borrowed(&self, look: impl Fn(&History) -> Option<Named>) -> Option<Named> {
        let mut named = self.borrowed.iter().find_map(|history| look(history))?;
        named.mechanism = match named.mechanism {
            history::IP_AND_PORT => "ip-and-port-borrowed",
            history::IP => "ip-borrowed",
            other => other,
        };
        Some(named)
    }
}

#[cfg(test)]
mod tests;
