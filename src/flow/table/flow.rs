//! A flow as the table holds it, and the lists that flows are in.
//!
//! Never: how they are found, see [`super::key`].

use super::key::Key;
use super::tcp::TcpState;
use crate::flow::StreamInfo;
use crate::packet::EndReason;
use crate::time::Timestamp;

/// One flow of the table.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    /// The key that it was opened with.
    pub key: Key,
    /// Its stream.
    pub info: StreamInfo,
    /// Whether the smaller endpoint is the client.
    pub client_is_low: bool,
    /// The virtual networks that packets of its sides were seen in, the smaller endpoint's first.
    pub networks: [Option<u32>; 2],
    /// The list that it is in.
    pub class: Class,
    /// Time of its last packet.
    pub last: Timestamp,
    /// When it last moved to the end of its list.
    pub moved_at: Timestamp,
    /// The flow before it in the list, or [`NONE`].
    pub before: u32,
    /// The one behind it.
    pub after: u32,
    /// A further key of packets that are part of it, and whether its smaller endpoint is the client.
    pub joined: Option<Box<(Key, bool)>>,
    /// What is known of a connection.
    pub tcp: Option<TcpState>,
}

impl Flow {
    /// Why the flow is over when nothing more comes.
    pub(super) fn reason(&self) -> EndReason {
        match &self.tcp {
            Some(state) if state.reset => EndReason::Rst,
            Some(state) if state.sides.iter().all(|side| side.fin) => EndReason::Fin,
            _ => EndReason::Idle,
        }
    }
}

/// What decides how long a flow may be silent; one list each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Closed,
    Embryonic,
    HalfClosed,
    Established,
    Udp,
    Other,
}

/// How many there are.
pub(super) const CLASSES: usize = 6;

impl Class {
    /// All of them.
    pub(super) const ALL: [Class; CLASSES] = [
        Class::Closed,
        Class::Embryonic,
        Class::HalfClosed,
        Class::Established,
        Class::Udp,
        Class::Other,
    ];
}

/// Stands for no flow.
pub(super) const NONE: u32 = u32::MAX;

/// The ends of the list of one class.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    /// The flow that has been silent longest.
    pub head: u32,
    /// The one that moved last.
    pub tail: u32,
}

impl List {
    /// No flow.
    pub(super) const EMPTY: List = List {
        head: NONE,
        tail: NONE,
    };
}
