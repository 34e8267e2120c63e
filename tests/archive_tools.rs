//! Commands over an archive: export, payload search, backtest, comparison.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo.pcap")
}

fn run(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
    command.args(args).env("HOME", home).env("NO_COLOR", "1");
    command.output().unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn exported_streams_give_the_same_items_and_redacted_ones_lose_what_is_named() {
    let home = tempfile::tempdir().unwrap();
    let demo = demo().display().to_string();
    let query = "http and response.status == 500";
    let items = |source: &str| {
        let output = run(
            home.path(),
            &["query", source, "--kfl", "http", "--format", "json"],
        );
        assert!(output.status.success(), "{:?}", said(&output));
        said(&output).0
    };
    let out = home.path().join("errors.pcapng").display().to_string();
    let output = run(home.path(), &["export", &demo, "--kfl", query, "-o", &out]);
    assert!(output.status.success(), "{:?}", said(&output));
    assert!(
        said(&output).1.contains("Reading 1 object,"),
        "{:?}",
        said(&output)
    );
    let exported = items(&out);
    let failed = exported
        .lines()
        .filter(|line| line.contains("\"status\":500"));
    assert_eq!(failed.count(), 8);
    // Streams are exported whole.
    assert_eq!(exported.lines().count(), 40);

    let again = run(home.path(), &["export", &demo, "-o", &out]);
    assert_eq!(again.status.code(), Some(2));
    let covered = home.path().join("covered.pcapng").display().to_string();
    let rule = r#"{"headers":["user-agent"],"query":["currency"]}"#;
    let output = run(
        home.path(),
        &[
            "export", &demo, "--kfl", "http", "--redact", rule, "-o", &covered,
        ],
    );
    assert!(output.status.success(), "{:?}", said(&output));
    let (before, after) = (items(&demo), items(&covered));
    assert_eq!(before.lines().count(), after.lines().count());
    assert!(before.contains("currency=EUR") && !after.contains("currency=EUR"));
    assert!(after.contains("currency=***"));
    let bytes = std::fs::read(&covered).unwrap();
    assert!(memchr::memmem::find(&bytes, b"currency=EUR").is_none());
}

#[test]
fn payloads_are_searched_in_a_time_range_in_order() {
    let home = tempfile::tempdir().unwrap();
    let demo = demo().display().to_string();
    let range = ["--from", "2000-01-01", "--to", "2100-01-01"];
    let search = |more: &[&str]| {
        let args = [&["query", &demo][..], more].concat();
        run(home.path(), &args)
    };
    let output = search(
        &[
            &["--grep", "HTTP/1.1 500"][..],
            &range,
            &["--format", "json"],
        ]
        .concat(),
    );
    assert!(output.status.success(), "{:?}", said(&output));
    let hits: Vec<Json> = said(&output)
        .0
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(hits.len(), 8);
    assert!(hits.is_sorted_by_key(|hit| hit["timestamp"].as_str().unwrap().to_owned()));
    let hex = search(
        &[
            &["--hex", "48 54 54 50 2f 31 2e 31 20 35 30 30"][..],
            &range,
        ]
        .concat(),
    );
    assert_eq!(said(&hex).0.lines().count(), 8);
    let none = search(&[
        "--grep",
        "HTTP/1.1 500",
        "--from",
        "2000-01-01",
        "--to",
        "2001-01-01",
    ]);
    assert_eq!(said(&none).0, "");
    assert_eq!(search(&["--grep", "x"]).status.code(), Some(2));
    let much = search(&[&["--grep", "x"][..], &range, &["--max-read", "1Ki"]].concat());
    assert_eq!(much.status.code(), Some(2));
    assert!(
        said(&much).1.contains("more than --max-read 1Ki"),
        "{:?}",
        said(&much)
    );
}

#[test]
fn what_is_read_whole_is_said_and_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let demo = demo().display().to_string();
    let out = home.path().join("out.pcapng").display().to_string();
    for args in [
        &["tap", "--headless", "--pcap", &demo][..],
        &["export", &demo, "-o", &out],
        &["backtest", &demo, "--kfl", "http"],
        &[
            "diff",
            &demo,
            "--before",
            "2000-01-01..2020-01-01",
            "--after",
            "2020-01-01..2100-01-01",
        ],
    ] {
        let output = run(home.path(), &[args, &["--max-read", "1Ki"]].concat());
        let errors = said(&output).1;
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains("Reading 1 object,"), "{args:?}: {errors}");
        assert!(errors.contains("more than --max-read 1Ki"), "{errors}");
    }
}

#[test]
fn a_backtest_counts_what_a_recording_would_keep() {
    let home = tempfile::tempdir().unwrap();
    let demo = demo().display().to_string();
    let output = run(
        home.path(),
        &[
            "backtest",
            &demo,
            "--kfl",
            "response.status == 500",
            "--kfl",
            "true",
            "--json",
        ],
    );
    assert!(output.status.success(), "{:?}", said(&output));
    let all: Json = serde_json::from_str(&said(&output).0).unwrap();
    assert_eq!(all[0]["items"], 8);
    assert_eq!(all[0]["streams"], 8);
    assert_eq!(all[1]["items"], 320);
    assert_eq!(all[1]["streams"], all[1]["streamsSeen"]);
    assert!(all[0]["bytes"].as_u64() < all[1]["bytes"].as_u64());
    let bad = run(home.path(), &["backtest", &demo, "--kfl", "http and"]);
    assert_eq!(bad.status.code(), Some(2));
}

#[test]
fn a_comparison_names_what_appeared() {
    let home = tempfile::tempdir().unwrap();
    let demo = demo().display().to_string();
    let compare = |format: &str| {
        let ranges = ["--before", "..2000-01-01", "--after", "2000-01-01.."];
        let args = [&["diff", &demo][..], &ranges, &["--format", format]].concat();
        let output = run(home.path(), &args);
        assert!(output.status.success(), "{:?}", said(&output));
        said(&output).0
    };
    let diff: Json = serde_json::from_str(&compare("json")).unwrap();
    assert_eq!(diff["items"], serde_json::json!([0, 320]));
    let endpoints = diff["endpoints"]["appeared"].as_object().unwrap();
    assert!(
        endpoints
            .keys()
            .any(|name| name.ends_with("GET /items/{id}")),
        "{endpoints:?}"
    );
    assert!(
        diff["dns"]["appeared"].get("cart.shop.example").is_some(),
        "{diff}"
    );
    assert!(compare("text").contains("DNS names that appeared"));
    assert!(compare("html").starts_with("<!doctype html>"));
}
