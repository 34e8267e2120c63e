//! Scripts in a child that is a thread here, against a host that records what is asked.

mod again;
mod habits;
mod helpers;
mod items;
mod outside;
mod spoilt;

use std::thread::JoinHandle;

use serde_json::{Value as Json, json};

use super::serve;
use crate::item::{flat, json as item_json, sample};
use crate::kfl::Schema;
use crate::script::host::HostCall;
use crate::script::wire::{
    Batch, ClockMode, FromChild, Habits, Hook, Level, Limits, Line, PacketSummary, Role, Small,
    Spent, Start, ToChild, ToParent, send_to_child,
};
use crate::time::Timestamp;

type Answers = fn(&HostCall) -> Result<Json, String>;

/// A child, and what it said.
struct Rig {
    line: Line,
    reader: FromChild<Line>,
    answers: Answers,
    calls: Vec<HostCall>,
    lines: Vec<String>,
    hooks: Vec<Hook>,
    kfl: Option<String>,
    failed: Option<(String, Option<u32>, Option<u32>)>,
    timer: Option<Timestamp>,
    child: Option<JoinHandle<()>>,
}

const NOW: Timestamp = Timestamp::from_secs(1_706_933_000, 0);

fn start(code: &str) -> Start {
    Start {
        path: "/scripts/mine.js".into(),
        title: "mine".into(),
        code: code.into(),
        env: json!({"S3_BUCKET": "b", "ANSWER": 42, "file": "taken", "a-b": 1})
            .as_object()
            .unwrap()
            .clone(),
        index: 3,
        node: "node-a".into(),
        run: 17,
        role: Role::Worker,
        clock: ClockMode::Packet,
        now: NOW,
        limits: Limits {
            loop_iterations: 100_000,
            ..Limits::default()
        },
        habits: Habits::default(),
        macros: Vec::new(),
    }
}

fn nothing(_: &HostCall) -> Result<Json, String> {
    Ok(Json::Null)
}

impl Rig {
    fn new(code: &str) -> Rig {
        Rig::with(start(code), nothing)
    }

    fn with(start: Start, answers: Answers) -> Rig {
        let (line, theirs) = Line::pair().unwrap();
        let child = std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(move || serve(theirs, &Schema::empty()).unwrap())
            .unwrap();
        let mut rig = Rig {
            reader: FromChild::new(line.try_clone().unwrap()),
            line,
            answers,
            calls: Vec::new(),
            lines: Vec::new(),
            hooks: Vec::new(),
            kfl: None,
            failed: None,
            timer: None,
            child: Some(child),
        };
        send_to_child(&rig.line, &ToChild::Start(Box::new(start))).unwrap();
        rig.until_done();
        if rig.failed.is_none() {
            rig.drain();
        }
        rig
    }

    /// Reads until the child has done what it was told, and answers that message.
    fn until_done(&mut self) -> ToParent {
        loop {
            let message = self.reader.next().unwrap().expect("the child lives");
            match &message {
                ToParent::Ready { hooks, kfl, .. } => {
                    self.hooks.clone_from(hooks);
                    self.kfl.clone_from(kfl);
                }
                ToParent::Hooks { hooks, kfl } => {
                    self.hooks.clone_from(hooks);
                    self.kfl.clone_from(kfl);
                    continue;
                }
                ToParent::TimerAt { at } => {
                    self.timer = *at;
                    continue;
                }
                ToParent::LoadFailed {
                    message,
                    line,
                    column,
                } => self.failed = Some((message.clone(), *line, *column)),
                ToParent::Console { level, text } => {
                    let mark = match level {
                        Level::Log => "",
                        Level::Error => "E ",
                        Level::Clear => "C ",
                    };
                    self.lines.push(format!("{mark}{text}"));
                    continue;
                }
                ToParent::Call { call, with } => {
                    let result = (self.answers)(with);
                    self.calls.push(with.clone());
                    self.say(Small::Answer {
                        call: *call,
                        result,
                    });
                    continue;
                }
                ToParent::Beat { .. } => continue,
                ToParent::Done { .. } | ToParent::Answered { .. } | ToParent::Spoilt { .. } => {}
            }
            return message;
        }
    }

    fn say(&self, message: Small) {
        send_to_child(&self.line, &ToChild::Small(message)).unwrap();
    }

    fn drain(&mut self) {
        self.say(Small::Drain { call: 99 });
        self.until_done();
    }

    fn ask(&mut self, message: ToChild) -> ToParent {
        send_to_child(&self.line, &message).unwrap();
        let answer = self.until_done();
        self.drain();
        answer
    }

    fn batch(count: u64) -> Batch {
        let mut records = Vec::new();
        for number in 0..count {
            let mut item = sample::http();
            item.number = number;
            item.index = u32::try_from(number).unwrap();
            flat::encode(&item, &mut records);
        }
        Batch::new(0, count - 1, NOW, &records, 1)
    }

    fn items(&mut self, count: u64) -> Spent {
        match self.ask(ToChild::Items(Rig::batch(count))) {
            ToParent::Done { last, spent } => {
                assert_eq!(last, count - 1);
                spent
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.say_stop();
        if let Some(child) = self.child.take() {
            let ended = child.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

impl Rig {
    fn say_stop(&self) {
        let _ = send_to_child(&self.line, &ToChild::Small(Small::Stop));
    }
}

/// What a script prints when it is loaded and given one item.
fn printed(code: &str) -> Vec<String> {
    let plain = item_json::to_string(sample::http().node());
    let mut start = start(code);
    start.env.insert("PLAIN".into(), Json::String(plain));
    let mut rig = Rig::with(start, nothing);
    assert_eq!(rig.failed, None);
    rig.items(1);
    std::mem::take(&mut rig.lines)
}

/// What the body of `onItemCaptured` prints.
fn in_hook(body: &str) -> Vec<String> {
    printed(&format!("function onItemCaptured(data) {{ {body} }}"))
}

#[test]
fn dates_read_nanoseconds_and_follow_packet_time() {
    let lines = printed(
        r"console.log(Date.now(), new Date().getTime(), new Date().toISOString());
        function onItemCaptured(data) {
          var d = new Date(data.startTime);
          console.log(d.toISOString(), Date.parse('2024-02-03T04:05:06.123456789Z'), Date.now());
          console.log(d instanceof Date, d.constructor === Date, typeof Date(), Date.UTC(1970, 0, 1));
          console.log(new Date(2024, 0, 1).getTimezoneOffset(), new Date('x').getTime());
        }",
    );
    assert_eq!(
        lines,
        [
            "1706933000000 1706933000000 2024-02-03T04:03:20.000Z",
            "2024-02-03T04:05:06.000Z 1706933106123 1706933106012",
            "true true string 0",
            "0 NaN"
        ]
    );
}

#[test]
fn lists_find_texts_as_the_engine_does() {
    let lines = printed(
        "var names = [];
        for (var i = 0; i < 300; i++) names.push(('00000000000' + i).slice(-12) + '.pcap');
        console.log(names.indexOf('000000000299.pcap'), names.indexOf('000000000300.pcap'), names.includes('000000000007.pcap'));
        console.log(['a', 1, null, 'é', 'snow☃', 'a'].indexOf('a'), ['x', 'é'].indexOf('é'), ['snow☃'].includes('snow☃'));
        console.log(['1', 1].indexOf(1), [1, 2].indexOf('1'), [].indexOf('a'), ['a', 'b'].indexOf('a', 1), [NaN].includes(NaN), ['a'].indexOf());
        Array.prototype[2] = 'inherited';
        var holes = ['a', 'b']; holes.length = 4;
        console.log(holes.indexOf('inherited'), ['a', , 'c'].indexOf('c'));
        delete Array.prototype[2];
        console.log(Array.prototype.indexOf.call({length: 2, 0: 'a', 1: 'b'}, 'b'), Array.prototype.indexOf.call('abc', 'b'));
        var cut = ['a', 'b', 'c']; cut.length = 1; console.log(cut.indexOf('c'), [].indexOf.length, [].includes.name);",
    );
    assert_eq!(
        lines,
        [
            "299 -1 true",
            "0 1 true",
            "1 -1 -1 -1 true -1",
            "2 2",
            "1 1",
            "-1 1 includes",
        ]
    );
}

#[test]
fn sloppy_scripts_run_as_ever() {
    let lines = printed(
        "colour = '\\033[34m'; raw = '\u{1b}[0m';
        console.log(colour.length, raw.length, typeof this.colour, 'abc'.substr(1), escape('a b'));
        console.log(typeof Atomics, typeof SharedArrayBuffer, JSON.stringify(this).indexOf('console'));
        console.log([1, [2, 3]], {a: [1]}, null, undefined, Symbol('s'), new Error('bad'));
        console.error(later()); console.clear();
        function later() { return 'hoisted' }",
    );
    assert_eq!(
        lines,
        [
            "5 4 string bc a%20b",
            "undefined undefined -1",
            "1,2,3 {\"a\":[1]} null undefined Symbol(s) Error: bad",
            "E hoisted",
            "C "
        ]
    );
}

#[test]
fn the_environment_is_there_three_times() {
    let lines = printed(
        "console.log(env.S3_BUCKET, S3_BUCKET, ANSWER, CONSTS.indexOf('ANSWER') >= 0, typeof file,
          env.MISSING, JSON.stringify(this).indexOf('S3_BUCKET'));
        var S3_BUCKET = 'own'; const ANSWER_TOO = 1; console.log(S3_BUCKET);",
    );
    assert_eq!(lines, ["b b 42 true object undefined -1", "own"]);
}

#[test]
fn a_script_that_throws_at_its_top_level_has_no_hooks() {
    let rig = Rig::new("function onItemCaptured() {}\n\n  var x = null;\n  x.y.z;\n");
    let (message, line, column) = rig.failed.clone().unwrap();
    assert!(rig.hooks.is_empty());
    assert_eq!((line, column.is_some()), (Some(4), true));
    assert!(message.starts_with("/scripts/mine.js:4:"), "{message}");
    assert!(
        message.contains("TypeError") && message.ends_with("in: x.y.z;"),
        "{message}"
    );
}

#[test]
fn a_syntax_error_says_where_it_is() {
    let rig = Rig::new("var a = 1;\nvar b = = 2;\n");
    let (message, line, _) = rig.failed.clone().unwrap();
    assert_eq!(line, Some(2), "{message}");
    assert!(
        message.starts_with("/scripts/mine.js:2:9: SyntaxError"),
        "{message}"
    );
    assert!(message.ends_with("in: var b = = 2;"), "{message}");
}

#[test]
fn an_error_in_a_hook_is_a_line_and_the_script_goes_on() {
    let mut rig = Rig::new(
        "function onItemCaptured(data) {\n  if (data.index == 0) data.nothing.at.all;\n  if (data.index == 1) throw 'text';\n  console.log('fine');\n}",
    );
    let spent = rig.items(3);
    assert_eq!((spent.calls, spent.errors), (3, 2));
    assert!(
        rig.lines[0].starts_with("E (hook=onItemCaptured) TypeError"),
        "{:?}",
        rig.lines
    );
    assert!(
        rig.lines[0].contains("(at mine.js:2:") && rig.lines[0].ends_with("data.nothing.at.all;)"),
        "{:?}",
        rig.lines
    );
    assert!(rig.lines[1].starts_with("E (hook=onItemCaptured) text"));
    assert_eq!(rig.lines[2], "fine");
}

#[test]
fn promises_settle_after_the_call_and_rejections_are_lines() {
    let lines = printed(
        "async function onItemCaptured(data) { await null; console.log('later', data.index);
          Promise.reject(new Error('handled')).catch(function () {});
          throw new Error('lost') }",
    );
    assert_eq!(lines[0], "later 0");
    assert!(
        lines[1].starts_with("E (hook=onItemCaptured) Error: lost"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2);
}

#[test]
fn only_hooks_that_exist_are_told_and_old_names_count() {
    let mut rig = Rig::new(
        "function capturedPacket(info) { console.log(JSON.stringify(info)) }
        this.onJobPassed = function (tag, cron, limit) {
          console.log(tag, cron, limit);
          onItemCaptured = function () { console.log('late') } }",
    );
    assert_eq!(rig.hooks, [Hook::OnPacketCaptured, Hook::OnJobPassed]);
    let packet = PacketSummary {
        at: Timestamp::from_secs(1_706_933_106, 700_800),
        caplen: 96,
        len: 98,
        fragmented: false,
    };
    rig.ask(ToChild::Packets {
        last: 5,
        packets: vec![packet],
    });
    rig.ask(ToChild::Small(Small::JobEnded {
        tag: "t".into(),
        cron: "* * * * * *".into(),
        limit: 2,
        err: None,
    }));
    assert!(rig.hooks.contains(&Hook::OnItemCaptured));
    assert_eq!(rig.items(1).calls, 1);
    assert_eq!(
        rig.lines,
        [
            r#"{"timestamp":"2024-02-03T04:05:06.000700800Z","captureLength":96,"length":98,"truncated":true,"fragmented":false}"#,
            "t * * * * * * 2",
            "late"
        ]
    );
}

#[test]
fn a_query_at_the_item_hook_is_told_to_the_parent() {
    let mut rig = Rig::new(
        "function onItemCaptured(data) { onItemCaptured.kfl = 'dns' }
        onItemCaptured.kfl = 'http and response.status == 500';
        function onJobPassed() { onItemCaptured.kfl = 'http and' }
        function onJobFailed() { onItemCaptured.kfl = ' ' }",
    );
    assert_eq!(rig.kfl.as_deref(), Some("http and response.status == 500"));
    rig.items(1);
    assert_eq!(rig.kfl.as_deref(), Some("dns"));
    let ended = |err: Option<&str>| {
        ToChild::Small(Small::JobEnded {
            tag: "t".into(),
            cron: "* * * * * *".into(),
            limit: 2,
            err: err.map(str::to_owned),
        })
    };
    rig.ask(ended(None));
    rig.ask(ended(None));
    assert_eq!(rig.kfl.as_deref(), Some("dns"), "the last good one stays");
    let [line] = rig.lines.as_slice() else {
        panic!("said once: {:?}", rig.lines)
    };
    assert!(
        line.starts_with("E onItemCaptured.kfl is invalid, 1:"),
        "{line}"
    );
    rig.ask(ended(Some("no")));
    assert_eq!(rig.kfl, None);

    let rig = Rig::new("function onItemCaptured() {}\n  onItemCaptured.kfl = 'http and';");
    let (message, line, column) = rig.failed.clone().unwrap();
    assert_eq!((line, column), (Some(2), Some(3)));
    assert!(
        message.contains("onItemCaptured.kfl is invalid, 1:")
            && message.ends_with("in: onItemCaptured.kfl = 'http and';"),
        "{message}"
    );
    let rig = Rig::new("function onItemCaptured() {} onItemCaptured.kfl = 5;");
    assert!(rig.failed.clone().unwrap().0.contains("a text"));
}

#[test]
fn a_question_is_answered_with_the_returned_object() {
    let mut rig = Rig::new(
        "function onItemQueried(data, query) { if (query == 'http') return test.pass(data) }",
    );
    let mut record = Vec::new();
    flat::encode(&sample::http(), &mut record);
    let mut ask = |query: &str| {
        rig.ask(ToChild::Queried {
            call: 4,
            query: query.into(),
            record: record.clone(),
        })
    };
    let ToParent::Answered {
        call: 4, result, ..
    } = ask("http")
    else {
        panic!("an answer")
    };
    let item = result.unwrap();
    assert_eq!(
        (&item["passed"], &item["failed"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(item["request"]["headers"]["Host"], "cart.shop");
    let ToParent::Answered { result, .. } = ask("dns") else {
        panic!("an answer")
    };
    assert_eq!(result, Ok(Json::Null));
}
