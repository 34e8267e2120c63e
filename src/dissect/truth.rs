//! The sample captures, for the tests of all protocols: items of one, and of each against its truth.
//!
//! In come the name of a protocol and its counts; out come assertions over every capture that
//! `truth.json` lists. Where the folder of captures is absent, they are skipped, and say so.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use super::conversation::tests::{dissect_capture, dissect_savefile};
use super::{Draft, Protocols};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures");

/// A capture in which we count otherwise than `truth.json`: its name, what differs, and the reason.
pub type Difference<D> = (&'static str, D, &'static str);

/// Items of one protocol in a sample capture; `None` when the capture is not there.
pub fn items(protocol: &str, name: &str) -> Option<Vec<Draft>> {
    dissect_capture(name, &Protocols::all()).map(|drafts| only(protocol, drafts))
}

/// The items of one protocol among others.
pub fn only(protocol: &str, mut drafts: Vec<Draft>) -> Vec<Draft> {
    drafts.retain(|draft| draft.kind.name == protocol);
    drafts
}

/// Gives each sample capture's name, what `truth.json` says of it, and its items of all protocols.
///
/// False when the captures are not there.
pub fn walk(mut each: impl FnMut(&str, &serde_json::Value, Vec<Draft>)) -> bool {
    let folder = Path::new(FOLDER);
    let Ok(truth) = std::fs::read_to_string(folder.join("truth.json")) else {
        println!("skipped: no sample captures in {FOLDER}");
        return false;
    };
    let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
    for (name, facts) in truth["files"].as_object().unwrap() {
        let drafts = dissect_savefile(&folder.join(name), 0, &Protocols::all());
        each(name, facts, drafts);
    }
    true
}

/// Asserts that items of a protocol in each sample capture count as is expected of it.
///
/// `expected` gets the name of the capture and what `truth.json` says of it.
pub fn assert_counts<T: PartialEq + Debug>(
    protocol: &str,
    count: impl Fn(&[Draft]) -> T,
    expected: impl Fn(&str, &serde_json::Value) -> T,
) {
    assert_counts_but::<T, ()>(protocol, count, expected, &[], |_, ()| unreachable!());
}

/// The same with known differences, which `differ` puts into what was expected.
///
/// A difference that changes nothing is asserted to be none.
pub fn assert_counts_but<T: PartialEq + Debug, D>(
    protocol: &str,
    count: impl Fn(&[Draft]) -> T,
    expected: impl Fn(&str, &serde_json::Value) -> T,
    differences: &[Difference<D>],
    differ: impl Fn(&mut T, &D),
) {
    let mut wrong = BTreeMap::new();
    walk(|name, facts, drafts| {
        let mut wanted = expected(name, facts);
        if let Some((_, difference, _)) = differences.iter().find(|(path, ..)| *path == name) {
            differ(&mut wanted, difference);
            assert_ne!(expected(name, facts), wanted, "{name} no longer differs");
        }
        let ours = count(&only(protocol, drafts));
        if ours != wanted {
            wrong.insert(name.to_owned(), (ours, wanted));
        }
    });
    assert!(wrong.is_empty(), "ours, expected: {wrong:#?}");
}
