//! What reaches a receiver, by every way there is: filters of the operator, redaction and steering of
//! queries, and what scripts make of items (`onItemQueried`).
//!
//! Over a capture of real clients and servers; the built program is asked as people and pages ask it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::captures::samples;
use crate::commands::{Place, Said};
use crate::dashboard::{Tap, send};
use crate::dashboard_feed::Full;

/// Items of the capture, all of one stream.
const ITEMS: usize = 26;

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn capture() -> Option<PathBuf> {
    Some(samples()?.join("http1/own-http1-mixed.pcap"))
}

/// Runs a command with a home of its own.
fn run(arguments: &[&str]) -> Said {
    Place::new().run(arguments)
}

fn query(source: &Path, more: &[&str]) -> Said {
    let mut arguments = vec!["query", source.to_str().unwrap()];
    arguments.extend(more);
    run(&arguments)
}

/// What nobody is to see: the cookies of the requests and their paths.
struct Secrets {
    cookies: BTreeSet<String>,
    paths: BTreeSet<String>,
}

impl Secrets {
    fn of(source: &Path) -> Secrets {
        let said = query(source, &["--format", "json"]);
        let items: Vec<Json> = said
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(items.len(), ITEMS, "{}", said.err);
        let texts = |pointer: &str| -> BTreeSet<String> {
            let found = items
                .iter()
                .filter_map(|item| item.pointer(pointer)?.as_str());
            found.map(str::to_owned).collect()
        };
        let secrets = Secrets {
            cookies: texts("/request/headers/Cookie"),
            // Other paths stand in answers too.
            paths: texts("/request/path")
                .into_iter()
                .filter(|path| path.starts_with("/api/items"))
                .collect(),
        };
        assert!(!secrets.cookies.is_empty() && secrets.paths.len() > 5);
        secrets
    }

    fn are_not_in(&self, what: &str, text: &str) {
        for secret in self.cookies.iter().chain(&self.paths) {
            assert!(!text.contains(secret.as_str()), "{what} shows {secret}");
        }
    }
}

/// Hides cookies and paths wherever an item has them.
const HIDE: &str = r#"redact("..Cookie") and redact("..cookies") and redact("request.path") and redact("request.url") and redact("request.targetUri") and redact("request.pathSegments")"#;

#[test]
fn a_query_prints_redacted_copies_in_every_format() {
    let Some(source) = capture() else { return };
    let secrets = Secrets::of(&source);
    let kfl = format!("http and {HIDE}");
    for format in ["json", "table", "csv"] {
        let said = query(&source, &["--kfl", &kfl, "--format", format]);
        secrets.are_not_in(format, &said.out);
        let lines = said.out.lines().count() - usize::from(format == "csv");
        assert_eq!(lines, ITEMS, "{format}: {}", said.err);
        assert!(said.out.contains("[REDACTED]"), "{format}");
        assert!(said.out.contains("GET"), "{format}");
    }
    // Sums see what is delivered, too.
    let counted = [
        "--kfl",
        &kfl,
        "--count-by",
        "request.path",
        "--format",
        "json",
    ];
    let group: Json = serde_json::from_str(&query(&source, &counted).out).unwrap();
    assert_eq!(group, json!({"request.path": "[REDACTED]", "count": ITEMS}));
    // Without a redaction nothing is another line than before.
    let plain = query(&source, &["--kfl", "http", "--format", "json"]);
    assert_eq!(plain.out, query(&source, &["--format", "json"]).out);
}

#[test]
fn statements_of_a_query_end_what_is_printed() {
    let Some(source) = capture() else { return };
    let printed = |more: &[&str]| -> Vec<i64> {
        let mut arguments = vec!["--format", "json"];
        arguments.extend(more);
        let said = query(&source, &arguments);
        let items = said.out.lines().map(|line| {
            let item: Json = serde_json::from_str(line).unwrap();
            item["index"].as_i64().unwrap()
        });
        items.collect()
    };
    assert_eq!(printed(&["--kfl", "http and limit(2)"]), [0, 1]);
    assert_eq!(
        printed(&["--kfl", "http and limit(2)", "--limit", "1"]),
        [0]
    );
    assert_eq!(printed(&["--kfl", "http and rlimit(3)"]), [23, 24, 25]);
    assert_eq!(
        printed(&["--kfl", "http and rlimit(3) and limit(2)"]),
        [23, 24]
    );
    assert_eq!(printed(&["--kfl", "http and limit(0)"]).len(), ITEMS);
    let refused = query(&source, &["--kfl", "leftOff(latest)"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("leftOff()"), "{}", refused.err);
}

#[test]
fn what_the_operator_imposes_holds_for_every_command() {
    let Some(source) = capture() else { return };
    let secrets = Secrets::of(&source);
    let only = |filter: &str, more: &[&str]| {
        let filter = format!("tap.globalFilter={filter}");
        let mut arguments = vec!["--set", &filter];
        arguments.extend(more);
        query(&source, &arguments)
    };
    assert_eq!(only("dns", &["--format", "json"]).out, "");
    assert_eq!(
        only("request.method == \"POST\"", &["--format", "json"])
            .out
            .lines()
            .count(),
        4
    );
    // Of another dialect than the query.
    let both = only(
        "http && status_code >= 400",
        &["--kfl", "request.method == \"GET\"", "--format", "csv"],
    );
    assert!(
        (2..ITEMS).contains(&both.out.lines().count()),
        "{}",
        both.out
    );

    let hide = format!("http and {HIDE}");
    for more in [
        &["--format", "json"][..],
        &["--format", "csv"],
        &["--kfl", "http"],
        &["--count-by", "request.path,request.headers.Cookie"],
    ] {
        let said = only(&hide, more);
        secrets.are_not_in(&format!("{more:?}"), &said.out);
    }
    // Nobody finds out by asking.
    let path = secrets.paths.iter().next().unwrap();
    for guess in [
        format!("request.path == \"{path}\""),
        "request.path != \"[REDACTED]\"".to_owned(),
    ] {
        assert_eq!(only(&hide, &["--kfl", &guess]).out, "", "{guess}");
    }
    // What shows bytes shows none.
    let times = [
        "--from",
        "2000-01-01T00:00:00Z",
        "--to",
        "2100-01-01T00:00:00Z",
    ];
    for more in [&["--grep", "Cookie"][..], &["--hex", "436f6f6b6965"]] {
        let said = only("http", &[more, &times].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{more:?}");
        assert!(said.err.contains("tap.globalFilter"), "{}", said.err);
    }
    let source_text = source.to_str().unwrap();
    for kfl in ["http", hide.as_str()] {
        let filter = format!("tap.globalFilter={kfl}");
        let said = run(&["export", source_text, "-o", "out.pcapng", "--set", &filter]);
        assert_eq!(said.code == Some(0), kfl == "http", "{kfl}: {}", said.err);
    }
    let said = run(&["export", source_text, "-o", "out.pcapng", "--kfl", &hide]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("--redact"), "{}", said.err);
    let broken = only("http and", &[]);
    assert_eq!(broken.code, Some(2));
    assert!(
        broken.err.contains("tap.globalFilter is invalid"),
        "{}",
        broken.err
    );
    let tap = ["tap", "--headless", "--pcap", source_text];
    let said = run(&[&tap[..], &["--set", "tap.globalFilter=http and"]].concat());
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("tap.globalFilter is invalid"),
        "{}",
        said.err
    );
}

/// How the dashboard looks at the capture.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Packets,
    Index,
}

/// The dashboard over the capture.
struct Open {
    tap: Tap,
}

impl Open {
    fn new(source: &Path, home: &Path, by: By, keys: &[&str]) -> Open {
        let mut flags: Vec<&str> = keys.iter().flat_map(|key| ["--set", key]).collect();
        if by == By::Packets {
            flags.push("--dissect");
        }
        let open = Open {
            tap: Tap::at(source, home, 0, &flags),
        };
        let begun = Instant::now();
        while by == By::Index && !open.get("/status")["archive"].is_object() {
            assert!(begun.elapsed() < PATIENCE, "no index was made");
            std::thread::sleep(Duration::from_millis(100));
        }
        open
    }

    /// What a route answers: status and text.
    fn text(&self, line: &str) -> (u16, String) {
        let (status, bytes) = send(self.tap.address, &self.tap.token, line, &json!({}));
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    fn get(&self, path: &str) -> Json {
        let (status, text) = self.text(&format!("GET /api/v1{path}"));
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The rows, as soon as all are there.
    fn rows(&self) -> Vec<Json> {
        let begun = Instant::now();
        loop {
            let rows = self.get("/items?limit=1000");
            let rows = rows["rows"].as_array().unwrap();
            if rows.len() == ITEMS {
                return rows.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "{} rows", rows.len());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A parameter of a query.
fn escaped(kfl: &str) -> String {
    let bytes = kfl.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    bytes.collect()
}

#[test]
fn what_the_operator_imposes_holds_for_every_route() {
    let Some(source) = capture() else { return };
    let secrets = Secrets::of(&source);
    let home = tempfile::tempdir().unwrap();
    let filter = format!("tap.globalFilter=http and {HIDE}");
    for by in [By::Packets, By::Index] {
        let open = Open::new(
            &source,
            home.path(),
            by,
            &[&filter, "tap.dashboard.replay=true"],
        );
        let rows = open.rows();
        let number = rows[0]["n"].to_string();
        let (stream, id) = (
            rows[0]["stream"].as_str().unwrap(),
            rows[0]["id"].as_str().unwrap(),
        );
        assert!(rows.iter().all(|row| row["summary"] == "[REDACTED]"));
        for path in [
            "/items?limit=1000".to_owned(),
            format!("/item/{number}"),
            format!("/item/{id}"),
            "/search?limit=1000".to_owned(),
            "/groups?by=endpoint".to_owned(),
            "/timeline".to_owned(),
            "/map".to_owned(),
            "/flows".to_owned(),
        ] {
            let (status, text) = open.text(&format!("GET /api/v1{path}"));
            assert_eq!(status, 200, "{by:?} {path}: {text}");
            secrets.are_not_in(&format!("{by:?} {path}"), &text);
        }
        // Nobody finds out by asking, and nobody gets an item that a query does not show.
        let path = secrets.paths.iter().next().unwrap();
        let guess = escaped(&format!("request.path == \"{path}\""));
        assert_eq!(open.get(&format!("/items?q={guess}"))["rows"], json!([]));
        let (status, _) = open.text(&format!("GET /api/v1/item/{number}?q={guess}"));
        assert_eq!(status, 404);
        // Packets hold what is hidden.
        for line in [
            format!("GET /api/v1/packets/{stream}?n={number}"),
            format!("GET /api/v1/pcaps/download/{stream}?n={number}"),
            format!("GET /api/v1/pcaps/download/127.0.0.1:8897/{stream}?n={number}"),
            "GET /api/v1/pcaps/matching?q=http".to_owned(),
            "POST /api/v1/pcaps/merge".to_owned(),
            "GET /api/v1/pcapdump".to_owned(),
            format!("GET /api/v1/replay/{number}"),
            format!("POST /api/v1/pcaps/replay/127.0.0.1:8897/{stream}?n={number}"),
        ] {
            let (status, text) = open.text(&line);
            assert!([403, 404].contains(&status), "{by:?} {line}: {status}");
            assert!(text.contains("tap.globalFilter"), "{by:?} {line}: {text}");
            secrets.are_not_in(&line, &text);
        }
    }
}

#[test]
fn a_filter_that_only_chooses_lets_packets_of_what_it_shows_leave() {
    let Some(source) = capture() else { return };
    let home = tempfile::tempdir().unwrap();
    for (filter, shown) in [("http", true), ("dns", false)] {
        for by in [By::Packets, By::Index] {
            let key = format!("tap.globalFilter={filter}");
            let open = Open::new(&source, home.path(), by, &[&key]);
            let number = match shown {
                true => open.rows()[0]["n"].to_string(),
                false => "0".to_owned(),
            };
            let stream = "000000000000.pcap";
            let (status, text) = open.text(&format!("GET /api/v1/packets/{stream}?n={number}"));
            assert_eq!(status == 200, shown, "{by:?} {filter}: {text}");
            let (status, _) = open.text("GET /api/v1/pcaps/matching?q=");
            assert_eq!(status == 200, shown, "{by:?} {filter}");
            assert_eq!(open.text("GET /api/v1/pcapdump").0, 403);
        }
    }
}

#[test]
fn a_query_of_ones_own_redacts_and_steers_what_the_routes_answer() {
    let Some(source) = capture() else { return };
    let secrets = Secrets::of(&source);
    let home = tempfile::tempdir().unwrap();
    let hide = escaped(&format!("http and {HIDE}"));
    for by in [By::Packets, By::Index] {
        let open = Open::new(&source, home.path(), by, &[]);
        let rows = open.rows();
        let number = rows[0]["n"].to_string();
        let id = rows[0]["id"].as_str().unwrap();
        for path in [
            format!("/items?limit=1000&q={hide}"),
            format!("/item/{number}?q={hide}"),
            format!("/item/{id}?q={hide}"),
            format!("/search?limit=1000&q={hide}"),
            format!("/groups?by=endpoint&q={hide}"),
        ] {
            let text = open.get(&path).to_string();
            secrets.are_not_in(&format!("{by:?} {path}"), &text);
            assert!(text.contains("[REDACTED]"), "{by:?} {path}: {text}");
        }
        let (status, text) = open.text(&format!("GET /api/v1/pcaps/matching?q={hide}"));
        assert_eq!(status, 400);
        assert!(text.contains("redact()"), "{text}");

        let ids = |kfl: &str| -> Vec<String> {
            let page = open.get(&format!("/items?limit=1000&q={}", escaped(kfl)));
            assert_eq!(page["next"], Json::Null, "{by:?} {kfl}");
            let rows = page["rows"].as_array().unwrap().iter();
            rows.map(|row| row["id"].as_str().unwrap().to_owned())
                .collect()
        };
        let all: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids("http and limit(2)"), all[..2], "{by:?}");
        assert_eq!(ids("http and rlimit(3)"), all[..3], "{by:?}");
        let resumed = format!("http and leftOff(\"{}\")", all[4]);
        assert_eq!(ids(&resumed), all[..4], "{by:?}");
        assert_eq!(ids("leftOff(\"nobody\")").len(), ITEMS, "{by:?}");
        assert_eq!(ids("leftOff(latest)"), [""; 0], "{by:?}");
        let found = open.get(&format!("/search?q={}", escaped("http and limit(2)")));
        assert_eq!(found["rows"].as_array().unwrap().len(), 2, "{by:?}");
        assert_eq!(found["next"], Json::Null, "{by:?}");
    }
}

#[test]
fn connections_are_told_of_the_items_that_are_shown_and_searches_of_one_place() {
    let Some(source) = capture() else { return };
    let home = tempfile::tempdir().unwrap();
    for by in [By::Packets, By::Index] {
        let open = Open::new(&source, home.path(), by, &[]);
        let rows = open.rows();
        let of = |path: &str, kfl: &str| open.get(&format!("{path}q={}", escaped(kfl)));
        let items = |page: &Json| -> u64 {
            let connections = page["connections"].as_array().unwrap().iter();
            connections.map(|one| one["items"].as_u64().unwrap()).sum()
        };
        let whole = of("/flows?", "http");
        assert_eq!(whole["connections"].as_array().unwrap().len(), 1, "{by:?}");
        let one = &whole["connections"][0];
        assert_eq!(items(&whole), ITEMS as u64, "{by:?}");
        for name in ["stream", "worker", "src", "dst"] {
            assert_eq!(one[name], rows[0][name], "{by:?} {name}");
        }
        let bytes = |name: &str| one[name].as_u64().unwrap();
        let sizes = rows.iter().map(|row| row["size"].as_u64().unwrap());
        assert_eq!(
            bytes("requestBytes") + bytes("responseBytes"),
            sizes.sum::<u64>()
        );
        // Pages have each item once.
        let (mut before, mut seen) = (String::new(), 0);
        loop {
            let page = of(&format!("/flows?limit=10{before}&"), "http");
            seen += items(&page);
            match page["next"].as_u64() {
                Some(next) => before = format!("&before={next}"),
                None => break,
            }
        }
        assert_eq!(seen, ITEMS as u64, "{by:?}");
        let limited = of("/flows?", "http and limit(3)");
        assert_eq!(
            (items(&limited), &limited["next"]),
            (3, &Json::Null),
            "{by:?}"
        );
        let hidden = of("/flows?", "http and redact(\"src.ip\")");
        assert_eq!(
            hidden["connections"][0]["src"]["ip"], "[REDACTED]",
            "{by:?}"
        );
        assert_eq!(of("/items?", "http and limit(3)")["limit"], 3, "{by:?}");

        let found = |place: &str| {
            let page = of(&format!("/search?limit=1000&place={place}&"), "http");
            page["rows"].as_array().unwrap().len()
        };
        let by_place = (found(""), found("live"), found("spool"));
        assert_eq!(by_place, (ITEMS, ITEMS, 0), "{by:?}");
        let (status, text) = open.text("GET /api/v1/search?place=s3://elsewhere/");
        assert_eq!(status, 400);
        assert!(text.contains("/archive/stores"), "{text}");
    }
}

#[test]
fn whole_items_are_redacted_counted_and_resumed_on_the_socket_of_older_clients() {
    let Some(source) = capture() else { return };
    let secrets = Secrets::of(&source);
    let home = tempfile::tempdir().unwrap();
    let open = Open::new(&source, home.path(), By::Packets, &[]);
    let rows = open.rows();
    let index = |item: &Json| item["index"].as_i64().unwrap();
    let ask = |kfl: &str| -> Vec<Json> {
        let mut full = Full::open(open.tap.address, &open.tap.token);
        full.ask(kfl);
        std::iter::from_fn(|| full.message()).collect()
    };
    let last = ask("rlimit(3) and limit(2) and http");
    assert_eq!(last.iter().map(index).collect::<Vec<_>>(), [23, 24]);
    let resumed = ask(&format!(
        "leftOff(\"{}\") and limit(4) and http",
        rows[5]["id"].as_str().unwrap()
    ));
    let expected: Vec<i64> = (index(&rows[5]) + 1..).take(4).collect();
    assert_eq!(resumed.iter().map(index).collect::<Vec<_>>(), expected);
    let hidden = ask(&format!(
        "leftOff(\"nobody\") and limit({ITEMS}) and {HIDE}"
    ));
    assert_eq!(hidden.len(), ITEMS);
    let text = json!(hidden).to_string();
    secrets.are_not_in("wsFull", &text);
    assert!(text.contains("[REDACTED]"));
}

#[test]
fn the_shipped_script_redacts_what_a_dashboard_over_a_capture_shows() {
    let Some(source) = capture() else { return };
    let secrets = Secrets::of(&source);
    let home = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/redact.js");
    let key = format!("scripting.source={}", script.display());
    let shows = |what: &str, text: &str| {
        for cookie in &secrets.cookies {
            assert!(!text.contains(cookie.as_str()), "{what} shows {cookie}");
        }
    };
    for by in [By::Packets, By::Index] {
        let open = Open::new(&source, home.path(), by, &[&key]);
        assert_eq!(open.get("/scripts")[0]["title"], "Redact", "{by:?}");
        let rows = open.rows();
        let with_cookie = rows.last().unwrap();
        let (number, id) = (&with_cookie["n"], with_cookie["id"].as_str().unwrap());
        for path in [format!("/item/{number}"), format!("/item/{id}?q=http")] {
            let begun = Instant::now();
            // An item about which the script has not answered is withheld, not shown.
            let item = loop {
                let found = open.get(&path);
                shows(&path, &found.to_string());
                if found["item"]["error"]["type"] != "script" {
                    break found["item"].clone();
                }
                assert!(begun.elapsed() < PATIENCE, "the script never answered");
            };
            assert_eq!(item["request"]["headers"]["Cookie"], "[redacted]", "{path}");
            assert_eq!(item["request"]["cookies"], json!({}), "{path}");
            assert_eq!(item["passed"], true, "{path}");
            assert_eq!(item["id"], id, "{path}");
        }
        for path in ["/items?limit=1000", "/search?limit=1000"] {
            shows(path, &open.get(path).to_string());
        }
        if by == By::Packets {
            let mut full = Full::open(open.tap.address, &open.tap.token);
            full.ask(&format!("leftOff(\"nobody\") and limit({ITEMS})"));
            let items: Vec<Json> = std::iter::from_fn(|| full.message()).collect();
            assert_eq!(items.len(), ITEMS);
            shows("wsFull", &json!(items).to_string());
        }
    }
}

#[test]
fn what_a_script_returns_is_what_a_row_shows() {
    let Some(source) = capture() else { return };
    let home = tempfile::tempdir().unwrap();
    let code = "function onItemQueried(data) {\n\
                  data.request.url = '/shown';\n  data.request.method = 'ASK';\n  data.response.status = 299;\n\
                  return data;\n}\n";
    let script = home.path().join("other.js");
    std::fs::write(&script, code).unwrap();
    let quiet = home.path().join("quiet.js");
    std::fs::write(
        &quiet,
        "function onItemCaptured(data) { console.log('told') }",
    )
    .unwrap();
    let key = format!("scripting.source={}", home.path().display());
    let open = Open::new(&source, home.path(), By::Packets, &[&key]);
    // Scripts without the hook have nothing to say here.
    let scripts = open.get("/scripts");
    assert_eq!(scripts.as_array().unwrap().len(), 1, "{scripts}");
    let said = &open.tap.said;
    assert!(said.contains("1 scripts without onItemQueried"), "{said}");
    let begun = Instant::now();
    loop {
        let rows = open.rows();
        let altered = |row: &&Json| {
            row["summary"] == "/shown" && row["method"] == "ASK" && row["status"] == "299"
        };
        if rows.iter().filter(altered).count() == ITEMS {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{rows:#?}");
    }
}
