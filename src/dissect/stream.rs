//! A stream as detection and dissectors know it: who speaks, and from where on it is read.
//!
//! In: what the flow table tells, and that bytes were missed. Out: what probes and dissectors may
//! rely on. Never: bytes.

use std::ops::Deref;

use crate::flow::{Opening, StreamInfo};

/// A stream, and whether its bytes are there from the first one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    info: StreamInfo,
    late: bool,
}

impl Stream {
    /// The same, read from somewhere behind its beginning.
    pub fn joined_late(self) -> Stream {
        Stream { late: true, ..self }
    }

    /// Whether it is read from its first byte on: its handshake was seen, and nothing was missed
    /// behind it.
    pub fn is_from_start(&self) -> bool {
        !self.late && self.knows_sides()
    }

    /// Whether its handshake told who is the client; otherwise that is a guess.
    pub fn knows_sides(&self) -> bool {
        matches!(self.opening, Opening::Syn | Opening::SynAck)
    }
}

impl From<StreamInfo> for Stream {
    fn from(info: StreamInfo) -> Stream {
        Stream { info, late: false }
    }
}

impl Deref for Stream {
    type Target = StreamInfo;

    fn deref(&self) -> &StreamInfo {
        &self.info
    }
}
