//! Where the dissector of a stream puts what it finds.
//!
//! In: drafts and carried messages. Out: the same, unless they are not wanted. Never: a draft held back.

use super::Conversation;
use crate::dissect::flows::Tally;
use crate::dissect::{Draft, Output};
use crate::flow::{Chunk, Event};

/// Where the stream's dissector puts what it finds.
pub(super) struct Sink<'a> {
    tally: &'a mut Option<Box<Tally>>,
    upper: &'a mut Option<Box<Conversation>>,
    muted: bool,
    out: &'a mut dyn Output,
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        tally: &'a mut Option<Box<Tally>>,
        upper: &'a mut Option<Box<Conversation>>,
        muted: bool,
        out: &'a mut dyn Output,
    ) -> Sink<'a> {
        Sink {
            tally,
            upper,
            muted,
            out,
        }
    }
}

impl Output for Sink<'_> {
    fn item(&mut self, draft: Draft) {
        if !self.muted {
            // The stream is known: what it came to says nothing more.
            *self.tally = None;
            self.out.item(draft);
        }
    }

    fn decrypted(&mut self, draft: Draft) {
        *self.tally = None;
        self.out.decrypted(draft);
    }

    fn message(&mut self, message: &Chunk) -> bool {
        let Some(upper) = self.upper else {
            return false;
        };
        upper.took = false;
        upper.event(Event::Chunk(message.clone()), self.out);
        upper.took
    }
}
