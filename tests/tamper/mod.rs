//! Archives that somebody tampered with: each way is found by `tapedeck verify`, by the object's
//! name. What a chain alone cannot show is shown to pass without, and to be found with, an anchor,
//! a signature or the names of nodes.
//!
//! Every case records an archive of its own: two nodes, the first with two runs over two days. The
//! table of what was found is printed (`cargo test tamper -- --show-output`).

mod archive;
mod ways;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;
use tapedeck::investigate::verify::{self, Options, What};

use crate::seaweed::Seaweed;
use archive::{Archive, How, Place, public, public_pem};
use ways::{Way, With, ways, ways_of_buckets};

/// Records, looks, tampers, looks again; answers the line of the table.
fn try_way(way: &Way, place: Place) -> String {
    let where_ = match place {
        Place::Folder(_) => "folder",
        Place::Bucket(..) => "bucket",
    };
    let archive = Archive::record(place, &way.how);
    let keyed = way.how.signed.then(|| public(0));
    let clean = archive.look(|options| {
        options.deep = true;
        options.keys = keyed.clone().into_iter().collect();
        options.expect_nodes = vec!["node-a".into(), "node-b".into()];
    });
    assert_eq!(clean.findings, [], "{} in a {where_}", way.name);
    assert!(clean.counts.read == clean.counts.reels && clean.counts.reels > 0);
    let anchor = clean.anchor();
    let wanted = (way.tamper)(&archive);
    let look = |with| {
        archive.look(|options| match with {
            With::Nothing => {}
            With::Deep => options.deep = true,
            With::Anchor => options.anchor = Some(anchor.clone()),
            With::Nodes => options.expect_nodes = vec!["node-a".into(), "node-b".into()],
            With::Key => options.keys = vec![public(0)],
        })
    };
    // In a bucket a version that was replaced is missed before any byte is read.
    let in_versions = where_ == "bucket" && way.what == What::Changed;
    for with in way.unseen.iter().filter(|_| !in_versions) {
        let report = look(*with);
        assert_eq!(report.findings, [], "{} was seen with {with:?}", way.name);
    }
    let report = look(way.seen);
    let found = report.findings.iter().find(|finding| {
        let what = finding.what == way.what || (in_versions && finding.what == What::Missing);
        what && (finding.key == wanted || finding.sentence.contains(&wanted))
    });
    let found = found.unwrap_or_else(|| {
        panic!(
            "{} in a {where_}: {:?} of {wanted} is not in {:#?}",
            way.name, way.what, report.findings
        )
    });
    assert!(found.sentence.contains(&found.key), "{found:?}");
    let seen = match way.unseen {
        [] => "always".to_owned(),
        _ if in_versions => "always".to_owned(),
        _ => format!("with {:?}", way.seen).to_lowercase(),
    };
    format!(
        "{:44} {where_} {seen:12} {:12} {}",
        way.name,
        found.what.title(),
        found.sentence
    )
}

#[test]
fn every_way_to_tamper_with_a_folder_is_found() {
    for way in ways() {
        println!("{}", try_way(&way, Place::folder()));
    }
}

#[test]
fn every_way_to_tamper_with_a_lock_bucket_is_found() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    for mut way in ways().into_iter().chain(ways_of_buckets()) {
        way.how.lock = true;
        println!("{}", try_way(&way, Place::bucket(server)));
    }
}

/// The program: exit codes, JSON, anchor, key, and that much is not read unasked.
#[test]
fn the_command_says_what_it_found_by_its_exit_code() {
    let how = How {
        signed: true,
        ..How::default()
    };
    let archive = Archive::record(Place::folder(), &how);
    let Place::Folder(folder) = &archive.place else {
        unreachable!()
    };
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tapedeck = |args: &[&str]| -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .env_clear()
            .env("HOME", home.path())
            .arg("verify")
            .arg(folder.path())
            .args(args)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let public = file("public.pem", &public_pem(0));
    let public = public.to_str().unwrap();
    let (code, said, _) = tapedeck(&[]);
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "not immutable",
        "--public-key",
        "--print-head",
        "as it was sealed",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, heads, told) = tapedeck(&["--print-head"]);
    assert_eq!(code, Some(0));
    assert!(told.contains("node-b"), "{told}");
    let heads = file("heads.json", &heads);
    let heads = heads.to_str().unwrap();
    let all = [
        "--head",
        heads,
        "--public-key",
        public,
        "--deep",
        "--format",
        "json",
    ];
    let (code, said, told) = tapedeck(&all);
    assert_eq!(code, Some(0), "{told}");
    let report: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(report["findings"], Json::Array(Vec::new()));
    assert_eq!(report["blindSpots"], Json::Array(Vec::new()));
    assert_eq!(report["counts"]["read"], report["counts"]["reels"]);
    assert!(told.starts_with("Reading "), "{told}");
    let (code, _, told) = tapedeck(&["--deep", "--max-read", "1"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("--yes"), "{told}");
    let (code, _, _) = tapedeck(&["--deep", "--max-read", "1", "--yes"]);
    assert_eq!(code, Some(0));
    let (code, _, told) = tapedeck(&["--public-key", heads]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("openssl"), "{told}");
    // Only the second day, whose first manifest follows one of the first.
    let (code, said, _) = tapedeck(&["--since", "12h", "--format", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let recent: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(recent["counts"]["reels"], 3);
    let (key, _) = archive.reel(-1);
    archive.place.remove(key);
    let (code, said, _) = tapedeck(&["--expect-nodes", "node-a,node-c"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("MISSING: {key}")), "{said}");
    assert!(
        said.contains("SILENT: the node node-c is missing"),
        "{said}"
    );
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .env_clear()
        .env("HOME", home.path())
        .arg("verify")
        .arg(empty.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_look_that_is_stopped_ends_and_tells_what_it_compared() {
    let archive = Archive::record(Place::folder(), &How::default());
    let store = archive.place.store();
    let options = Options {
        deep: true,
        now: archive.now,
        ..Options::default()
    };
    let stopped = verify::check(&*store, &options, &|| false).unwrap_err();
    assert!(stopped.to_string().contains("stopped"), "{stopped}");
    let report = verify::check(&*store, &options, &|| true).unwrap();
    // Every reader ends with the first bytes it tells of.
    let (compared, findings) = verify::read_parts(&*store, &report.parts, &|_| false);
    assert_eq!((compared, findings.len()), (0, 0));
    let all = report.parts.len() as u64;
    let (compared, _) = verify::read_parts(&*store, &report.parts, &|_| true);
    assert_eq!(compared, all);
}
