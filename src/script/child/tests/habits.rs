//! What reads as scripts of other times were written for.

use serde_json::json;

use super::{Rig, nothing, start};
use crate::item::{flat, sample};
use crate::script::wire::{Dates, Elapsed, ToChild, ToParent};

#[test]
fn elapsed_time_can_be_microseconds() {
    let code = "
        function onItemCaptured(data) {
            console.log(data.elapsedTime, data.ElapsedTime, JSON.parse(JSON.stringify(data)).elapsedTime);
            console.log(kfl.match('elapsedTime == 12345', data), kfl.match('elapsed_time > 12344', data));
            console.log(kfl.match('elapsedTime > 12345', data));
            console.log(JSON.parse(wrapper.buildHAR([data])).log.entries[0].time);
            data.passed = true;
            console.log(data.elapsedTime, kfl.match('elapsedTime == 12345', data));
        }
        function onItemQueried(data) { data.failed = data.elapsedTime; return data }";
    let mut start = start(code);
    start.habits.elapsed = Elapsed::Micros;
    let mut rig = Rig::with(start, nothing);
    rig.items(1);
    assert_eq!(
        rig.lines,
        [
            "12345 12345 12345",
            "true true",
            "false",
            "12.345",
            "12345 true"
        ]
    );
    let mut record = Vec::new();
    flat::encode(&sample::http(), &mut record);
    let asked = ToChild::Queried {
        call: 1,
        query: String::new(),
        record,
    };
    let ToParent::Answered {
        result: Ok(answer), ..
    } = rig.ask(asked)
    else {
        panic!("it answers")
    };
    let numbers = (&answer["failed"], &answer["elapsedTime"]);
    assert_eq!(numbers, (&json!(12_345), &json!(12)));
}

#[test]
fn queries_compare_microseconds_whatever_a_script_reads_and_changes() {
    let code = "
        function onItemCaptured(data) {
            var same = (data) => kfl.match('elapsedTime == 12345', data) && kfl.match('elapsed_time == 12345', data);
            console.log(same(data), kfl.match('elapsedTime == 12345', data.response));
            data.passed = true;
            data.request.method = 'PUT';
            console.log(same(data), kfl.match('elapsed_time > 12345 && method == \"PUT\"', data));
            console.log(kfl.match('elapsedTime == ' + data.elapsedTime, JSON.parse(JSON.stringify(data))));
            data.elapsedTime = 2 * perMilli;
            console.log(kfl.match('elapsedTime == 2000 and request.method == \"PUT\"', data));
            console.log(kfl.match('elapsedTime == 7', {elapsedTime: 7}));
        }";
    for (elapsed, per_milli) in [(Elapsed::Millis, 1), (Elapsed::Micros, 1000)] {
        let code = format!("var perMilli = {per_milli};{code}");
        let mut start = start(&code);
        start.habits.elapsed = elapsed;
        let mut rig = Rig::with(start, nothing);
        rig.items(1);
        let wanted = ["true false", "true false", "true", "true", "true"];
        assert_eq!(rig.lines, wanted, "{elapsed:?}");
    }
}

#[test]
fn dates_can_read_as_otto_wrote_them() {
    let code = "
        var at = new Date('2024-02-03T04:05:06.123456789Z');
        console.log(String(at), '|', at + '', '|', at.toUTCString(), '|', at.toGMTString());
        console.log(at.toDateString(), '|', at.toTimeString(), '|', at.toISOString());
        console.log(at.toLocaleString(), '|', at.toLocaleDateString(), '|', at.toLocaleTimeString());
        console.log(new Date(NaN).toString(), '|', JSON.stringify(at), '|', Date() === new Date()[shown]());
        console.log(new Date(-62198755200000).toDateString(), Object.keys(Date.prototype).length);";
    let of = |shown: &str| format!("var shown = '{shown}';{code}");
    let mut otto = start(&of("toGMTString"));
    otto.habits.dates = Dates::Otto;
    let rig = Rig::with(otto, nothing);
    let text = "Sat, 03 Feb 2024 04:05:06";
    assert_eq!(
        rig.lines,
        [
            format!("{text} UTC | {text} UTC | {text} UTC | {text} GMT"),
            "Sat, 03 Feb 2024 | 04:05:06 UTC | 2024-02-03T04:05:06.123Z".into(),
            "2024-02-03 04:05:06 | 2024-02-03 | 04:05:06".into(),
            "Invalid Date | \"2024-02-03T04:05:06.123Z\" | true".into(),
            "Fri, 01 Jan -0001 0".into(),
        ]
    );
    let rig = Rig::new(&of("toString"));
    assert!(
        rig.lines[0].starts_with("Sat Feb 03 2024 04:05:06 GMT+0000"),
        "{:?}",
        rig.lines
    );
    assert!(rig.lines[3].ends_with("| true"), "{:?}", rig.lines);
}
