//! Scripts in a child that is a thread here, against a host that records what is asked.

mod habits;
mod outside;
mod spoilt;

use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use serde_json::{Value as Json, json};

use super::serve;
use crate::item::{flat, json as item_json, sample};
use crate::kfl::Schema;
use crate::script::api::GLOBALS;
use crate::script::host::HostCall;
use crate::script::wire::{
    Batch, ClockMode, FromChild, Habits, Hook, Level, Limits, PacketSummary, Role, Small, Spent,
    Start, ToChild, ToParent, send_to_child,
};
use crate::time::Timestamp;

type Answers = fn(&HostCall) -> Result<Json, String>;

/// A child, and what it said.
struct Rig {
    socket: UnixStream,
    reader: FromChild<UnixStream>,
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
        let (socket, theirs) = UnixStream::pair().unwrap();
        let child = std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(move || serve(theirs, &Schema::empty()).unwrap())
            .unwrap();
        let mut rig = Rig {
            reader: FromChild::new(socket.try_clone().unwrap()),
            socket,
            answers,
            calls: Vec::new(),
            lines: Vec::new(),
            hooks: Vec::new(),
            kfl: None,
            failed: None,
            timer: None,
            child: Some(child),
        };
        send_to_child(&rig.socket, &ToChild::Start(Box::new(start))).unwrap();
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
        send_to_child(&self.socket, &ToChild::Small(message)).unwrap();
    }

    fn drain(&mut self) {
        self.say(Small::Drain { call: 99 });
        self.until_done();
    }

    fn ask(&mut self, message: ToChild) -> ToParent {
        send_to_child(&self.socket, &message).unwrap();
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
        let _ = send_to_child(&self.socket, &ToChild::Small(Small::Stop));
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
fn an_item_reads_like_a_plain_object() {
    let lines = in_hook(
        r"
        var plain = JSON.parse(env.PLAIN);
        function same(name, a, b) { console.log(name, a === b ? 'same' : a + ' <> ' + b); }
        same('text', JSON.stringify(data), env.PLAIN);
        same('indented', JSON.stringify(data, null, 2), JSON.stringify(plain, null, 2));
        var a = [], b = [];
        for (var k in data) a.push(k);
        for (var k in plain) b.push(k);
        same('for in', a.join(), b.join());
        same('keys', Object.keys(data).join(), b.join());
        same('names', Object.getOwnPropertyNames(data).join(), b.join());
        same('own', data.hasOwnProperty('src'), true);
        same('in', 'src' in data, true);
        same('identity', data.request, data.request);
        same('list identity', data.protocol.ports, data.protocol.ports);
        same('array', Array.isArray(data.protocol.ports), true);
        same('spread', JSON.stringify({...data}), env.PLAIN);
        same('assign', JSON.stringify(Object.assign({}, data)), env.PLAIN);
        same('entries', JSON.stringify(Object.fromEntries(Object.entries(data))), env.PLAIN);
        same('values', JSON.stringify(Object.values(data)), JSON.stringify(Object.values(plain)));
        same('string', String(data), '[object Object]');
        same('constructor', data.constructor, Object);
        same('read all', JSON.stringify(data), env.PLAIN);
        same('headers', data.request.headers['Content-Type'], 'application/json');
        same('number', data.elapsedTime + 1, 13);
        same('missing', data.request.nothing, undefined);
        same('replacer', JSON.stringify(data, ['index', 'tls']), '{\x22index\x22:0,\x22tls\x22:false}');
        ",
    );
    assert_eq!(lines.len(), 21);
    for line in lines {
        assert!(line.ends_with(" same"), "{line}");
    }
}

/// What scripts may do with an item, one after another; each has the same outcome on a plain object.
const PROBES: &str = r"[
    d => d.request.method + d.nothing + d.request.headers.Host,
    d => 'stream' in d, d => 'toString' in d, d => 'x' in d.src,
    d => d.hasOwnProperty('id') + ' ' + d.hasOwnProperty('Id'),
    d => Object.prototype.toString.call(d) + d + typeof d,
    d => Object.getPrototypeOf(Object.getPrototypeOf(d.request.headers)) === null,
    d => Object.keys(d.protocol), d => Object.entries(d.src), d => Object.values(d.protocol).length,
    d => { var s = ''; for (var k in d.src) s += k; return s },
    d => JSON.stringify({...d}), d => JSON.stringify(Object.assign({}, d.protocol)),
    d => { d.passed = true; d.protocol.name = 'x'; return JSON.stringify(d) },
    d => { d.added = 1; d['7'] = 2; return Object.keys(d).join() + d.added },
    d => { delete d.id; delete d.added; return [d.id, 'id' in d, Object.keys(d).length] },
    d => { var o = Object.create(d); o.stream = 1; o.fresh = 2; return [o.stream, d.stream, d.fresh, o.protocol === d.protocol] },
    d => { var o = Object.create(d.src); return [o.ip, Object.keys(o).length, 'ip' in o] },
    d => { Object.defineProperty(d, 'gone', {value: 5}); return [d.gone, Object.keys(d).indexOf('gone')] },
    d => { Object.defineProperty(d.dst, 'name', {get() { return this.port + '!' }}); return d.dst.name },
    d => { var seen = new Map([[d, 1], [d.src, 2]]); return [seen.get(d), seen.get(d.src), new WeakSet([d]).has(d)] },
    d => Reflect.ownKeys(d.protocol).length + ' ' + Reflect.has(d, 'index') + Reflect.get(d, 'index'),
    d => [Reflect.set(d, 'index', 9), d.index, Reflect.deleteProperty(d, 'index'), d.index],
    d => { var p = new Proxy(d, {get: (t, k) => k === 'stream' ? 'mine' : t[k]}); return [p.stream, p.tls, JSON.stringify(p).indexOf('mine') > 0] },
    d => { Object.setPrototypeOf(d, {inherited: 3}); return [d.inherited, d.stream, d.hasOwnProperty] },
    d => { d.__proto__ = Object.prototype; return d.inherited },
    d => { var {request, ...rest} = d; return [request.path, Object.keys(rest).length] },
    d => JSON.stringify(d), d => JSON.stringify([d, d.response]),
    d => { d.self = d; try { return JSON.stringify(d) } catch (e) { return e.name } },
    d => { d.self = {d: d}; try { return JSON.stringify(d) } catch (e) { return e.name } },
    d => { d.self = d.src; d.src.up = d.dst; d.dst.up = d.src; try { return JSON.stringify(d) } catch (e) { return e.name } },
]";

#[test]
fn an_item_cannot_be_told_from_a_plain_object() {
    let body = format!(
        "var plain = JSON.parse(JSON.stringify(data));
        ({PROBES}).forEach(function (probe, index) {{
            var [one, other] = [data, plain].map(d => String(probe(d)));
            if (one !== other) console.log(index, String(probe), one, other);
        }});
        console.log('compared');"
    );
    assert_eq!(in_hook(&body), ["compared"]);
}

#[test]
fn changes_to_an_item_are_seen_everywhere() {
    let lines = in_hook(
        r"
        var plain = JSON.parse(env.PLAIN);
        function check(name) {
          var got = JSON.stringify(data), wanted = JSON.stringify(plain);
          console.log(name, got === wanted ? 'same' : got + ' <> ' + wanted);
        }
        [data, plain].forEach(function (d) { delete d.passed; }); check('delete');
        [data, plain].forEach(function (d) { d.failed = true; }); check('assignment');
        [data, plain].forEach(function (d) { d.request.headers.Host = 'x'; }); check('nested write');
        [data, plain].forEach(function (d) { d.extra = {a: 1}; }); check('new key');
        [data, plain].forEach(function (d) { d.protocol.ports.push('81'); }); check('list');
        [data, plain].forEach(function (d) { delete d.request; }); check('deleted object');
        [data, plain].forEach(function (d) { d.src = d.dst; }); check('moved');
        [data, plain].forEach(function (d) { d[7] = 'index'; }); check('index key');
        [data, plain].forEach(function (d) { d.tls = undefined; }); check('undefined');
        [data, plain].forEach(function (d) {
          Object.defineProperty(d, 'size', {get: function () { return 5; }, enumerable: true, configurable: true});
        }); check('redefined');
        console.log('request' in data, data.failed, data.request);
        ",
    );
    assert_eq!(lines.len(), 11, "{lines:?}");
    for line in &lines[..10] {
        assert!(line.ends_with(" same"), "{line}");
    }
    assert_eq!(lines[10], "false true undefined");
}

#[test]
fn each_single_change_alone_is_seen() {
    let changes = [
        "delete d.passed",
        "d.failed = true",
        "d.request.headers.Host = 'x'",
        "d.extra = 1",
        "d.protocol.ports.push('81')",
        "d.protocol.ports[0] = 'x'",
        "d.protocol.ports.length = 1",
        "d[7] = 1",
        "delete d.src.ip; d.src.ip = '1'",
        "Object.defineProperty(d, 'size', {get: function () { return 5 }})",
        "Reflect.defineProperty(d.src, 'ip', {get: function () { return 5 }})",
        "d.src.__defineGetter__('ip', function () { return 5 })",
        "Object.prototype.toJSON = function () { return 7 }",
        "Object.defineProperty(new Proxy(d, {}), 'size', {get: function () { return 5 }})",
        "Object.setPrototypeOf(d, {toJSON: function () { return 7 }})",
        "d.passed = 1.5; d.size = NaN; d.index = -0; d.failed = 1e21",
        "d.passed = '\\ud800'; d.failed = 'ü\\u2028'",
        "d.passed = Symbol('x'); d.failed = function () {}; d.tls = undefined",
        "d.passed = new Date(0)",
        "d.passed = [d.src, d.dst]",
        "d.src = d.dst; d.dst = d.request.headers",
        "d.request.headers = {a: {b: 1}}",
        "d.src.toJSON = function () { return 7 }",
        "d.src.toJSON = 7",
        "Object.keys(d); d.src.name = 'x'; d.request.path = 'y'; d.response.content.size = 7",
        "Object.keys(d.src); delete d.src.port; d.src.port = {}",
        "Object.setPrototypeOf(d.src, {toJSON: function () { return 7 }})",
        "Object.freeze(d); delete d.src.ip",
        "Object.defineProperty(d.src, 'ip', {enumerable: false})",
        "d.protocol.ports = ['81']",
        "d['01'] = 1; d['1'] = 2; d.src['7'] = 3",
        "var src = d.src; delete d.src; d.src = src",
    ];
    for change in changes {
        let lines = in_hook(&format!(
            r"var plain = JSON.parse(env.PLAIN);
            [data, plain].forEach(function (d) {{ {change}; }});
            var [got, wanted] = [data, plain].map(d => JSON.stringify(d) + JSON.stringify(d, null, 2));
            console.log(got === wanted ? 'same' : got + ' <> ' + wanted);
            wanted = JSON.stringify(plain);
            console.log(wanted === env.PLAIN ? 'nothing changed' : 'changed');"
        ));
        assert_eq!(lines, ["same", "changed"], "{change}");
    }
}

#[test]
fn what_inherits_from_an_item_gets_keys_of_its_own() {
    let lines = in_hook(
        "var child = Object.create(data); child.tls = 7;
        console.log(child.index, child.tls, data.tls, Object.keys(child).join());",
    );
    assert_eq!(lines, ["0 7 false tls"]);
}

#[test]
fn kept_items_stay_as_they_were() {
    let mut rig = Rig::new(
        "var kept = [];
        function onItemCaptured(data) { kept.push(data); }
        function onJobPassed() { kept.forEach(function (d) {
          console.log(d.index, d.request.headers.Host, JSON.stringify(d).length) }) }",
    );
    rig.items(3);
    rig.items(2);
    rig.ask(ToChild::Small(Small::JobEnded {
        tag: "t".into(),
        cron: "c".into(),
        limit: 0,
        err: None,
    }));
    assert_eq!(rig.lines.len(), 5);
    assert_eq!(
        rig.lines[1].split(' ').take(2).collect::<Vec<_>>(),
        ["1", "cart.shop"]
    );
    assert!(rig.lines[4].starts_with("1 cart.shop"));
}

#[test]
fn go_names_lead_to_the_keys_and_are_not_seen() {
    let lines = in_hook(
        "console.log(data.Protocol.Name, data.Request.Method, data.Response.Content.Encoding,
          data.Source.IP, data.pcapFile, data.ElapsedTime);
        data.Passed = true;
        console.log(data.passed, Object.keys(data).indexOf('Passed'), data.request.headers.host);
        for (var k in data) if (k === 'Protocol') console.log('seen');",
    );
    assert_eq!(
        lines,
        [
            "http POST base64 10.244.1.5 000000000042.pcap 12",
            "true -1 undefined"
        ]
    );
}

#[test]
fn kfl_reads_items_and_altered_items_alike() {
    let lines = in_hook(
        r"console.log(kfl.match('http and response.status == 500', data), kfl.match('dns', data),
          kfl.match('', data), kfl.validate('http'), kfl.validate('http and', true));
        data.response.status = 200;
        console.log(kfl.match('response.status == 500', data), kfl.match('response.status == 200', data));
        kfl.validate('a == ?');
        try { kfl.match('a == ?', data) } catch (e) { console.log(e instanceof Error, String(e)) }",
    );
    assert_eq!(lines[..2], ["true false true true false", "false true"]);
    let text = lines[2].strip_prefix("E ").unwrap();
    assert!(text.starts_with("1:"), "{text}");
    assert_eq!(lines[3], format!("true Error: {text}"));
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

#[test]
fn jobs_run_with_their_arguments_and_this() {
    let mut rig = Rig::new(
        "jobs.schedule('My Tag', '*/60 * * * * *', task, 3, 'a', 7);
        function task(a, b) { console.log(a, b, this === task); if (b == 7 && fail) throw new Error('no') }
        var fail = false;
        function onJobFailed(tag, cron, limit, err) { console.log(tag, limit, err); fail = true }",
    );
    let HostCall::JobsSchedule {
        tag,
        cron,
        limit: 3,
        task,
    } = rig.calls[0].clone()
    else {
        panic!("{:?}", rig.calls)
    };
    assert_eq!((tag.as_str(), cron.as_str()), ("My Tag", "*/60 * * * * *"));
    let run = |task| {
        ToChild::Small(Small::RunJob {
            call: 1,
            task,
            now: NOW,
        })
    };
    let ToParent::Answered { result: Ok(_), .. } = rig.ask(run(task)) else {
        panic!("the job passes")
    };
    rig.ask(ToChild::Small(Small::JobEnded {
        tag: "other".into(),
        cron,
        limit: 0,
        err: Some("Error: x".into()),
    }));
    let ToParent::Answered {
        result: Err(text), ..
    } = rig.ask(run(task))
    else {
        panic!("the job fails")
    };
    assert_eq!(text.text, "Error: no");
    assert!(text.place.starts_with(" (at "), "{text}");
    assert_eq!(rig.lines, ["a 7 true", "other 0 Error: x", "a 7 true"]);
    rig.say(Small::ForgetTask { task });
    let ToParent::Answered { result: Err(_), .. } = rig.ask(run(task)) else {
        panic!("the function is gone")
    };
}

#[test]
fn what_the_host_refuses_is_an_error_with_its_text() {
    let rig = Rig::with(
        start(
            "try { jobs.schedule('t', 'x', function () {}) } catch (e) { console.error(e, e instanceof Error) }
            try { jobs.schedule('t', '@hourly', 5) } catch (e) { console.error(e) }",
        ),
        |_| Err("the schedule has 1 field".into()),
    );
    assert_eq!(
        rig.lines,
        [
            "E Error: the schedule has 1 field true",
            "E TypeError: a job needs a function"
        ]
    );
    assert_eq!(rig.calls.len(), 1);
}

#[test]
fn uploads_hand_their_arguments_on_as_given() {
    let rig = Rig::with(
        start(
            "console.log(vendor.s3.put('b', 'p.pcap', 'eu-west-1'),
              vendor.s3.put('eu-west-1', 'id', 'key', 'b', 'p.pcap'), vendor.s3.put('b', 'p', 'r', undefined, null));",
        ),
        |_| Ok(json!("https://b/p")),
    );
    let put = |arguments: &[Option<&str>]| HostCall::S3Put {
        arguments: arguments
            .iter()
            .map(|text| text.map(str::to_owned))
            .collect(),
    };
    assert_eq!(
        rig.calls,
        [
            put(&[Some("b"), Some("p.pcap"), Some("eu-west-1")]),
            put(&[
                Some("eu-west-1"),
                Some("id"),
                Some("key"),
                Some("b"),
                Some("p.pcap")
            ]),
            put(&[Some("b"), Some("p"), Some("r"), None, None]),
        ]
    );
    assert_eq!(rig.lines, ["https://b/p https://b/p https://b/p"]);
}

#[test]
fn snapshots_take_a_selection_a_folder_or_both() {
    let rig = Rig::with(
        start(
            "pcap.snapshot(); pcap.snapshot('dir'); pcap.snapshot([], 'dir'); pcap.snapshot(['a', 'b'])",
        ),
        |_| Ok(json!("1.pcap")),
    );
    let call = |selected: &[&str], dir: Option<&str>| HostCall::PcapSnapshot {
        selected: selected.iter().map(|name| (*name).to_owned()).collect(),
        dir: dir.map(str::to_owned),
    };
    let expected = [
        call(&[], None),
        call(&[], Some("dir")),
        call(&[], Some("dir")),
        call(&["a", "b"], None),
    ];
    assert_eq!(rig.calls, expected);
}

#[test]
fn timers_follow_packet_time() {
    let mut rig = Rig::new(
        "setTimeout(function (a) { console.log('once', a, Date.now()) }, 1000, 'x');
        var id = setInterval(function () { console.log('again'); throw new Error('t') }, 2000);
        clearTimeout(setTimeout(function () { console.log('never') }, 500));
        function onJobPassed() { clearInterval(id) }",
    );
    assert_eq!(rig.timer, Some(Timestamp::from_secs(1_706_933_001, 0)));
    let tick = |secs: i64| {
        ToChild::Small(Small::Tick {
            now: Timestamp::from_secs(1_706_933_000 + secs, 0),
        })
    };
    rig.ask(tick(1));
    assert_eq!(rig.lines, ["once x 1706933001000"]);
    assert_eq!(rig.timer, Some(Timestamp::from_secs(1_706_933_002, 0)));
    rig.ask(tick(2));
    rig.ask(tick(3));
    assert_eq!(rig.lines[1], "again");
    assert!(rig.lines[2].starts_with("E (hook=timer) Error: t"));
    assert_eq!(rig.lines.len(), 3);
    // An item a hundred seconds later lets the timer run once before the item.
    rig.items(1);
    assert_eq!(rig.lines.len(), 5);
    rig.ask(ToChild::Small(Small::JobEnded {
        tag: "t".into(),
        cron: "c".into(),
        limit: 0,
        err: None,
    }));
    assert_eq!(rig.timer, None);
}

/// A script of the shape that most installations run: copy each stream that matches, and merge and
/// upload what was copied every hour.
const RECORDER: &str = r#"// Keep matching traffic
var ACTIVE = true;
var folder = "kept", pending = "kept_tmp";
var streams = {};

file.delete(folder); file.mkdir(folder);
if (env.RECORDING_KFL && kfl.validate(env.RECORDING_KFL)) {
  jobs.schedule("keep", "0 0 * * * *", upload);
} else { ACTIVE = false; }

function onItemCaptured(data) {
  if (!ACTIVE) return;
  try {
    if (kfl.match(env.RECORDING_KFL, data) && !streams[data.stream]) {
      file.copy(pcap.path(data.stream), folder + "/" + data.stream);
      streams[data.stream] = true;
    }
  } catch (e) { console.error(Date().toLocaleString(), "Caught an error!", e); }
}

function upload() {
  if (Object.keys(streams).length === 0) return;
  streams = {};
  file.delete(pending); file.move(folder, pending); file.mkdir(folder);
  var snapshot = pcap.snapshot([], pending);
  file.delete(pending);
  vendor.s3.put(env.S3_BUCKET, snapshot, env.AWS_REGION);
  file.delete(snapshot);
  vendor.s3.put(env.S3_BUCKET, "name_resolution_history.json", env.AWS_REGION);
}
"#;

#[test]
fn the_usual_recorder_runs() {
    let mut start = start(RECORDER);
    let kfl = json!("http and response.status == 500");
    start.env.insert("RECORDING_KFL".into(), kfl);
    start.env.insert("AWS_REGION".into(), json!("eu-west-1"));
    let mut rig = Rig::with(start, |call| match call {
        HostCall::PcapSnapshot { .. } => Ok(json!("1706933106.pcap")),
        HostCall::S3Put { .. } => Ok(json!("https://b/k")),
        _ => Ok(Json::Null),
    });
    rig.items(5);
    let task = rig.calls.iter().find_map(|call| match call {
        HostCall::JobsSchedule { task, .. } => Some(*task),
        _ => None,
    });
    let ToParent::Answered { result, .. } = rig.ask(ToChild::Small(Small::RunJob {
        call: 1,
        task: task.unwrap(),
        now: NOW,
    })) else {
        panic!("an answer")
    };
    assert_eq!(result, Ok(Json::Null));
    let asked: Vec<&str> = rig.calls.iter().map(HostCall::helper).collect();
    assert_eq!(
        asked,
        [
            "file.delete",
            "file.mkdir",
            "jobs.schedule",
            "file.copy",
            "file.delete",
            "file.move",
            "file.mkdir",
            "pcap.snapshot",
            "file.delete",
            "vendor.s3.put",
            "file.delete",
            "vendor.s3.put"
        ]
    );
    assert_eq!(
        rig.calls[3],
        HostCall::FileCopy {
            from: "pcaps/000000000042.pcap".into(),
            to: "kept/000000000042.pcap".into()
        }
    );
    assert_eq!(rig.lines, Vec::<String>::new());
}

#[test]
fn every_helper_has_an_example_that_runs() {
    for global in GLOBALS {
        for helper in global.helpers() {
            assert!(helper.example.contains(helper.name), "{}", helper.signature);
            assert!(
                helper.signature.contains(helper.name),
                "{}",
                helper.signature
            );
            assert!(
                !helper.doc.is_empty() && !helper.doc.ends_with('.'),
                "{}",
                helper.signature
            );
            let rig = Rig::with(start(helper.example), |call| {
                Ok(match call {
                    HostCall::JobsList => json!([]),
                    HostCall::PcapNameResolutionHistory => json!({}),
                    HostCall::RecordingStatus { .. } => json!({}),
                    HostCall::HubTargeted => json!({"targets": [], "excluded": []}),
                    HostCall::FileMkdirTemp { .. }
                    | HostCall::FileTar { .. }
                    | HostCall::PcapSnapshot { .. } => json!("made"),
                    _ => Json::Null,
                })
            });
            assert_eq!(rig.failed, None, "{}", helper.example);
        }
    }
}
