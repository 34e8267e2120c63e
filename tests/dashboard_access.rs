//! Who may do what on the dashboard, and what the audit log says of it.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::dashboard::{Tap, printed_url, shop};

const VIEW: &str = "view-0123456789abcdef";
const INVESTIGATE: &str = "investigate-0123456789abcdef";
const OPERATE: &str = "operate-0123456789abcdef";

fn tokens() -> String {
    let tokens = serde_json::json!({"view": VIEW, "investigate": INVESTIGATE, "operate": OPERATE});
    format!("tap.dashboard.tokens={tokens}")
}

fn status(tap: &Tap, line: &str, token: &str) -> u16 {
    let headers = format!(
        "{}Authorization: Bearer {token}\r\nContent-Length: 0\r\n",
        tap.host()
    );
    tap.ask(line, &headers).0
}

fn json(tap: &Tap, line: &str, token: &str) -> Json {
    let headers = format!("{}Authorization: Bearer {token}\r\n", tap.host());
    let (status, answer) = tap.ask(line, &headers);
    assert_eq!(status, 200, "{line}: {answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The file is read in the background.
fn wait_for_items(tap: &Tap) {
    for _ in 0..400 {
        let page = json(tap, "GET /api/v1/items", &tap.token);
        if page["rows"].as_array().unwrap().len() == 3 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the items did not come");
}

#[test]
fn a_role_allows_what_it_contains_and_the_log_tells() {
    let tap = Tap::open_with(&shop(), 0, &[&tokens()]);
    wait_for_items(&tap);
    let stream = json(&tap, "GET /api/v1/items", VIEW)["rows"][0]["stream"]
        .as_str()
        .unwrap()
        .to_owned();
    let download = format!("GET /api/v1/pcaps/download/{stream}");
    let packets = format!("GET /api/packets/{stream}");
    let cases = [
        ("GET /api/v1/status", [200, 200, 200]),
        ("GET /api/v1/timeline", [200, 200, 200]),
        ("GET /api/v1/item/0", [403, 200, 200]),
        ("GET /api/item/0", [403, 200, 200]),
        (&packets, [403, 200, 200]),
        ("GET /api/v1/console", [403, 200, 200]),
        ("POST /api/v1/recordings/seal?name=none", [403, 403, 200]),
        ("POST /api/v1/jobs/run?tag=none", [403, 403, 404]),
        ("GET /api/v1/audit", [403, 403, 200]),
    ];
    for (line, wanted) in cases {
        let got = [VIEW, INVESTIGATE, OPERATE].map(|token| status(&tap, line, token));
        assert_eq!(got, wanted, "{line}");
    }
    // A savefile is no text, so its answer is only counted.
    assert_eq!(status(&tap, &download, VIEW), 403);
    let session = json(&tap, "GET /api/v1/session", INVESTIGATE);
    assert_eq!(session["role"], "investigate");
    assert_eq!(
        session["may"],
        serde_json::json!({"investigate": true, "operate": false, "replay": false, "editScripts": false})
    );

    let log = json(&tap, "GET /api/v1/audit", OPERATE);
    let entries = log["entries"].as_array().unwrap();
    let of = |who: &str, path: &str| {
        let found = entries
            .iter()
            .filter(|one| one["who"] == who && one["path"].as_str().unwrap().ends_with(path));
        found
            .map(|one| one["status"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("view", "/item/0"), [403, 403]);
    assert_eq!(of("investigate", "/item/0"), [200, 200]);
    assert_eq!(of("investigate", "/recordings/seal"), [403]);
    assert_eq!(of("view", &stream), [403, 403]);
    assert_eq!(of("view", "/status"), [] as [u64; 0]);
    let file = std::fs::read_to_string(tap.data().join("audit.jsonl")).unwrap();
    for token in [VIEW, INVESTIGATE, OPERATE, &tap.token] {
        assert!(!file.contains(token), "a token in the audit log");
    }
    assert!(file.contains("\"from\":\"127.0.0.1:"), "{file}");
}

#[test]
fn what_cannot_be_noted_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let key = format!("tap.dashboard.auditLog={}/audit.jsonl", file.display());
    let tap = Tap::open_with(&shop(), 0, &[&key]);
    wait_for_items(&tap);
    let headers = format!("{}{}", tap.host(), tap.bearer());
    let (status, answer) = tap.ask("GET /api/v1/item/0", &headers);
    assert_eq!(status, 503);
    assert!(answer.contains("audit log cannot be written"), "{answer}");
    assert!(!answer.contains("orders"), "{answer}");
}

#[test]
fn somebody_without_a_token_is_asked_for_one() {
    let tap = Tap::open_with(&shop(), 0, &[&tokens()]);
    let host = tap.host();
    let (status, page) = tap.ask("GET /", &host);
    assert_eq!(status, 401);
    assert!(page.contains("type=\"password\""), "{page}");
    for path in ["/signin.js", "/style/base.css", "/style/signin.css"] {
        assert_eq!(tap.ask(&format!("GET {path}"), &host).0, 200, "{path}");
    }
    for path in ["/main.js", "/index.html", "/app.js"] {
        assert_eq!(tap.ask(&format!("GET {path}"), &host).0, 401, "{path}");
    }
    let sign_in = |token: &str| {
        let headers = format!("{host}Authorization: Bearer {token}\r\nContent-Length: 0\r\n");
        tap.ask("POST /signin", &headers)
    };
    let (status, answer) = sign_in(VIEW);
    assert_eq!(status, 204);
    let answer = answer.to_ascii_lowercase();
    let cookie = answer.split("set-cookie: ").nth(1).unwrap();
    assert!(cookie.contains("httponly; samesite=strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let (status, _) = tap.ask("GET /api/v1/status", &format!("{host}Cookie: {cookie}\r\n"));
    assert_eq!(status, 200);
    assert_eq!(sign_in("wrong-0123456789abcdef").0, 401);
}

#[test]
fn an_address_on_the_network_needs_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("made.pcap");
    std::fs::write(&capture, tapedeck::synth::savefile(&shop())).unwrap();
    let start = |keys: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
        command
            .args(["tap", "--headless", "--proxy-front-port", "0"])
            .args(["--proxy-host", "0.0.0.0", "--pcap"])
            .arg(&capture)
            .arg("--set")
            .arg(format!("tap.dataDir={}", folder.path().display()))
            .args(keys.iter().flat_map(|key| ["--set", key]))
            .env("HOME", folder.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    };
    let refused = start(&[]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("tap.dashboard.tokens"), "{said}");
    let short = start(&["tap.dashboard.tokens={\"view\":\"short\"}"])
        .output()
        .unwrap();
    assert_eq!(short.status.code(), Some(2));

    let mut child = start(&[&tokens(), "tap.dashboard.hosts=deck.example"])
        .spawn()
        .unwrap();
    let (address, token, _) = printed_url(&mut child);
    let ask = |host: &str, more: &str| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", address.port())).unwrap();
        write!(
            stream,
            "GET /api/v1/echo HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{more}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let port = address.port();
    assert_eq!(ask(&format!("127.0.0.1:{port}"), ""), 200);
    assert_eq!(ask(&format!("10.1.2.3:{port}"), ""), 200);
    assert_eq!(ask("deck.example", ""), 200);
    assert_eq!(ask("deck.example:8443", ""), 200);
    // A name that was rebound to this address, and a page of another address.
    assert_eq!(ask(&format!("attacker.test:{port}"), ""), 421);
    let origin = "Origin: http://10.9.9.9\r\n";
    assert_eq!(ask(&format!("10.1.2.3:{port}"), origin), 403);
    let origin = "Origin: https://deck.example\r\n";
    assert_eq!(ask("deck.example", origin), 200);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_recording_is_tried_and_a_request_is_not_sent_unless_allowed() {
    let tap = Tap::open_with(&shop(), 0, &[]);
    wait_for_items(&tap);
    let tried = json(
        &tap,
        "GET /api/v1/recordings/backtest?q=response.status%20==%20500",
        &tap.token,
    );
    assert_eq!(tried["items"], 1);
    assert_eq!(tried["itemsSeen"], 3);
    // The whole stream is kept, its other exchange too.
    assert_eq!(tried["streams"], 1);
    assert_eq!(tried["streamsSeen"], 2);
    assert!(tried["bytes"].as_u64().unwrap() > 200, "{tried}");
    assert!(tried["bytes"].as_u64().unwrap() < tried["bytesSeen"].as_u64().unwrap());
    let line = "GET /api/v1/recordings/backtest?q=http%20and%20(";
    assert_eq!(status(&tap, line, &tap.token), 400);
    for line in ["GET /api/v1/replay/0", "POST /api/v1/replay/0?sha256=00"] {
        assert_eq!(status(&tap, line, &tap.token), 403, "{line}");
    }
    let line = "POST /api/v1/scripts/save?path=/tmp/a.js";
    assert_eq!(status(&tap, line, &tap.token), 403);
    let stores = json(&tap, "GET /api/v1/archive/stores", &tap.token);
    assert_eq!(stores["stores"], serde_json::json!([]));
    let line = "GET /api/v1/archive/days?store=/etc";
    assert_eq!(status(&tap, line, &tap.token), 404);
}
