//! Jobs, timers and helpers, and what they ask of the host.

use serde_json::{Value as Json, json};

use super::{NOW, Rig, start};
use crate::script::api::GLOBALS;
use crate::script::host::HostCall;
use crate::script::wire::{Small, ToChild, ToParent};
use crate::time::Timestamp;

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
