//! Time of a flow table, which never goes back.
//!
//! In: times of packets. Out: a time for each, at least that of the one before. Never: the machine's
//! clock.

use std::time::Duration;

use crate::time::Timestamp;

/// A packet's time may lie this far behind the latest one before the clock counts as set back.
const STEP_BACK: Duration = Duration::from_secs(10);

/// So many packets in a row must lie behind before the clock is taken to have been set back: a
/// few late ones, or two interleaved clocks, are no reason.
pub(super) const STEP_BACK_PACKETS: u32 = 256;

/// Time as the packets tell it, never going back.
///
/// A clock that was set back goes on from where it stood, once enough packets agree on that.
#[derive(Debug, Default)]
pub(super) struct TrafficClock {
    latest: Option<Timestamp>,
    added: Duration,
    behind: u32,
}

impl TrafficClock {
    pub(super) fn advance(&mut self, ts: Timestamp) -> Timestamp {
        let ts = ts + self.added;
        let Some(latest) = self.latest else {
            self.latest = Some(ts);
            return ts;
        };
        if ts >= latest {
            self.behind = 0;
            self.latest = Some(ts);
            return ts;
        }
        if latest.since(ts) > STEP_BACK {
            self.behind += 1;
            if self.behind >= STEP_BACK_PACKETS {
                self.behind = 0;
                self.added += latest.since(ts);
            }
        }
        latest
    }
}
