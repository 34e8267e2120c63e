//! What hooks cost: items and packets a second of processor time in the scripts' processes.
//!
//! Run with `cargo bench --bench script`; a word behind `--` picks rows, `-- recorder` say. The
//! program starts itself as the child, with all limits in force. Each row is measured with one script
//! and with four at once, which get the same batches, and beside them the same script within this
//! process, which makes the encoding too. `share` is the child's rate as a part of that of the
//! script within the process. With tshark on the machine, a Lua tap does the recorder's job over a
//! capture of as many exchanges.
//!
//! Rates are of one core: items by the processor time that a script's process took from the first
//! item to the last, reading them from the socket included.

mod alone;
mod children;
mod made;
mod tap;

use std::process::ExitCode;

use tapedeck::kfl::Schema;
use tapedeck::script::child;

/// Items or packets that one measurement tells.
const COUNT: u64 = 256_000;

/// What is told.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    Items,
    Packets,
}

/// One row.
struct Row {
    name: &'static str,
    told: Told,
    code: &'static str,
    /// The rate that is aimed at, a second of one core.
    target: Option<u32>,
}

/// The hook of a script that records: what matches, each stream once, a list of 1,000 names known.
const RECORDER: &str = "
    var names = [];
    for (var i = 0; i < 1000; i++) names.push(('00000000000' + i).slice(-12) + '.pcap');
    function onItemCaptured(data) {
        if (!kfl.match('http and response.status == 500', data)) return;
        if (names.indexOf(data.stream) === -1) names.push(data.stream);
    }";

const ROWS: &[Row] = &[
    Row {
        name: "empty",
        told: Told::Items,
        code: "function onItemCaptured(data) {}",
        target: Some(250_000),
    },
    Row {
        name: "recorder",
        told: Told::Items,
        code: RECORDER,
        target: Some(250_000),
    },
    Row {
        name: "three reads",
        told: Told::Items,
        code: "function onItemCaptured(data) {
            var line = data.protocol.name + data.response.status + data.src.name;
        }",
        target: Some(130_000),
    },
    Row {
        name: "stringify",
        told: Told::Items,
        code: "function onItemCaptured(data) { JSON.stringify(data) }",
        target: None,
    },
    Row {
        name: "packets",
        told: Told::Packets,
        code: "var bytes = 0; function onPacketCaptured(info) { bytes += info.length }",
        target: None,
    },
    Row {
        name: "stringify, altered",
        told: Told::Items,
        code: "function onItemCaptured(data) { data.passed = true; JSON.stringify(data) }",
        target: None,
    },
    Row {
        name: "all keys",
        told: Told::Items,
        code: "function onItemCaptured(data) { for (var k in data) data[k] }",
        target: None,
    },
    Row {
        name: "match, literal",
        told: Told::Items,
        code: "function onItemCaptured(data) { kfl.match('http and response.status == 500', data) }",
        target: None,
    },
    Row {
        name: "match, new text",
        told: Told::Items,
        code: "var n = 0; function onItemCaptured(data) {
            kfl.match('http and response.status == ' + n++, data) }",
        target: None,
    },
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("script-host") {
        return child::main(&Schema::empty());
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    println!(
        "{:<20} {:>12} {:>12} {:>12} {:>8} {:>10}",
        "hook, per second", "one script", "four, each", "in process", "share", "aim"
    );
    let steps = made::steps();
    for row in ROWS {
        if !wanted.is_empty() && !wanted.iter().any(|word| row.name.contains(word.as_str())) {
            continue;
        }
        let one = children::measure(row, &steps, 1);
        let four = children::measure(row, &steps, 4);
        let alone = alone::measure(row, &steps);
        let aim = row
            .target
            .map_or(String::new(), |target| target.to_string());
        println!(
            "{:<20} {one:>12.0} {four:>12.0} {alone:>12.0} {:>7.0}% {aim:>10}",
            row.name,
            100.0 * one / alone
        );
    }
    if wanted.is_empty() || wanted.iter().any(|word| "tshark".contains(word.as_str())) {
        tap::measure();
    }
    ExitCode::SUCCESS
}

/// Processor time that a process's main thread took so far, in seconds: the first number of its
/// `schedstat` is in nanoseconds.
fn cpu(process: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/schedstat"));
    let text = text.expect("a Linux kernel tells it");
    let nanos: u64 = text
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .expect("the first word is a number");
    nanos as f64 / 1e9
}
