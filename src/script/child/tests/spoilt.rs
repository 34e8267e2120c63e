//! Errors after which the engine cannot go on.

use super::Rig;
use crate::script::wire::{ToChild, ToParent, send_to_child};

#[test]
fn an_error_of_the_engine_is_the_last() {
    for (code, what, place) in [
        (
            "function onItemCaptured() {\n  for (;;) {}\n}",
            "iteration",
            "",
        ),
        (
            "function again() { return 1 + again() }\nfunction onItemCaptured() { again() }",
            "recursi",
            "mine.js:1:",
        ),
    ] {
        let mut rig = Rig::new(code);
        send_to_child(&rig.line, &ToChild::Items(Rig::batch(3))).unwrap();
        let ToParent::Spoilt { message: said } = rig.until_done() else {
            panic!("{code} goes on")
        };
        assert!(said.contains(what) && said.contains(place), "{said}");
        assert_eq!(rig.lines, [""; 0], "the parent tells it");
    }
    let rig = Rig::new("for (;;) {}");
    let (message, ..) = rig.failed.as_ref().expect("it cannot be loaded");
    assert!(message.contains("iteration"), "{message}");
}
