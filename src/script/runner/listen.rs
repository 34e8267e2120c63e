//! The reader of a child: takes what the child says, and does its host calls.
//!
//! In: messages from the line. Out: answers to the driver, lines and calls to the [`Desk`]. Never:
//! trust; what cannot be read, or was not asked for, ends the child.

use std::io::BufReader;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::drive::Back;
use super::{Desk, Event, MAX_FAULT, Runner, bit, lock};
use crate::script::console::cut;
use crate::script::host::HostCall;
use crate::script::wire::{FromChild, Hook, Line, Small, Thrown, ToChild, ToParent, WireError};
use crate::time::Timestamp;

impl Runner {
    pub(super) fn read(&self, line: Line, back: &Sender<Back>, desk: &dyn Desk) {
        let mut input = FromChild::new(BufReader::new(line));
        loop {
            let message = match input.next() {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(error) => {
                    // A process that was killed may leave half a message.
                    if !matches!(error, WireError::Io(_) | WireError::Cut) {
                        self.kill(format!("it said what cannot be read: {error}"));
                    }
                    return;
                }
            };
            let answer = match message {
                ToParent::Ready {
                    hooks,
                    kfl,
                    missing,
                } => {
                    self.set_hooks(&hooks, kfl.as_deref(), desk);
                    desk.missing(missing);
                    Some(Back::Ready)
                }
                ToParent::LoadFailed { message, .. } => {
                    Some(Back::Failed(cut(&message, MAX_FAULT)))
                }
                ToParent::Done { spent, .. } => Some(Back::Done(spent)),
                ToParent::Answered {
                    call,
                    result,
                    spent,
                } => {
                    let result = result.map_err(|thrown| Thrown {
                        text: cut(&thrown.text, MAX_FAULT),
                        place: cut(&thrown.place, MAX_FAULT),
                    });
                    Some(Back::Answered(call, result, spent))
                }
                ToParent::Hooks { hooks, kfl } => {
                    self.set_hooks(&hooks, kfl.as_deref(), desk);
                    None
                }
                ToParent::TimerAt { at } => {
                    let at = at.map_or(i64::MAX, Timestamp::nanos);
                    self.timer.store(at, Ordering::Relaxed);
                    desk.event(Event::Wake);
                    None
                }
                ToParent::Console { level, text } => {
                    desk.line(self, level, &text);
                    None
                }
                ToParent::Beat { .. } => {
                    self.beat();
                    None
                }
                ToParent::Spoilt { message } => {
                    self.spoilt(&cut(&message, MAX_FAULT));
                    return;
                }
                ToParent::Call { call, with } => {
                    self.host_call(call, with, desk);
                    None
                }
            };
            if let Some(answer) = answer
                && back.try_send(answer).is_err()
            {
                self.kill("it answered what was not asked".into());
                return;
            }
        }
    }

    /// Does a host call while the budget stands still.
    fn host_call(&self, number: u64, with: HostCall, desk: &dyn Desk) {
        let helper = with.helper();
        let result = self.in_host(helper, || desk.call(self, with));
        let answer = |result| {
            ToChild::Small(Small::Answer {
                call: number,
                result,
            })
        };
        if let Err(WireError::Size(size)) = self.send(&answer(result)) {
            let text = format!("the answer of {size} bytes is too large");
            let _ = self.send(&answer(Err(text)));
        }
    }

    /// Ends a child whose engine cannot go on.
    fn spoilt(&self, message: &str) {
        let what = lock(&self.call).as_ref().map(|call| call.what.clone());
        let what = what.unwrap_or_else(|| "the script".into());
        self.kill(format!("{what} met a limit of the engine: {message}"));
    }

    fn set_hooks(&self, hooks: &[Hook], kfl: Option<&str>, desk: &dyn Desk) {
        // The child has compiled it: one that is none tells too much rather than too little.
        *lock(&self.filter) = kfl.and_then(|kfl| desk.compile(kfl));
        let hooks = hooks.iter().filter(|hook| hook.is_for(self.id.role));
        let bits = hooks.fold(0, |bits, hook| bits | bit(*hook));
        self.hooks.store(bits, Ordering::Relaxed);
    }
}
