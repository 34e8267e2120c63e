//! A script within this process: what it costs without a child in between, the encoding included.

use tapedeck::item::flat;
use tapedeck::kfl::Schema;
use tapedeck::script::child::Alone;
use tapedeck::script::wire::{Batch, ToChild};
use tapedeck::time::Timestamp;

use super::made::Step;
use super::{COUNT, Row, Told, children, cpu};

/// Items or packets a second of this thread's processor time.
pub fn measure(row: &Row, steps: &[Step]) -> f64 {
    // The engine needs more stack than a test thread has, so it runs in the main thread of the bench.
    let mut script = Alone::load(children::start(row.code, 0), &Schema::empty())
        .unwrap_or_else(|message| panic!("{message}"));
    let began = cpu("thread-self");
    let mut told = 0;
    let mut records = Vec::new();
    for step in steps.iter().cycle() {
        if told >= COUNT {
            break;
        }
        let last = told + step.items.len() as u64;
        script.tell(match row.told {
            Told::Items => {
                records.clear();
                for item in &step.items {
                    flat::encode(item, &mut records);
                }
                ToChild::Items(Batch::new(told, last, Timestamp::default(), &records, 1))
            }
            Told::Packets => ToChild::Packets {
                last,
                packets: step.packets.clone(),
            },
        });
        told = last;
    }
    told as f64 / (cpu("thread-self") - began)
}
