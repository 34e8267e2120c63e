//! The tunnels that an item's packets came in: the outer flow of an inner one.
//!
//! ```text
//! tunnel = type, id, src {ip, port}, dst {ip, port}, outer: the tunnel around it
//! ```
//!
//! In: the tunnels around a packet. Out: the same, turned so that `src` is on the side of the item's
//! `src`. Never: an item for the tunnel itself.

use std::sync::Arc;

use crate::packet::{Endpoint, Tunnel};

/// Tunnels around a conversation, as the first of its packets that had them shows; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnels {
    /// The innermost first; never empty.
    list: Arc<[Tunnel]>,
    /// Whether the packet went from the item's `dst` to its `src`.
    turned: bool,
}

impl Tunnels {
    /// The tunnels around a packet, the innermost first, as seen by its sender; `None` when there
    /// are none.
    pub fn new<'t>(around: impl Iterator<Item = &'t Tunnel>) -> Option<Tunnels> {
        let list: Arc<[Tunnel]> = around.copied().collect();
        (!list.is_empty()).then_some(Tunnels {
            list,
            turned: false,
        })
    }

    /// The same as seen by the receiver.
    pub fn reversed(self) -> Tunnels {
        Tunnels {
            turned: !self.turned,
            ..self
        }
    }

    /// The tunnel at `depth`, the innermost at 0.
    pub(super) fn at(&self, depth: usize) -> Option<&Tunnel> {
        self.list.get(depth)
    }

    /// The outer addresses of the tunnel at `depth`, on the side of the item's `src` and `dst`.
    pub(super) fn ends(&self, depth: usize) -> Option<(Endpoint, Endpoint)> {
        let tuple = self.list.get(depth)?.tuple?;
        Some(match self.turned {
            false => (tuple.src, tuple.dst),
            true => (tuple.dst, tuple.src),
        })
    }
}
