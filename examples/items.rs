//! Prints one line for each exchange in a savefile: `cargo run --example items FILE`.

use std::path::PathBuf;
use std::sync::Arc;

use tapedeck::dissect::Protocols;
use tapedeck::flow::Limits;
use tapedeck::item::{Item, Origin, shown};
use tapedeck::pipeline::{self, Consumer, Encoded, Step, Stop};
use tapedeck::server::columns_of;
use tapedeck::time::SystemClock;

struct Print;

impl Consumer for Print {
    fn on_step(&mut self, _step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        for item in items {
            let columns = columns_of(item.protocol.abbr);
            println!(
                "{} {} {} {} -> {}",
                item.start,
                item.protocol.abbr,
                shown(item.node(), columns.summary),
                item.src.endpoint,
                item.dst.endpoint
            );
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let source = tapedeck::capture::folder::open_all(&files)?;
    let options = pipeline::Options {
        workers: 0,
        protocols: Protocols::all(),
        limits: Limits::default(),
        origin: Arc::new(Origin::default()),
        names: None,
        spool: None,
        live: false,
        clock: Arc::new(SystemClock),
        stop: Stop::default(),
        counters: Arc::default(),
        cuts: Default::default(),
        consumers: vec![Box::new(Print)],
    };
    pipeline::start(source, options).join()?;
    Ok(())
}
