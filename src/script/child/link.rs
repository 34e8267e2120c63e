//! The child's line to its parent.
//!
//! In: messages from the line. Out: messages to it, and answers of host calls. Never: two host
//! calls at once; what arrives during one waits.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::script::host::HostCall;
use crate::script::wire::{self, FromParent, Line, Small, ToChild, ToParent, WireError};

/// What a script is told when its parent has gone away.
const GONE: &str = "the recorder does not answer any more";

/// Both directions of the line.
pub(crate) struct Link {
    line: Line,
    reader: FromParent,
    waiting: VecDeque<ToChild>,
    calls: u64,
    /// When the parent was last told that a call is over.
    last_beat: Instant,
    /// Time spent waiting for answers of the host.
    pub(crate) host_time: Duration,
}

impl Link {
    /// On a line from which `reader` has read the first message.
    pub(crate) fn new(line: Line, reader: FromParent) -> Link {
        Link {
            line,
            reader,
            waiting: VecDeque::new(),
            calls: 0,
            last_beat: Instant::now(),
            host_time: Duration::ZERO,
        }
    }

    /// The next message; `None` when the parent closed its end.
    pub(crate) fn next(&mut self) -> Result<Option<ToChild>, WireError> {
        match self.waiting.pop_front() {
            Some(message) => Ok(Some(message)),
            None => self.reader.next(),
        }
    }

    /// Says something; a parent that went away is noticed when the next message is read.
    pub(crate) fn say(&mut self, message: &ToParent) {
        let _ = wire::send_to_parent(&self.line, message);
        // Only this says that one call is over: what a script prints or asks says nothing of that.
        if matches!(message, ToParent::Beat { .. }) {
            self.last_beat = Instant::now();
        }
    }

    /// How long the parent was not told, at `now`, that a call is over.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_beat)
    }

    /// Has the parent do something and waits until it is done.
    pub(crate) fn call(&mut self, with: HostCall) -> Result<Json, String> {
        self.calls += 1;
        let call = self.calls;
        let began = Instant::now();
        let asked = wire::send_to_parent(&self.line, &ToParent::Call { call, with });
        let result = match asked {
            Err(error @ WireError::Size(_)) => Err(error.to_string()),
            Err(_) => Err(GONE.into()),
            Ok(()) => self.answer(call),
        };
        self.host_time += began.elapsed();
        result
    }

    fn answer(&mut self, wanted: u64) -> Result<Json, String> {
        loop {
            match self.reader.next() {
                Ok(Some(ToChild::Small(Small::Answer { call, result }))) if call == wanted => {
                    return result;
                }
                Ok(Some(message)) => self.waiting.push_back(message),
                Ok(None) | Err(_) => return Err(GONE.into()),
            }
        }
    }
}
