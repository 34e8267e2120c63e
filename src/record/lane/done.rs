//! Streams that ended lately: a late item or a script does not have them taken again.
//!
//! In: streams. Out: whether one is among them. Never: more than [`MAX_DONE`].

use std::collections::{HashSet, VecDeque};

use ahash::RandomState;

use crate::packet::StreamId;

/// Ended streams that are remembered as done.
const MAX_DONE: usize = 65_536;

/// Streams that ended lately, the oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Done {
    set: HashSet<StreamId, RandomState>,
    order: VecDeque<StreamId>,
}

impl Done {
    pub(super) fn contains(&self, stream: StreamId) -> bool {
        self.set.contains(&stream)
    }

    pub(super) fn add(&mut self, stream: StreamId) {
        if self.set.insert(stream) {
            self.order.push_back(stream);
        }
        if self.order.len() > MAX_DONE
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}
