//! The script's clock and its timers.
//!
//! In: the present moment, from the system or from packets. Out: what `Date` shows, and which timers
//! are due. Never: sleeping; the parent says when time has come.

use std::collections::BTreeMap;
use std::time::Duration;

use boa_engine::JsValue;
use boa_engine::context::time::{Clock as EngineClock, JsInstant};
use boa_engine::object::builtins::JsFunction;

use crate::script::wire::ClockMode;
use crate::time::{Clock, SetClock, SystemClock, Timestamp};

/// Timers that may be set at once.
const MAX_TIMERS: usize = 10_000;

/// The clock of one script: never goes back in packet mode.
pub(crate) struct ScriptClock {
    mode: ClockMode,
    at: SetClock,
}

impl ScriptClock {
    /// A clock that shows `now` first when it follows the packets.
    pub(crate) fn new(mode: ClockMode, now: Timestamp) -> ScriptClock {
        ScriptClock {
            mode,
            at: SetClock::at(now),
        }
    }

    /// Whether it follows the packets.
    pub(crate) fn follows_packets(&self) -> bool {
        self.mode == ClockMode::Packet
    }

    /// The packets have come to `now`.
    pub(crate) fn advance(&self, now: Timestamp) {
        self.at.advance(now);
    }
}

impl Clock for ScriptClock {
    fn now(&self) -> Timestamp {
        match self.mode {
            ClockMode::Wall => SystemClock.now(),
            ClockMode::Packet => self.at.now(),
        }
    }
}

impl EngineClock for ScriptClock {
    fn now(&self) -> JsInstant {
        let now = Clock::now(self);
        JsInstant::new(now.secs().max(0).unsigned_abs(), now.subsec_nanos())
    }

    fn system_time_millis(&self) -> i64 {
        Clock::now(self).millis()
    }
}

/// One timer.
#[derive(Clone)]
pub(crate) struct Timer {
    /// What is called.
    pub(crate) function: JsFunction,
    /// With these arguments.
    pub(crate) args: Vec<JsValue>,
    /// Time between two calls; `None` for a timer that runs once.
    pub(crate) every: Option<Duration>,
}

/// The timers of one script, in the order in which they are due.
#[derive(Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Timestamp, u32), Timer>,
    last_id: u32,
}

impl Timers {
    /// Sets a timer and answers its id; `None` when there are too many.
    pub(crate) fn set(&mut self, at: Timestamp, timer: Timer) -> Option<u32> {
        if self.due.len() >= MAX_TIMERS {
            return None;
        }
        self.last_id = self.last_id.checked_add(1)?;
        self.due.insert((at, self.last_id), timer);
        Some(self.last_id)
    }

    /// Takes a timer away.
    pub(crate) fn clear(&mut self, id: u32) {
        self.due.retain(|(_, timer), _| *timer != id);
    }

    /// When the first timer is due.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The timers that are due at `now`; repeating ones are set again and
    /// skip the moments that were missed.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<(u32, Timer)> {
        let later = self.due.split_off(&(now, u32::MAX));
        let due = std::mem::replace(&mut self.due, later);
        let mut taken = Vec::with_capacity(due.len());
        for ((at, id), timer) in due {
            if let Some(every) = timer.every {
                let next = if at + every > now { at } else { now } + every;
                self.due.insert((next, id), timer.clone());
            }
            taken.push((id, timer));
        }
        taken
    }

    /// Whether a repeating timer was not cleared in the meantime.
    pub(crate) fn has(&self, id: u32) -> bool {
        self.due.keys().any(|(_, timer)| *timer == id)
    }
}
