//! Recordings that scripts ask for, on a recorder without a spool.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::scripts::MAX_OF_SCRIPT;
use super::*;
use crate::kfl::Schema;
use crate::pipeline::host::Recordings;
use crate::record::{Options, Outbox, outbox};
use crate::script::host::ScriptId;
use crate::script::wire::Role;
use crate::store::memory::MemoryStore;
use crate::time::SetClock;

const MIDNIGHT: Timestamp = Timestamp::from_secs(1_706_918_400, 0);

fn desk(dir: &Path) -> Desk {
    let clock = Arc::new(SetClock::at(MIDNIGHT));
    let store = Arc::new(MemoryStore::new());
    let outbox = Outbox::start(
        outbox::Options::new(dir.join("outbox"), 1 << 20),
        clock.clone(),
        Arc::new(move |_| Ok(store.clone())),
    )
    .unwrap();
    let options = Options::new(dir.join("record"), 17, "node-a", "test");
    let recorder = Recorder::open(options, None, clock, outbox).unwrap();
    let schema = Arc::new(Schema::empty());
    let everything = kfl::compile("true", &schema).unwrap();
    let template = Wish::new(DEFAULT_NAME, everything, "memory");
    Desk::new(recorder, template, schema, Box::new(|_| {}))
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
