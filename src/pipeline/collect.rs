//! Puts the workers' items in packet order, numbers them and calls the consumers.

use std::cell::OnceCell;
use std::sync::Arc;

use super::printing::{self, Lines, Taker};
use super::worker::Found;
use super::{Consumer, Spent, Step};
use crate::item::{Item, flat};
use crate::record::States;

/// The items of a step in their flat encoding, made when the first consumer asks.
pub struct Encoded<'a> {
    items: &'a [Item],
    made: OnceCell<Arc<Vec<u8>>>,
}

impl<'a> Encoded<'a> {
    /// Nothing is encoded yet.
    pub fn new(items: &'a [Item]) -> Encoded<'a> {
        Encoded {
            items,
            made: OnceCell::new(),
        }
    }

    /// The flat records back to back, in item order.
    pub fn records(&self) -> &Arc<Vec<u8>> {
        self.made.get_or_init(|| {
            let mut bytes = Vec::with_capacity(self.items.len() * 2048);
            for item in self.items {
                flat::encode(item, &mut bytes);
            }
            bytes.shrink_to_fit();
            Arc::new(bytes)
        })
    }
}

/// Owns the consumers and the run-wide item number.
pub(super) struct Collector {
    consumers: Vec<Box<dyn Consumer>>,
    /// Takes the lines of a run that prints.
    taker: Option<Box<dyn Taker>>,
    next: u64,
}

impl Collector {
    pub(super) fn new(
        consumers: Vec<Box<dyn Consumer>>,
        taker: Option<Box<dyn Taker>>,
    ) -> Collector {
        Collector {
            consumers,
            taker,
            next: 0,
        }
    }

    /// Takes what all workers found in a step; answers its memory, when nobody needs it any more.
    pub(super) fn step(&mut self, step: Arc<Step>, found: Vec<Found>) -> Option<Spent> {
        let mut items = Vec::new();
        let mut states = States::default();
        let mut lines: Vec<Lines> = Vec::with_capacity(found.len());
        for found in found {
            items.extend(found.items);
            states.states.extend(found.states);
            lines.push(found.lines);
        }
        if let Some(wanted) = &step.wanted {
            states.asked.extend(wanted.iter());
            for consumer in &mut self.consumers {
                consumer.on_states(&step, &states);
            }
        }
        if let Some(taker) = &mut self.taker {
            printing::merge(&lines, &mut **taker);
            taker.on_step();
        }
        self.hand_out(&step, items);
        Spent::of(step)
    }

    /// The run is over.
    pub(super) fn end(&mut self) {
        for consumer in &mut self.consumers {
            consumer.on_end();
        }
        if let Some(taker) = &mut self.taker {
            taker.on_end();
        }
    }

    fn hand_out(&mut self, step: &Step, mut items: Vec<Item>) {
        // Within a stream the items already stand in order, so the sort must be stable.
        items.sort_by_key(|item| (item.ordinal, item.stream.stream));
        for item in &mut items {
            item.number = self.next;
            self.next += 1;
        }
        for consumer in &mut self.consumers {
            consumer.mark(step, &mut items);
        }
        let encoded = Encoded::new(&items);
        for consumer in &mut self.consumers {
            consumer.on_step(step, &items, &encoded);
        }
    }
}
