//! Streams that are given up in the middle because memory is short (see `memory`), and read anew.
//!
//! In: a word of whoever watches memory. Out: what was open in streams let go, untold: items would take
//! memory too. Never: a stream forgotten, whose packets go on to be recorded and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Around, Place, Stream, Worker};
use crate::dissect::{Conversation, Protocols};
use crate::flow::{Budget, Opening, StreamInfo};
use crate::packet::StreamId;

/// What reading a stream anew takes.
pub(super) struct GivenUp {
    info: StreamInfo,
    items: u32,
    around: Around,
}

impl GivenUp {
    /// A stream that begins while nothing new is read.
    pub(super) fn unread(info: &StreamInfo) -> GivenUp {
        GivenUp {
            info: *info,
            items: 0,
            around: (None, None),
        }
    }

    /// Reads the stream from here on, as one whose beginning was not captured.
    pub(super) fn anew(&self, protocols: &Protocols, budget: &Arc<Budget>) -> Stream {
        let seen = StreamInfo {
            opening: Opening::FirstPacket,
            ..self.info
        };
        let mut conversation = Conversation::new(&seen, protocols, budget);
        // What it came to is known no more.
        conversation.take_tally();
        Stream {
            info: self.info,
            conversation,
            items: self.items,
            tunnel: self.around.0.clone(),
            client_is_here: self.around.1,
            last: 0,
        }
    }
}

impl Worker {
    /// Gives up what is open in the half of the streams that was silent longest, when memory is short.
    pub(super) fn give_up(&mut self) {
        let asked = self.counters.relief.asked();
        if std::mem::replace(&mut self.relieved, asked) == asked {
            return;
        }
        let open = self
            .streams
            .iter()
            .filter_map(|(stream, place)| match place {
                Place::Read(state) => Some((state.last, *stream)),
                Place::Counted(_) | Place::GivenUp(_) | Place::Alone => None,
            });
        let mut open: Vec<(u64, StreamId)> = open.collect();
        let half = open.len().div_ceil(2);
        if half < open.len() {
            open.select_nth_unstable(half);
            open.truncate(half);
        }
        for (_, stream) in &open {
            if let Some(place) = self.streams.get_mut(stream)
                && let Place::Read(state) = place
            {
                *place = Place::GivenUp(Box::new(GivenUp {
                    info: state.info,
                    items: state.items,
                    around: (state.tunnel.take(), state.client_is_here),
                }));
            }
        }
        let streams = &self.counters.relief.streams;
        streams.fetch_add(open.len() as u64, Ordering::Relaxed);
    }
}
