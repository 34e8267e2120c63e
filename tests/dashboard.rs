//! The dashboard as the program serves it: in Chromium, and asked by hand where a browser would not.
//!
//! Skips by name where node, Chromium or playwright-core are not there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use tapedeck::capture::{Filled, RawBatch, file};
use tapedeck::synth;

/// The program with a capture open; it ends with the value.
pub struct Tap {
    child: Child,
    pub address: SocketAddr,
    pub token: String,
    /// What it said up to its address.
    pub said: String,
    data: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Tap {
    pub fn open(frames: &[synth::Frame], port: u16) -> Tap {
        Tap::open_with(frames, port, &[])
    }

    /// With further keys of the configuration, `KEY=VALUE` each.
    pub fn open_with(frames: &[synth::Frame], port: u16, keys: &[&str]) -> Tap {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("made.pcap");
        std::fs::write(&capture, synth::savefile(frames)).unwrap();
        let flags: Vec<&str> = keys.iter().flat_map(|key| ["--set", key]).collect();
        let mut tap = Tap::at(&capture, folder.path(), port, &flags);
        tap._folder = Some(folder);
        tap
    }

    /// With a source open; its home is `folder`.
    pub fn on(source: &Path, folder: tempfile::TempDir, port: u16) -> Tap {
        let mut tap = Tap::at(source, folder.path(), port, &[]);
        tap._folder = Some(folder);
        tap
    }

    /// With a source open, a home that stays, and further flags.
    pub fn at(source: &Path, home: &Path, port: u16, flags: &[&str]) -> Tap {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .args(["tap", "--headless", "--proxy-front-port", &port.to_string()])
            .arg("--pcap")
            .arg(source)
            .args(flags)
            .arg("--set")
            .arg(format!("tap.dataDir={}", home.display()))
            .env("HOME", home)
            .env_remove("XDG_CACHE_HOME")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (address, token, said) = printed_url(&mut child);
        Tap {
            child,
            address,
            token,
            said,
            data: home.to_owned(),
            _folder: None,
        }
    }

    /// The folder of its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn url(&self) -> String {
        format!("http://{}/?token={}", self.address, self.token)
    }

    /// Status and whole answer to one request; `headers` end with line ends.
    pub fn ask(&self, line: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        write!(
            stream,
            "{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    /// The JSON that a route answers with; `path` stands below `/api/v1`.
    pub fn json(&self, path: &str) -> Json {
        let headers = format!("{}{}", self.host(), self.bearer());
        let (status, answer) = self.ask(&format!("GET /api/v1{path}"), &headers);
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Status of a request whose answer may be any bytes.
    fn ask_bytes(&self, path: &str, headers: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let line = String::from_utf8_lossy(answer.get(..12).unwrap()).into_owned();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn host(&self) -> String {
        format!("Host: {}\r\n", self.address)
    }

    pub fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of one request, with a body of JSON.
pub fn send(address: SocketAddr, token: &str, line: &str, body: &Json) -> (u16, Vec<u8>) {
    // A server that refuses without reading what was sent resets the connection.
    let body = match line.starts_with("GET ") {
        true => String::new(),
        false => body.to_string(),
    };
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap();
    let status = String::from_utf8_lossy(&answer[..head]).into_owned();
    let status = status.split(' ').nth(1).unwrap().parse().unwrap();
    // Bodies of unknown length come in chunks (RFC 9112 section 7.1).
    let is_chunked = String::from_utf8_lossy(&answer[..head])
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let mut rest = &answer[head + 4..];
    if !is_chunked {
        return (status, rest.to_vec());
    }
    let mut whole = Vec::new();
    while let Some(end) = rest.windows(2).position(|end| end == b"\r\n") {
        let length = String::from_utf8_lossy(&rest[..end]).into_owned();
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        whole.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
    (status, whole)
}

/// A live run with a home of its own and nothing else of this environment, its address and its token.
pub fn start_live(
    home: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Child, SocketAddr, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .args(["tap", "--headless", "--proxy-front-port", "0", "--set"])
        .arg(format!("tap.dataDir={}", home.join("data").display()))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (address, token, _) = printed_url(&mut child);
    (child, address, token)
}

/// Address and token that the program prints, with all lines up to them.
pub fn printed_url(child: &mut Child) -> (SocketAddr, String, String) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    loop {
        let line = match lines.next() {
            Some(line) => line.unwrap(),
            None => panic!("it ended: {said}"),
        };
        said.push_str(&line);
        said.push('\n');
        if let Some(at) = line.find("http://") {
            let url = line[at + "http://".len()..].trim();
            let (address, token) = url.split_once("/?token=").unwrap();
            // Nobody reads what follows, and a full pipe would hold the program up.
            std::thread::spawn(move || lines.for_each(drop));
            return (address.parse().unwrap(), token.to_owned(), said);
        }
    }
}

/// Where node finds its packages, or nothing with the reason printed.
pub fn browser_tools() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let tools = std::env::var_os("TAPEDECK_TOOLS")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".cache/tapedeck/tools")))?;
    let chromium =
        std::env::var_os("CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from);
    let has_node = Command::new("node").arg("--version").output().is_ok();
    for (there, what) in [
        (has_node, "node"),
        (Path::new(&chromium).exists(), "chromium"),
        (
            tools.join("node_modules/playwright-core").exists(),
            "playwright-core",
        ),
        (tools.join("node_modules/axe-core").exists(), "axe-core"),
    ] {
        if !there {
            println!("skipped: the dashboard in a browser needs {what}; run tools/test-deps.sh");
            return None;
        }
    }
    Some(tools)
}

/// What the browser saw, or nothing with the reason printed.
fn browse(tap: &Tap, folder: &Path, row: &str) -> Option<Json> {
    let folder = folder.display().to_string();
    drive("dashboard.mjs", &[&tap.url(), &folder, row])
}

/// What a driver of the browser prints; its first argument is the folder of the tools.
pub fn drive(driver: &str, arguments: &[&str]) -> Option<Json> {
    let tools = browser_tools()?;
    let driver = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/browser")
        .join(driver);
    let out = Command::new("node")
        .arg(driver)
        .arg(&tools)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    Some(serde_json::from_slice(&out.stdout).unwrap())
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// Two streams: an order and a failure on one, a plain page on the other.
pub fn shop() -> Vec<synth::Frame> {
    let order = "{\"items\":[\"tape\"],\"count\":2}";
    let first = synth::tcp(([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 80))
        .to_server(format!(
            "POST /orders?from=web HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{order}",
            order.len()
        ))
        .to_client(response(
            "201 Created",
            "Content-Type: application/json\r\nX-Order: 77\r\n",
            "{\"id\":77,\"paid\":false}",
        ))
        .to_server("GET /broken HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client(response("500 Internal Server Error", "", "no"))
        .fin();
    let second = synth::tcp(([10, 0, 0, 3], 40001), ([10, 0, 0, 2], 80))
        .to_server("GET /page HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client(response("200 OK", "Content-Type: text/plain\r\n", "hello"))
        .fin();
    synth::merge([first, second])
}

/// Traffic that would run in a page that takes it for markup, and turns around what is written behind it.
fn hostile() -> Vec<synth::Frame> {
    let markup = "<script>alert(1)</script><img src=x onerror=alert(2)>";
    synth::tcp(([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 80))
        .to_server(format!(
            "GET /<script>alert(1)</script><img/src=x/onerror=alert(2)>/\u{202e}fdp.exe?{markup} HTTP/1.1\r\n\
             Host: shop\r\nX-Markup: {markup}\r\n\r\n"
        ))
        .to_client(response(
            "500 Sorry",
            &format!("Content-Type: text/html\r\nX-Answer: {markup}\r\n"),
            markup,
        ))
        .fin()
}

fn packets_of(capture: &Path) -> usize {
    let mut source = file::open(capture).unwrap();
    let mut packets = 0;
    loop {
        let mut batch = RawBatch::default();
        let filled = source.fill(&mut batch).unwrap();
        packets += batch.records.len();
        if filled == Filled::End {
            return packets;
        }
    }
}

pub fn text<'a>(seen: &'a Json, name: &str) -> &'a str {
    seen[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {seen:#}"))
}

/// An archive of all matches: a folder for the node, in it the packets and the names.
pub fn assert_saved(path: &Path, packets: usize) {
    let file = std::fs::File::open(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let (node, file) = name.split_once('/').unwrap();
        assert!(node.contains('_'), "{name}");
        found.push(file.to_owned());
        if file.ends_with(".pcap") {
            let out = folder.path().join(file);
            entry.unpack(&out).unwrap();
            assert_eq!(packets_of(&out), packets, "{name}");
        }
    }
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[1], "name_resolution_history.json");
}

/// What holds for every visit: nothing ran, nothing went elsewhere, nothing leaked.
fn assert_quiet(seen: &Json, tap: &Tap) {
    assert_eq!(seen["errors"], serde_json::json!([]));
    assert_eq!(seen["dialogs"], 0);
    assert_eq!(seen["axe"], serde_json::json!([]));
    assert_eq!(seen["foreign"], serde_json::json!([]));
    assert_eq!(
        seen["cookie"],
        serde_json::json!([{"httpOnly": true, "sameSite": "Strict"}])
    );
    for url in ["urlAfter", "filteredUrl"] {
        assert!(!text(seen, url).contains(&tap.token), "the token stays");
    }
}

#[test]
fn a_browser_finds_filters_and_opens_items() {
    let frames = shop();
    let tap = Tap::open(&frames, 0);
    let folder = tempfile::tempdir().unwrap();
    let Some(seen) = browse(&tap, folder.path(), "/orders") else {
        return;
    };
    assert_quiet(&seen, &tap);
    assert_eq!(seen["rows"], 3);
    assert!(text(&seen, "invalid").contains("expected a value"));
    assert!(!text(&seen, "urlAfterInvalid").contains("%28"));
    assert_eq!(text(&seen, "underlined"), "status_cod");
    assert!(text(&seen, "proposed").starts_with("status_codevariable"));
    assert_eq!(text(&seen, "completed"), "http && status_code");
    assert_eq!(seen["filtered"].as_array().unwrap().len(), 1);
    assert!(seen["filtered"][0].as_str().unwrap().contains("/broken"));
    assert!(text(&seen, "filteredUrl").contains("response.status"));
    for part in ["POST", "application/json", "\"count\": 2", "10.0.0.1"] {
        assert!(text(&seen, "request").contains(part), "{part}: {seen:#}");
    }
    for part in ["201", "Created", "X-Order", "77"] {
        assert!(text(&seen, "response").contains(part), "{part}: {seen:#}");
    }
    assert_eq!(
        text(&seen, "responseBody"),
        "{\n  \"id\": 77,\n  \"paid\": false\n}"
    );
    let raw: Json = serde_json::from_str(text(&seen, "raw")).unwrap();
    assert_eq!(raw["response"]["status"], 201);
    let stream = raw["stream"].as_str().unwrap();
    assert_eq!(text(&seen, "pcapName"), stream);
    let client = ([10, 0, 0, 1], 40000);
    let port = u16::to_be_bytes(client.1);
    // Bytes 34 to 37 of an Ethernet frame with IPv4 and TCP are the two ports.
    let wanted = frames
        .iter()
        .filter(|frame| frame.bytes[34..36] == port || frame.bytes[36..38] == port)
        .count();
    let capture = folder.path().join("stream.pcap");
    assert_eq!(packets_of(&capture), wanted);
    if let Ok(out) = Command::new("tshark").arg("-r").arg(&capture).output() {
        assert!(out.status.success());
        assert_eq!(String::from_utf8_lossy(&out.stdout).lines().count(), wanted);
    }
    assert_eq!(
        text(&seen, "clicked"),
        format!("http and worker == \"127.0.0.1:8897\" and stream == \"{stream}\"")
    );
    assert_eq!(seen["keyMoved"], true);
    assert_eq!(seen["linked"], true);
    let sorted = serde_json::json!({"word": "sorted", "link": "-took"});
    assert_eq!(seen["sorted"], sorted);
    assert_eq!(text(&seen, "paused"), "paused");
    assert_eq!(
        seen["roles"],
        serde_json::json!({"grid": 1, "filter": 1, "tabs": 8, "views": 10})
    );
    assert_eq!(seen["covered"], false);
    let first = &seen["plusOfFirst"];
    assert_eq!(first["rows"], 2, "{first:#}");
    assert_eq!(first["q"], "http and request.method == \"GET\"");
    assert_eq!(first["tip"], "Filter: request.method == \"GET\"");
    let second = text(&seen["plusOfSecond"], "q");
    assert!(
        second.starts_with("http && status_code > 100 && "),
        "{second}"
    );
    assert_eq!(seen["plusOfSecond"]["rows"], 1);
    assert_eq!(seen["plusOfPart"]["q"], "http and src.ip == \"10.0.0.3\"");
    let clicked = text(&seen, "clickedInSecond");
    assert!(
        clicked.starts_with("http && status_code > 200 && "),
        "{clicked}"
    );
    assert!(!clicked.contains(" and "), "{clicked}");
    assert_eq!(
        (&seen["folded"], &seen["stillFolded"]),
        (&true.into(), &true.into())
    );
    assert_eq!(text(&seen, "numbered"), "1\n2\n3\n4");
    assert_eq!(text(&seen, "csv").lines().count(), 4);
    assert!(text(&seen, "csv").contains(",HTTP,500,GET,/broken,"));
    let saved = folder.path().join(text(&seen, "savedPackets"));
    assert_saved(&saved, frames.len());
    assert_eq!(
        seen["layout"],
        serde_json::json!({"beside": true, "stacked": true})
    );
    assert_eq!(seen["local"], "local");
    assert!(
        text(&seen, "tried").contains("1 of 2 streams"),
        "{}",
        text(&seen, "tried")
    );
    assert_eq!(seen["signedOut"], 401);
    assert_eq!(seen["packets"], wanted);
    assert!(text(&seen, "hex").contains("50 4f 53 54") || text(&seen, "hex").contains("47 45 54"));
    let turns = seen["turns"].as_array().unwrap();
    assert!(
        turns[0].as_str().unwrap().starts_with("client"),
        "{turns:?}"
    );
    assert!(
        turns[1].as_str().unwrap().starts_with("server"),
        "{turns:?}"
    );
    assert!(
        text(&seen, "before").contains("POST /orders"),
        "{}",
        text(&seen, "before")
    );
    assert!(text(&seen, "timeline").contains("3 items"));
    assert!(text(&seen, "timeline").contains("1 failed (33 %)"));
    let endpoints = seen["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 3, "{endpoints:?}");
    let led = &seen["ofEndpoint"];
    assert_eq!(led["rows"].as_array().unwrap().len(), 1, "{led:#}");
    let map = &seen["map"];
    assert_eq!(map["nodes"].as_array().unwrap().len(), 3, "{map:#}");
    assert_eq!(map["edges"], 2);
    assert!(text(&seen, "compared").contains("items before"));
    assert!(
        text(&seen, "health").contains("3 in all"),
        "{}",
        text(&seen, "health")
    );
    assert!(text(&seen, "recordings").contains("A recorded source is open"));
    assert!(text(&seen, "state").contains("streams 2"));
    assert!(text(&seen, "notSignedIn").contains("not known here"));
    for (view, height) in seen["low"].as_object().unwrap() {
        assert!(height.as_f64().unwrap() >= 240.0, "{view}: {height}");
    }
    let details = seen["lowDetails"].as_f64().unwrap();
    assert!(details >= 240.0, "{details}");
    let wrong = &seen["wrongToken"];
    assert!(text(wrong, "said").contains("of another run"), "{wrong}");
    assert_eq!(wrong["query"], "?q=dns");
    assert!(!text(&seen, "signedInAt").contains(&tap.token));
}

#[test]
fn markup_in_traffic_is_shown_as_text() {
    let tap = Tap::open(&hostile(), 0);
    let folder = tempfile::tempdir().unwrap();
    let Some(seen) = browse(&tap, folder.path(), "alert(1)") else {
        return;
    };
    assert_quiet(&seen, &tap);
    for place in ["text", "request", "response", "responseBody"] {
        let shown = text(&seen, place);
        assert!(
            shown.contains("<script>alert(1)</script>"),
            "{place}: {shown}"
        );
        assert!(shown.contains("onerror=alert(2)"), "{place}: {shown}");
    }
    let endpoints = seen["endpoints"][0].as_str().unwrap();
    for shown in [text(&seen, "text"), text(&seen, "request"), endpoints] {
        assert!(shown.contains("/\\u202efdp.exe"), "{shown}");
        assert!(!shown.contains('\u{202e}'), "{shown}");
    }
    assert_eq!(seen["apart"], 4);
}

#[test]
fn strangers_are_refused() {
    let tap = Tap::open(&shop(), 0);
    let (host, bearer) = (tap.host(), tap.bearer());
    let status = |line: &str, headers: String| tap.ask(line, &headers).0;
    let ask = "GET /api/status";
    assert_eq!(status(ask, format!("{host}{bearer}")), 200);
    assert_eq!(status(ask, host.clone()), 401);
    assert_eq!(
        status(ask, format!("{host}Authorization: Bearer wrong\r\n")),
        401
    );
    assert_eq!(status("GET /?token=wrong", host.clone()), 401);
    assert_eq!(status(ask, format!("Host: attacker.test\r\n{bearer}")), 421);
    let origin = "Origin: http://attacker.test\r\n";
    assert_eq!(status(ask, format!("{host}{bearer}{origin}")), 403);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(
        status("GET /api/ws", format!("{host}{bearer}{origin}{upgrade}")),
        403
    );
    assert_eq!(status("GET /", host), 401);
}

#[test]
fn a_socket_is_not_read_as_a_page() {
    let tap = Tap::open(&shop(), 0);
    let headers = format!("{}{}", tap.host(), tap.bearer());
    for path in ["/api/v1/ws", "/api/wsFull", "/api/v1/scripts/logs"] {
        let (status, answer) = tap.ask(&format!("GET {path}"), &headers);
        assert_eq!(status, 426, "{path}: {answer}");
        assert!(
            answer.contains("this path is a WebSocket"),
            "{path}: {answer}"
        );
    }
}

#[test]
fn a_get_changes_nothing() {
    let tap = Tap::open(&shop(), 0);
    let headers = format!("{}{}", tap.host(), tap.bearer());
    assert_eq!(tap.ask("GET /api/jobs/run?tag=a", &headers).0, 405);
    let post = format!("{headers}Content-Length: 0\r\n");
    assert_eq!(tap.ask("POST /api/jobs/run?tag=a", &post).0, 404);
}

/// Whether a value is of a type in the words of JSON Schema.
fn is_of(value: &Json, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{kind} is no type"),
    }
}

#[test]
fn every_route_answers_as_its_document_says() {
    let tap = Tap::open(&shop(), 0);
    let headers = format!("{}{}", tap.host(), tap.bearer());
    let answer = |path: &str| {
        let (status, whole) = tap.ask(&format!("GET {path}"), &headers);
        let body = whole.split_once("\r\n\r\n").unwrap().1.to_owned();
        (status, body)
    };
    let json = |path: &str| -> Json {
        let (status, body) = answer(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    };
    // The file is read in the background.
    let first = loop {
        let page = json("/api/v1/items?limit=1");
        if let Some(row) = page["rows"].as_array().unwrap().first() {
            break row.clone();
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let document = json("/api/v1/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let id = first["id"].as_str().unwrap();
    let (worker, rest) = id.split_once('/').unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let Some(operation) = methods.get("get") else {
            continue;
        };
        let Some(good) = operation["responses"].get("200") else {
            continue;
        };
        let filled = path
            .replace("{number}", &first["n"].to_string())
            .replace("{worker}", worker)
            .replace("{id}", rest)
            .replace("{stream}", first["stream"].as_str().unwrap());
        // What a savefile has not, or the configuration does not allow, is asked elsewhere.
        let elsewhere = [
            "/archive/days",
            "/archive/reels",
            "/archive/object",
            "/archive/proof",
            "/scripts/source",
            "/scripts/env",
            "/pcapdump",
            "/replay/",
        ];
        if elsewhere.iter().any(|part| filled.contains(part)) {
            continue;
        }
        let filled = match path.ends_with("/groups") {
            true => format!("{filled}?by=endpoint"),
            false => filled,
        };
        asked += 1;
        let schema = &good["content"]["application/json"]["schema"];
        if schema.is_null() {
            assert_eq!(tap.ask_bytes(&filled, &headers), 200, "{filled}");
            continue;
        }
        let found = json(&filled);
        assert!(is_of(&found, schema["type"].as_str().unwrap()), "{path}");
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            let kind = schema["properties"][name]["type"].as_str().unwrap();
            assert!(is_of(&found[name], kind), "{path}: {name}: {found}");
        }
        // Older clients ask without the version.
        assert_eq!(answer(&filled.replace("/v1", "")).0, 200, "{filled}");
    }
    assert!(asked > 15, "{asked}");
    for (path, sentence) in [
        ("/api/v1/items?q=http%20and%20(", "expected"),
        ("/api/v1/groups?by=moon", "by may be endpoint"),
        ("/api/v1/packets/x", "no name of a stream"),
    ] {
        let (status, body) = answer(path);
        assert_eq!(status, 400, "{path}");
        let answer: Json = serde_json::from_str(&body).unwrap();
        assert!(
            answer["error"].as_str().unwrap().contains(sentence),
            "{body}"
        );
    }
}

#[test]
fn every_answer_forbids_foreign_content() {
    let tap = Tap::open(&shop(), 0);
    let known = format!("{}{}", tap.host(), tap.bearer());
    for (line, headers) in [
        ("GET /", known.clone()),
        ("GET /api/status", known),
        ("GET /api/status", tap.host()),
    ] {
        let (_, answer) = tap.ask(line, &headers);
        let answer = answer.to_lowercase();
        assert!(answer.contains("content-security-policy: default-src 'none'; script-src 'self';"));
        assert!(!answer.contains("unsafe-inline"));
        assert!(answer.contains("x-content-type-options: nosniff"));
        assert!(!answer.contains("access-control-allow-origin"));
    }
    let (status, answer) = tap.ask(&format!("GET /?q=dns&token={}", tap.token), &tap.host());
    assert_eq!(status, 303);
    assert!(answer.contains("\r\nlocation: /?q=dns\r\n"), "{answer}");
    assert!(
        answer.contains("; HttpOnly; SameSite=Strict\r\n"),
        "{answer}"
    );
}

#[test]
fn a_taken_port_makes_it_take_the_next_and_say_so() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let tap = Tap::open(&shop(), port);
    assert!(
        tap.address.port() > port,
        "{} after {port}",
        tap.address.port()
    );
    assert!(
        tap.said.contains(&format!(
            "port {port} is taken; using {}",
            tap.address.port()
        )),
        "{}",
        tap.said
    );
}
