//! The hostile scripts: what each tries, and how it must end.
//!
//! In: nothing. Out: a table of scripts by topic. Every script runs beside a well-behaved one and a
//! recording, which must not notice.

/// A script that means no good.
#[derive(Clone, Copy)]
pub struct Case {
    /// Name of its file, without the ending.
    pub name: &'static str,
    /// Its text.
    pub code: &'static str,
    /// States in which it may end.
    pub states: &'static [&'static str],
    /// What the console must say of it: the hook, job or place, which stands in the line.
    pub place: &'static str,
    /// And what ended it, in one of these words.
    pub words: &'static [&'static str],
}

const RUNS: &[&str] = &["running"];
const GONE: &[&str] = &["quarantined"];
const NOT_LOADED: &[&str] = &["broken", "quarantined"];
const EITHER: &[&str] = &["running", "quarantined"];

const ITEM: &str = "onItemCaptured";
const TIME: &[&str] = &["of processor time", "did not return within"];
/// Memory and stack end a process in several ways, and the engine may notice first.
const SPACE: &[&str] = &[
    "aborted",
    "out of stack or memory",
    "memory",
    "stack",
    "of processor time",
    "did not return within",
    "RangeError",
    "recursion",
    "recursive calls",
    "too deep",
    "Too deep",
    "SyntaxError",
];
/// Errors that a script catches again and again meet the limit of the stack at last.
const CAUGHT: &[&str] = &[
    "of processor time",
    "did not return within",
    "maximum stack size",
    "recursive calls",
];
/// The engine knows no place for these.
const LOOPS: &[&str] = &["maximum number of iteration loops"];
const DEEP: &[&str] = &["recursive calls", "stack", "of processor time"];

const fn case(
    name: &'static str,
    states: &'static [&'static str],
    place: &'static str,
    words: &'static [&'static str],
    code: &'static str,
) -> Case {
    Case {
        name,
        code,
        states,
        place,
        words,
    }
}

/// The engine ends these after so many turns or calls. It cannot go on then: the process ends.
pub const COUNTED_LOOPS: &[Case] = &[
    case(
        "while_true",
        GONE,
        ITEM,
        LOOPS,
        "function onItemCaptured(data) {\n  while (true) {}\n}",
    ),
    case(
        "for_ever",
        GONE,
        ITEM,
        LOOPS,
        "function onItemCaptured(data) {\n  for (;;) {}\n}",
    ),
    case(
        "do_while",
        GONE,
        ITEM,
        LOOPS,
        "function onItemCaptured(data) {\n  var n = 0;\n  do { n++ } while (n >= 0);\n}",
    ),
    case(
        "labelled",
        GONE,
        ITEM,
        LOOPS,
        "function onItemCaptured(data) {\n  outer: for (;;) { for (;;) { continue outer } }\n}",
    ),
    case(
        "finally_loop",
        GONE,
        ITEM,
        LOOPS,
        "function onItemCaptured(data) {\n  for (;;) { try { throw 1 } finally { continue } }\n}",
    ),
    case(
        "loop_that_catches",
        GONE,
        ITEM,
        LOOPS,
        "function onItemCaptured(data) {\n  try {\n    for (;;) {}\n  } catch (error) { onItemCaptured(data) }\n}",
    ),
    case(
        "for_in_getter",
        GONE,
        ITEM,
        LOOPS,
        "var box = {\n  get inside() { for (;;) {} }\n};\nfunction onItemCaptured(data) { for (var key in box) box[key] }",
    ),
    case(
        "loop_at_load",
        NOT_LOADED,
        "loop_at_load.js: ",
        LOOPS,
        "var n = 0;\nwhile (true) n++;",
    ),
    case(
        "recursion",
        GONE,
        "recursion.js:1:",
        DEEP,
        "function again() { return 1 + again() }\nfunction onItemCaptured(data) { again() }",
    ),
    case(
        "getter_of_itself",
        GONE,
        "getter_of_itself.js:1:",
        DEEP,
        "var box = { get inside() { return this.inside } };\nfunction onItemCaptured(data) { box.inside }",
    ),
];

/// The watchdog ends these: no count of turns is reached.
pub const ENDLESS: &[Case] = &[
    case(
        "endless",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) { for (;;) {} }",
    ),
    case(
        "finally_for_ever",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) { for (;;) { try { throw 1 } finally { continue } } }",
    ),
    case(
        "recursion_that_catches",
        EITHER,
        ITEM,
        CAUGHT,
        "function again() { try { again() } catch (error) {} again() }\nfunction onItemCaptured(data) { for (;;) { try { again() } catch (error) {} } }",
    ),
    case(
        "sort_comparator",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) { [3, 1, 2].sort(function () { for (;;) {} }) }",
    ),
    case(
        "replace_callback",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) { 'abc'.replace(/b/, function () { for (;;) {} }) }",
    ),
    case(
        "endless_iterator",
        GONE,
        ITEM,
        SPACE,
        "var endless = {};\nendless[Symbol.iterator] = function () { return { next: function () { return { done: false, value: 1 } } } };\nfunction onItemCaptured(data) { Array.from(endless) }",
    ),
    case(
        "endless_generator",
        GONE,
        ITEM,
        SPACE,
        "function* all() { for (;;) yield 1 }\nfunction onItemCaptured(data) { [...all()] }",
    ),
    case(
        "to_string_loop",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) { console.log({ toString: function () { for (;;) {} } }) }",
    ),
    case(
        "to_json_loop",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) { JSON.stringify({ toJSON: function () { for (;;) {} } }) }",
    ),
    case(
        "proxy_trap_loop",
        GONE,
        ITEM,
        TIME,
        "var trap = new Proxy({}, { ownKeys: function () { for (;;) {} } });\nfunction onItemCaptured(data) { Object.keys(trap) }",
    ),
    case(
        "sparse_join",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { new Array(4294967295).join('x') }",
    ),
    case(
        "hook_getter",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) {\n  Object.defineProperty(globalThis, 'onPodEvent', { get: function () { for (;;) {} } });\n}",
    ),
    case(
        "thrown_with_loop",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) { throw { toString: function () { for (;;) {} } } }",
    ),
    case(
        "job_loop",
        GONE,
        "the job \"spin\"",
        TIME,
        "jobs.schedule('spin', '* * * * * *', function () { for (;;) {} });",
    ),
    case(
        "timer_loop",
        GONE,
        "a timer",
        TIME,
        "setInterval(function () { for (;;) {} }, 1);",
    ),
    case(
        "promise_loop",
        GONE,
        ITEM,
        TIME,
        "function next() { return Promise.resolve().then(next) }\nfunction onItemCaptured(data) { next() }",
    ),
    case(
        "async_loop",
        GONE,
        ITEM,
        SPACE,
        "async function spin() { for (;;) await null }\nfunction onItemCaptured(data) { spin() }",
    ),
    case(
        "packet_loop",
        GONE,
        "onPacketCaptured",
        TIME,
        "function onPacketCaptured(info) { for (;;) {} }",
    ),
];

/// Regular expressions that track back, and queries that are too much.
pub const PATTERNS: &[Case] = &[
    case(
        "nested_plus",
        GONE,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { /^(a+)+$/.test('a'.repeat(60) + 'b') }",
    ),
    case(
        "nested_choice",
        GONE,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { /^(a|aa)+$/.test('a'.repeat(90) + 'b') }",
    ),
    case(
        "many_stars",
        GONE,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { /(.*)*(.*)*(.*)*x/.test('y'.repeat(200)) }",
    ),
    case(
        "pattern_in_replace",
        GONE,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { ('a'.repeat(60) + 'b').replace(/(a*)*c/g, '') }",
    ),
    case(
        "deep_pattern",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { new RegExp('('.repeat(100000) + ')'.repeat(100000)) }",
    ),
    case(
        "huge_query",
        RUNS,
        "huge_query.js:1:",
        &["too long", "longer than", "at most"],
        "function onItemCaptured(data) { kfl.match('http or '.repeat(200000) + 'dns', data) || console.log('no') }",
    ),
    case(
        "deep_query",
        RUNS,
        "deep_query.js:1:",
        &["deep", "nest", "long"],
        "function onItemCaptured(data) { kfl.match('('.repeat(5000) + 'http' + ')'.repeat(5000), data) }",
    ),
    case(
        "endless_queries",
        GONE,
        ITEM,
        TIME,
        "var n = 0;\nfunction onItemCaptured(data) { for (;;) kfl.match('response.status == ' + n++, data) }",
    ),
];

/// Scripts that eat memory, at once or bit by bit.
pub const MEMORY: &[Case] = &[
    case(
        "repeat",
        GONE,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { var x = 'x'.repeat(1e9); console.log(x.length) }",
    ),
    case(
        "pad",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { var x = ''.padEnd(1073741823, 'ab'); console.log(x.length) }",
    ),
    case(
        "doubling",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { var x = 'ab'; for (;;) x += x }",
    ),
    case(
        "growing_array",
        GONE,
        ITEM,
        SPACE,
        "var all = [];\nfunction onItemCaptured(data) { for (;;) all.push('x'.repeat(1e6) + all.length) }",
    ),
    case(
        "growing_map",
        GONE,
        ITEM,
        SPACE,
        "var all = new Map();\nfunction onItemCaptured(data) { for (;;) all.set(all.size, new Array(1000).fill(all.size)) }",
    ),
    case(
        "closures",
        GONE,
        ITEM,
        SPACE,
        "var last = null;\nfunction make(before, text) { return function () { return before && text } }\nfunction onItemCaptured(data) { for (var n = 0;; n++) last = make(last, 'x'.repeat(10000) + n) }",
    ),
    case(
        "typed_array",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { var all = new Uint8Array(2147483647); console.log(all.length) }",
    ),
    case(
        "array_buffers",
        EITHER,
        ITEM,
        SPACE,
        "var all = [];\nfunction onItemCaptured(data) { for (;;) all.push(new ArrayBuffer(50000000)) }",
    ),
    case(
        "laughs",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) {\n  var laugh = 'lol';\n  for (var n = 0; n < 9; n++) laugh = [laugh, laugh, laugh, laugh, laugh, laugh, laugh, laugh, laugh, laugh];\n  JSON.stringify(laugh);\n}",
    ),
    case(
        "kept_items",
        GONE,
        ITEM,
        SPACE,
        "var kept = [];\nfunction onItemCaptured(data) { for (;;) kept.push(JSON.parse(JSON.stringify(data)), 'x'.repeat(100000) + kept.length) }",
    ),
    case(
        "promises",
        GONE,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { for (;;) Promise.resolve('x'.repeat(100000)).then(function (text) { return text }) }",
    ),
    case(
        "huge_env",
        NOT_LOADED,
        "env",
        &["too large"],
        "console.log(Object.keys(env).length)",
    ),
];

/// Things that lie too deep in each other.
pub const DEPTH: &[Case] = &[
    case("deep_source", NOT_LOADED, "", SPACE, "@DEEP@"),
    case(
        "deep_eval",
        GONE,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { eval('['.repeat(200000)) }",
    ),
    case(
        "deep_json",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) { JSON.parse('['.repeat(300000) + ']'.repeat(300000)) }",
    ),
    case(
        "deep_object",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) {\n  var deep = {};\n  for (var n = 0; n < 100000; n++) deep = { deep: deep };\n  JSON.stringify(deep);\n}",
    ),
    case(
        "deep_array_text",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) {\n  var deep = [];\n  for (var n = 0; n < 100000; n++) deep = [deep];\n  console.log(String(deep));\n}",
    ),
    case(
        "cycle",
        RUNS,
        "cycle.js:3:",
        &["TypeError"],
        "function onItemCaptured(data) {\n  var self = {}; self.self = self;\n  JSON.stringify(self);\n}",
    ),
    case(
        "prototypes",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) {\n  var chain = {};\n  for (var n = 0; n < 200000; n++) chain = Object.create(chain);\n  for (;;) chain.nothing;\n}",
    ),
    case(
        "proxies",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) {\n  var chain = {};\n  for (var n = 0; n < 100000; n++) chain = new Proxy(chain, {});\n  chain.nothing;\n  for (;;) {}\n}",
    ),
    case(
        "bound",
        EITHER,
        ITEM,
        SPACE,
        "function onItemCaptured(data) {\n  var call = function () {};\n  for (var n = 0; n < 100000; n++) call = call.bind(null);\n  call();\n  for (;;) {}\n}",
    ),
    case(
        "deep_for_the_hub",
        RUNS,
        "deep_for_the_hub.js:4:",
        &["RangeError"],
        "function onItemCaptured(data) {\n  var deep = 1;\n  for (var n = 0; n < 500; n++) deep = [deep];\n  hub.action('deep', deep);\n}",
    ),
];

/// Exceptions wherever one can be thrown.
pub const EXCEPTIONS: &[Case] = &[
    case(
        "throws_at_load",
        NOT_LOADED,
        "throws_at_load.js:2:",
        &["not today"],
        "var x = 1;\nthrow new Error('not today');",
    ),
    case(
        "no_javascript",
        NOT_LOADED,
        "no_javascript.js:2:",
        &["SyntaxError"],
        "var x = 1;\nfunction (",
    ),
    case(
        "throws_in_item",
        RUNS,
        "(hook=onItemCaptured) Error: an item (at throws_in_item.js:2:",
        &["an item"],
        "function onItemCaptured(data) {\n  throw new Error('an item');\n}",
    ),
    case(
        "throws_in_packet",
        RUNS,
        "(hook=onPacketCaptured) Error: a packet (at throws_in_packet.js:2:",
        &["a packet"],
        "function onPacketCaptured(info) {\n  throw new Error('a packet');\n}",
    ),
    case(
        "throws_in_job",
        RUNS,
        "(job=throw) Error: a job (at throws_in_job.js:2:",
        &["a job"],
        "jobs.schedule('throw', '* * * * * *', function () {\n  throw new Error('a job');\n});",
    ),
    case(
        "throws_when_a_job_fails",
        RUNS,
        "(hook=onJobFailed) Error: about the failure (at throws_when_a_job_fails.js:2:",
        &["failure"],
        "function onJobFailed(tag, cron, limit, err) {\n  throw new Error('about the failure');\n}",
    ),
    case(
        "throws_in_timer",
        RUNS,
        "(hook=timer) Error: a timer (at throws_in_timer.js:2:",
        &["a timer"],
        "setInterval(function () {\n  throw new Error('a timer');\n}, 20);",
    ),
    case(
        "rejects",
        RUNS,
        "(hook=onItemCaptured) Error: nobody cares",
        &["nobody cares"],
        "function onItemCaptured(data) { Promise.reject(new Error('nobody cares')) }",
    ),
    case(
        "throws_a_megabyte",
        RUNS,
        "(hook=onItemCaptured)",
        &["bytes cut)"],
        "function onItemCaptured(data) { throw new Error('x'.repeat(1000000)) }",
    ),
    case(
        "throws_what_throws",
        RUNS,
        "(hook=onItemCaptured)",
        &["toString", "Object", "{"],
        "function onItemCaptured(data) { throw { toString: function () { throw 1 } } }",
    ),
    case(
        "breaks_its_own_world",
        RUNS,
        "",
        &["all is broken"],
        "console.log('all is broken');\nJSON.stringify = JSON.parse = null;\nArray.prototype.push = Object.prototype.toString = function () { throw 'no' };\nObject.prototype.then = function () {};\nfunction onItemCaptured(data) { delete globalThis.console; globalThis.kfl = 1 }",
    ),
];

/// Floods of timers, lines and jobs.
pub const FLOODS: &[Case] = &[
    case(
        "timers",
        RUNS,
        "timers.js:2:",
        &["too many timers"],
        "function onItemCaptured(data) {\n  for (var n = 0; n < 20000; n++) setTimeout(function () {}, 1e9);\n}",
    ),
    case(
        "busy_timers",
        EITHER,
        "",
        &["5000 are set", "a timer"],
        "for (var n = 0; n < 5000; n++) setInterval(function () { Math.sqrt(2) }, 0);\nconsole.log('5000 are set');",
    ),
    case(
        "gigabyte_of_lines",
        GONE,
        ITEM,
        TIME,
        "var line = 'x'.repeat(10000);\nfunction onItemCaptured(data) { for (var n = 0; n < 100000; n++) console.log(line) }",
    ),
    case(
        "short_lines",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) { for (;;) console.error('!') }",
    ),
    case(
        "long_line",
        RUNS,
        "",
        &["bytes cut)"],
        "var done = false;\nfunction onItemCaptured(data) { if (!done) { done = true; console.log('x'.repeat(2000000)) } }",
    ),
    case(
        "clears",
        RUNS,
        "",
        &["cleared"],
        "var n = 0;\nfunction onItemCaptured(data) { console.clear(); if (++n % 20 === 0) console.error('cleared') }",
    ),
    case(
        "thousands_of_jobs",
        RUNS,
        "thousands_of_jobs.js:3:",
        &["at most 1000 jobs"],
        "var n = 0;\nfunction onItemCaptured(data) {\n  for (var more = 0; more < 40; more++) jobs.schedule('job ' + n++, '0 0 0 1 1 *', function () {});\n}",
    ),
    case(
        "jobs_that_breed",
        RUNS,
        "(job=",
        &["at most 1000 jobs"],
        "var born = 0;\nfunction breed() { for (var n = 0; n < 400; n++) jobs.schedule('child ' + born++, '0 0 0 1 1 *', breed); jobs.runAll() }\njobs.schedule('first', '* * * * * *', breed);",
    ),
    case(
        "job_that_triggers_itself",
        RUNS,
        "",
        &["100 runs"],
        "var runs = 0;\njobs.schedule('again', '0 0 0 1 1 *', function () { if (++runs === 100) console.error('100 runs'); jobs.run('again') });\njobs.run('again');",
    ),
    case(
        "asks_without_end",
        GONE,
        ITEM,
        TIME,
        "function onItemCaptured(data) { for (;;) jobs.list() }",
    ),
    case(
        "long_tag",
        RUNS,
        "long_tag.js:1:",
        &["at most 1024 bytes"],
        "function onItemCaptured(data) { jobs.schedule('x'.repeat(500000), '* * * * * *', function () {}) }",
    ),
    case(
        "hub_flood",
        GONE,
        ITEM,
        TIME,
        "function onHubAction(action, object) {}\nfunction onItemCaptured(data) { for (;;) { try { hub.action('flood', 'x'.repeat(100000)) } catch (error) {} } }",
    ),
];

/// Ways out: of the data folder, into the network, into what others own.
pub const ESCAPES: &[Case] = &[
    case(
        "dots",
        RUNS,
        "dots.js:1:",
        &["leads out of the data folder"],
        "function onItemCaptured(data) { file.write('../../outside', 'x') }",
    ),
    case(
        "dots_in_move",
        RUNS,
        "dots_in_move.js:3:",
        &["leads out of the data folder"],
        "file.write('mine', 'x');\nfunction onItemCaptured(data) {\n  file.move('mine', 'a/../../outside');\n}",
    ),
    case(
        "dots_in_temp",
        RUNS,
        "dots_in_temp.js:1:",
        &["leads out of the data folder"],
        "function onItemCaptured(data) { file.temp('../../outside', '', 'txt') }",
    ),
    case(
        "absolute",
        RUNS,
        "absolute.js:1:",
        &["no such file or directory"],
        "function onItemCaptured(data) { file.copy('/etc/passwd', 'mine') }",
    ),
    case(
        "link_copy",
        RUNS,
        "link_copy.js:1:",
        &["leads out of the data folder", "no such file"],
        "function onItemCaptured(data) { file.copy('way/secret', 'mine') }",
    ),
    case(
        "link_move",
        RUNS,
        "link_move.js:1:",
        &["leads out of the data folder", "no such file"],
        "function onItemCaptured(data) { file.move('way/secret', 'mine') }",
    ),
    case(
        "link_write",
        RUNS,
        "link_write.js:1:",
        &["leads out of the data folder", "no such file"],
        "function onItemCaptured(data) { file.write('way/secret', 'mine') }",
    ),
    case(
        "link_tar",
        RUNS,
        "link_tar.js:1:",
        &[
            "leads out of the data folder",
            "no such file",
            "not a directory",
        ],
        "function onItemCaptured(data) { file.tar('way') }",
    ),
    case(
        "folders_into_each_other",
        RUNS,
        "folders_into_each_other.js:4:",
        &["folders deep"],
        "function onItemCaptured(data) {\n  for (var n = 0; n < 5; n++) {\n    file.mkdir('d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d'); file.mkdir('e');\n    file.move('d', 'e'); file.move('e', 'd');\n  }\n}",
    ),
    case(
        "many_files",
        RUNS,
        "many_files.js:2:",
        &["the data folder is full"],
        "function onItemCaptured(data) {\n  for (var n = 0; n < 100000; n++) file.write('file' + n, '');\n}",
    ),
    case(
        "large_file",
        RUNS,
        "large_file.js:2:",
        &["the data folder is full"],
        "function onItemCaptured(data) {\n  for (;;) file.append('large', 'x'.repeat(500000));\n}",
    ),
    case(
        "too_large_a_message",
        EITHER,
        ITEM,
        &["too large", "aborted"],
        "function onItemCaptured(data) { file.write('large', 'x'.repeat(70000000)) }",
    ),
    case(
        "metadata_service",
        RUNS,
        "metadata_service.js:1:",
        &["machines get their credentials"],
        "function onItemCaptured(data) { vendor.webhook('GET', 'http://169.254.169.254/latest/meta-data/', '') }",
    ),
    case(
        "metadata_by_number",
        RUNS,
        "metadata_by_number.js:1:",
        &["machines get their credentials"],
        "function onItemCaptured(data) { vendor.webhook('GET', 'http://[::ffff:a9fe:a9fe]/latest/', '') }",
    ),
    case(
        "metadata_by_name",
        RUNS,
        "metadata_by_name.js:1:",
        &["machines get their credentials"],
        "function onItemCaptured(data) { vendor.webhook('GET', 'http://metadata.google.internal/', '') }",
    ),
    case(
        "calls_in_a_loop",
        GONE,
        ITEM,
        &["in helpers, vendor.webhook was the last"],
        "function onItemCaptured(data) { for (;;) { try { vendor.webhook('POST', env.SILENT, 'x') } catch (error) {} } }",
    ),
    case(
        "label_explosion",
        RUNS,
        "label_explosion.js:5:",
        &["this script has"],
        "function onItemCaptured(data) {\n  for (var n = 0; n < 30000; n++) {\n    var labels = {};\n    for (var l = 0; l < 60; l++) labels['l' + l] = n + 'x'.repeat(1000);\n    prometheus.metric('explosion', 'more and more', 2, 1, labels);\n  }\n}",
    ),
    case(
        "too_much_for_the_hub",
        RUNS,
        "too_much_for_the_hub.js:1:",
        &["too large"],
        "function onItemCaptured(data) { hub.action('big', 'x'.repeat(3000000)) }",
    ),
    case(
        "recordings_without_end",
        RUNS,
        "recordings_without_end.js:2:",
        &["at most 16 recordings"],
        "function onItemCaptured(data) {\n  for (var n = 0; n < 100; n++) recording.set({ name: 'r' + n, kfl: 'false' });\n}",
    ),
    case(
        "another_query",
        RUNS,
        "another_query.js:1:",
        &["give this recording another name"],
        "function onItemCaptured(data) { recording.set({ name: 'recording', kfl: 'false' }) }",
    ),
    case(
        "seals_without_end",
        RUNS,
        "seals_without_end.js:1:",
        &["less than a second ago"],
        "function onItemCaptured(data) { for (var n = 0; n < 3; n++) recording.seal('nothing') }",
    ),
];
