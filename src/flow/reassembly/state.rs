//! Where a stream stands, as bytes.
//!
//! In: the offsets of both directions. Out: bytes of a fixed length, and the offsets again; what is
//! not believed is refused. Never: bytes of the stream.

use crate::flow::MAX_OFFSET;

/// Where a stream stands, for a reel that begins in its middle.
///
/// ```text
/// state = version u8 (1), reset u8, half to the server, half to the client
/// half  = flags u8 (1 base known, 2 finished), base u32, next u64     big-endian
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub(super) to_server: HalfState,
    pub(super) to_client: HalfState,
    pub(super) reset: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct HalfState {
    pub(super) base: Option<u32>,
    pub(super) next: u64,
    pub(super) finished: bool,
}

impl State {
    /// Bytes of an encoded state.
    pub const LEN: usize = 2 + 2 * 13;

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(State::LEN);
        out.push(1);
        out.push(u8::from(self.reset));
        for half in [&self.to_server, &self.to_client] {
            out.push(u8::from(half.base.is_some()) | u8::from(half.finished) << 1);
            out.extend_from_slice(&half.base.unwrap_or_default().to_be_bytes());
            out.extend_from_slice(&half.next.to_be_bytes());
        }
        out
    }

    /// Reads [`State::to_bytes`] back; `None` when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<State> {
        let mut reader = crate::bytes::Reader::new(bytes);
        if reader.u8().ok()? != 1 {
            return None;
        }
        let reset = reader.u8().ok()? == 1;
        let mut half = || {
            let flags = reader.u8().ok()?;
            let base = reader.u32().ok()?;
            let next = reader.u64().ok()?;
            (flags < 4 && next < MAX_OFFSET).then_some(HalfState {
                base: (flags & 1 == 1).then_some(base),
                next,
                finished: flags & 2 == 2,
            })
        };
        Some(State {
            to_server: half()?,
            to_client: half()?,
            reset,
        })
    }
}
