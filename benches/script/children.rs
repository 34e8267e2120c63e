//! Scripts in processes of their own, told as the supervisor does: the next batch when the one before
//! is done.

use std::io::BufReader;
use std::process::{Child, Command};

use tapedeck::item::flat;
use tapedeck::script::wire::{
    Batch, ClockMode, FromChild, Habits, Limits, Line, Role, Small, Start, ToChild, ToParent,
    send_to_child,
};
use tapedeck::time::Timestamp;

use super::made::{BATCH, Step};
use super::{COUNT, Row, Told, cpu};

/// What a script is started with.
pub fn start(code: &str, index: u32) -> Start {
    Start {
        path: "bench.js".into(),
        title: "bench".into(),
        code: code.into(),
        env: serde_json::Map::new(),
        index,
        node: "node-a".into(),
        run: 0,
        role: Role::Worker,
        clock: ClockMode::Wall,
        now: Timestamp::default(),
        limits: Limits::default(),
        habits: Habits::default(),
        macros: Vec::new(),
    }
}

struct Script {
    process: Child,
    line: Line,
    reader: FromChild<BufReader<Line>>,
}

impl Script {
    fn start(code: &str, index: u32) -> Script {
        let (line, theirs) = Line::pair().expect("a line");
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg("script-host").env_clear();
        let process = theirs.start(command).expect("a child");
        let said = ToChild::Start(Box::new(start(code, index)));
        send_to_child(&line, &said).expect("the child listens");
        let reading = line.try_clone().expect("a second handle");
        let mut script = Script {
            process,
            line,
            reader: FromChild::new(BufReader::new(reading)),
        };
        match script.next() {
            ToParent::Ready { missing, .. } => assert!(missing.is_empty(), "{missing:?}"),
            other => panic!("{other:?}"),
        }
        script
    }

    /// The next message that is no sign of life.
    fn next(&mut self) -> ToParent {
        loop {
            match self.reader.next().expect("a message") {
                Some(ToParent::Beat { .. }) => {}
                Some(message) => return message,
                None => panic!("the child ended"),
            }
        }
    }

    fn done(&mut self) {
        match self.next() {
            ToParent::Done { spent, .. } => assert_eq!(spent.errors, 0),
            other => panic!("{other:?}"),
        }
    }

    fn cpu(&self) -> f64 {
        cpu(&self.process.id().to_string())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = send_to_child(&self.line, &ToChild::Small(Small::Stop));
        let _ = self.process.wait();
    }
}

/// Items or packets a second of the processor time of a script's process, on average over `scripts`
/// of them.
pub fn measure(row: &Row, steps: &[Step], scripts: u32) -> f64 {
    let messages: Vec<ToChild> = steps
        .iter()
        .map(|step| message(row, step, scripts as usize))
        .collect();
    let mut running: Vec<Script> = (0..scripts)
        .map(|index| Script::start(row.code, index))
        .collect();
    let began: f64 = running.iter().map(Script::cpu).sum();
    let mut told = 0;
    for message in messages.iter().cycle() {
        if told >= COUNT {
            break;
        }
        for script in &running {
            send_to_child(&script.line, message).expect("the child listens");
        }
        running.iter_mut().for_each(Script::done);
        told += BATCH as u64;
    }
    let spent = running.iter().map(Script::cpu).sum::<f64>() - began;
    told as f64 * f64::from(scripts) / spent
}

/// One encoding, whoever reads it.
fn message(row: &Row, step: &Step, readers: usize) -> ToChild {
    match row.told {
        Told::Items => {
            let mut records = Vec::new();
            for item in &step.items {
                flat::encode(item, &mut records);
            }
            let last = step.items.last().map_or(0, |item| item.number);
            let first = step.items.first().map_or(0, |item| item.number);
            let now = Timestamp::default();
            ToChild::Items(Batch::new(first, last, now, &records, readers))
        }
        Told::Packets => ToChild::Packets {
            last: 0,
            packets: step.packets.clone(),
        },
    }
}
