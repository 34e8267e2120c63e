//! Addresses to names, as of a packet's time.
//!
//! In: name histories (`name_resolution_history.json`, reels, later Kubernetes watches). Out: the
//! name that an address had at a moment. Never: DNS queries, sockets.

/// A name as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name, without namespace.
    pub name: std::sync::Arc<str>,
    /// The namespace; empty when none.
    pub namespace: std::sync::Arc<str>,
    /// `ip` or `ip-and-port`, with `-borrowed` behind it when it comes from another node's history.
    pub mechanism: &'static str,
}
