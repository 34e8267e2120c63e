//! Recordings that scripts ask for, on a recorder without a spool.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::scripts::MAX_OF_SCRIPT;
use super::*;
use crate::kfl::Schema;
use crate::packet::Batch;
use crate::pipeline::Links;
use crate::pipeline::host::Recordings;
use crate::record::{Options, Outbox, outbox};
use crate::script::host::ScriptId;
use crate::script::wire::Role;
use crate::store::conformance;
use crate::store::memory::MemoryStore;
use crate::time::SetClock;

const MIDNIGHT: Timestamp = Timestamp::from_secs(1_706_918_400, 0);

fn desk(dir: &Path) -> Desk {
    desk_with_store(dir).0
}

/// A desk, and where what it seals goes to.
fn desk_with_store(dir: &Path) -> (Desk, Arc<Outbox>, Arc<MemoryStore>) {
    let clock = Arc::new(SetClock::at(MIDNIGHT));
    let store = Arc::new(MemoryStore::new());
    let resolved = store.clone();
    let outbox = Outbox::start(
        outbox::Options::new(dir.join("outbox"), 1 << 20),
        clock.clone(),
        Arc::new(move |_| Ok(resolved.clone())),
    )
    .unwrap();
    let options = Options::new(dir.join("record"), 17, "node-a", "test");
    let recorder = Recorder::open(options, None, clock, outbox.clone()).unwrap();
    let schema = Arc::new(Schema::empty());
    let everything = kfl::compile("true", &schema).unwrap();
    let template = Wish::new(DEFAULT_NAME, everything, "memory");
    let desk = Desk::new(recorder, template, schema, Box::new(|_| {}));
    (desk, outbox, store)
}

fn script(path: &str) -> ScriptId {
    ScriptId {
        index: 0,
        child: 1,
        title: "a".into(),
        path: path.into(),
        role: Role::Worker,
    }
}

fn names(desk: &Desk) -> Vec<String> {
    let status = desk.status();
    status.into_iter().map(|status| status.name).collect()
}

#[test]
fn a_capture_ends_by_itself_and_begins_anew_when_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(dir.path());
    let a = script("/a.js");
    desk.step(MIDNIGHT);
    let asked = json!({"name": "incident", "kfl": "http", "minutes": 2});
    let status = desk.capture(&a, &asked).unwrap();
    assert_eq!(status["kfl"], "http");
    assert_eq!(status["until"], "2024-02-03T00:02:00.000000000Z");
    desk.step(MIDNIGHT + Duration::from_secs(119));
    assert_eq!(names(&desk), ["incident"]);
    desk.capture(&a, &json!({"name": "incident", "seconds": 30}))
        .unwrap();
    desk.step(MIDNIGHT + Duration::from_secs(148));
    assert_eq!(names(&desk), ["incident"]);
    desk.step(MIDNIGHT + Duration::from_secs(149));
    assert!(names(&desk).is_empty());
    assert_eq!(
        Recordings::status(&desk, Some("incident")),
        Ok(Json::Null),
        "it is over"
    );
}

#[test]
fn a_capture_before_the_first_packet_begins_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(dir.path());
    let status = desk.capture(&script("/a.js"), &json!({})).unwrap();
    assert_eq!(
        (&status["name"], &status["kfl"]),
        (&json!("capture"), &json!("true"))
    );
    desk.step(MIDNIGHT);
    desk.step(MIDNIGHT + Duration::from_secs(59));
    assert_eq!(names(&desk), ["capture"]);
    desk.step(MIDNIGHT + Duration::from_secs(60));
    assert!(names(&desk).is_empty());
}

#[test]
fn a_capture_that_cannot_be_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(dir.path());
    let a = script("/a.js");
    desk.set(&a, &json!({"name": "errors", "kfl": "http"}))
        .unwrap();
    let cases = [
        (json!({"name": "errors"}), "a recording errors already"),
        (json!({"name": "No Name"}), "no name for a recording"),
        (json!({"seconds": 0}), "0 is no length"),
        (json!({"seconds": "long"}), "is no length"),
        (json!({"minutes": 1441}), "at most 24 hours"),
        (json!({"seconds": 1, "minutes": 1}), "not both"),
        (json!({"kfl": "http and"}), "invalid, 1:"),
        (json!({"snaplen": 96}), "does not know snaplen"),
    ];
    for (wanted, said) in cases {
        let error = desk.capture(&a, &wanted).unwrap_err();
        assert!(error.contains(said), "{wanted}: {error}");
    }
    assert_eq!(names(&desk), ["errors"]);
}

#[test]
fn captures_of_a_script_that_is_gone_end() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(dir.path());
    desk.step(MIDNIGHT);
    desk.capture(&script("/a.js"), &json!({"name": "a"}))
        .unwrap();
    desk.capture(&script("/b.js"), &json!({"name": "b", "lookBack": false}))
        .unwrap();
    desk.keep_scripts(&|path| path.ends_with("b.js"));
    assert_eq!(names(&desk), ["b"]);
}

#[test]
fn the_configuration_goes_first_and_no_script_crowds_it_out() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(dir.path());
    let greedy = script("/s/greedy.js");
    desk.configure(Some("http")).unwrap();
    let set = |name: &str, kfl: &str| {
        let wanted = json!({"name": name, "kfl": kfl});
        Recordings::set(&desk, &greedy, &wanted).map(drop)
    };
    let refused = set(DEFAULT_NAME, "false").unwrap_err();
    assert!(
        refused.contains("give this recording another name"),
        "{refused}"
    );
    set(DEFAULT_NAME, "http").unwrap();
    let made = (0..100).take_while(|number| set(&format!("r{number}"), "false").is_ok());
    // The one of the same name and query counts too.
    assert_eq!(made.count(), MAX_OF_SCRIPT - 1);
    set("r0", "true").unwrap();
    let window = json!({"name": "w"});
    let refused = desk.capture(&greedy, &window).unwrap_err();
    assert!(refused.contains("at most 16 recordings"), "{refused}");
    let other = script("/s/other.js");
    Recordings::set(&desk, &other, &json!({"name": "mine", "kfl": "dns"})).unwrap();
    assert_eq!(desk.status()[0].kfl, "http");
    let names = names(&desk);
    assert!(names.contains(&DEFAULT_NAME.to_owned()) && names.contains(&"mine".to_owned()));
}

#[test]
fn scripts_have_something_sealed_once_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(dir.path());
    desk.seal(None).unwrap();
    assert!(desk.seal(None).unwrap_err().contains("ask again later"));
}

#[test]
fn a_clock_that_is_set_back_takes_captures_and_schedules_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk(dir.path());
    let clock = Arc::new(SetClock::at(MIDNIGHT));
    desk.clock = clock.clone();
    let step = |at: Timestamp| {
        clock.set(at);
        desk.look();
        desk.step(at);
    };
    let planned = json!({"name": "nightly", "kfl": "http", "schedule": {"start": "21:00", "duration": "10m"}});
    desk.add(&planned).unwrap();
    desk.configure_list(&json!([{"name": "always", "kfl": "dns"}]))
        .unwrap();
    let on = || {
        let mut names = names(&desk);
        names.sort();
        names
    };
    step(MIDNIGHT);
    desk.capture(
        &script("/a.js"),
        &json!({"name": "incident", "seconds": 60}),
    )
    .unwrap();
    step(MIDNIGHT + Duration::from_secs(40));
    assert_eq!(on(), ["always", "incident"]);
    // Three hours back: the capture has twenty seconds left, and it is nine in the evening.
    let back = MIDNIGHT - Duration::from_secs(3 * 3600);
    step(back + Duration::from_secs(40));
    assert_eq!(on(), ["always", "incident", "nightly"]);
    step(back + Duration::from_secs(59));
    assert_eq!(on(), ["always", "incident", "nightly"]);
    let until = Recordings::status(&desk, Some("incident")).unwrap()["until"].clone();
    assert_eq!(until, "2024-02-02T21:01:00.000000000Z");
    step(back + Duration::from_secs(60));
    assert_eq!(on(), ["always", "nightly"]);
    step(back + Duration::from_secs(600));
    assert_eq!(on(), ["always"]);
    // What it did is told until it begins again.
    let nightly = desk.one("nightly");
    assert_eq!(nightly["state"], "waiting");
    assert_eq!(
        (&nightly["streams"], &nightly["openStreams"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(desk.recorder().past().len(), 2);
    step(back + Duration::from_secs(86_400));
    assert_eq!(on(), ["always", "nightly"]);
    assert_eq!(desk.recorder().past().len(), 1);
}

#[test]
fn signs_of_life_are_due_by_the_clock_and_not_by_the_time_of_a_step() {
    let dir = tempfile::tempdir().unwrap();
    let (mut desk, outbox, store) = desk_with_store(dir.path());
    desk.clock = Arc::new(SetClock::at(MIDNIGHT));
    desk.configure(Some("http")).unwrap();
    let desk = Arc::new(desk);
    let mut consumer = DeskConsumer(desk.clone());
    for number in 0..10 {
        // Steps that waited while the clock was set back by a day.
        let batch = Batch {
            number,
            now: MIDNIGHT + Duration::from_secs(86_400),
            ..Batch::default()
        };
        let step = Step {
            batch: Arc::new(batch),
            opened: Vec::new(),
            origin: Arc::default(),
            names: None,
            record: Arc::from(""),
            progress: None,
            wanted: None,
            links: Links::default(),
        };
        consumer.mark(&step, &mut []);
    }
    desk.recorder().settle();
    assert_eq!(outbox.drain(Duration::from_secs(20)).waiting, 0);
    let mut manifests = conformance::keys(&*store, "reels/");
    manifests.retain(|key| key.ends_with(".manifest.json"));
    assert_eq!(manifests.len(), 1, "{manifests:?}");
}
