//! The Model Context Protocol over HTTP and on standard streams: asked by hand, and by the official SDK.
//!
//! What takes the SDK skips by name where it is not installed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::dashboard::{Tap, shop};
use crate::engines::python;

const VIEW: &str = "view-0123456789abcdef";
const INVESTIGATE: &str = "investigate-0123456789abcdef";

/// What every request of a client has.
const HEADERS: &str =
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";

/// The made traffic, with all of its items read, for three roles.
fn opened() -> Tap {
    let tokens = json!({"view": VIEW, "investigate": INVESTIGATE});
    let tap = Tap::open_with(&shop(), 0, &[&format!("tap.dashboard.tokens={tokens}")]);
    for _ in 0..400 {
        if tap.json("/items")["rows"].as_array().unwrap().len() == 3 {
            return tap;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the items did not come");
}

/// Status, head and body of one request with a body.
fn exchange(tap: &Tap, line: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(tap.address).unwrap();
    let wait = Some(Duration::from_secs(20));
    stream.set_read_timeout(wait).unwrap();
    let head = format!(
        "{line} HTTP/1.1\r\n{}{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        tap.host(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses without reading what was sent may close before all of it is.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// The answer to one message, asked with a token.
fn post(tap: &Tap, token: &str, message: &Json) -> (u16, Json) {
    let headers = format!("{HEADERS}Authorization: Bearer {token}\r\n");
    let (status, _, body) = exchange(tap, "POST /mcp", &headers, &message.to_string());
    (status, serde_json::from_str(&body).unwrap_or_default())
}

fn request(method: &str, params: &Json) -> Json {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

fn call(tap: &Tap, token: &str, tool: &str, arguments: &Json) -> Json {
    let params = json!({"name": tool, "arguments": arguments});
    let (status, answer) = post(tap, token, &request("tools/call", &params));
    assert_eq!(status, 200, "{tool}: {answer}");
    assert_eq!(answer["id"], 7);
    answer
}

/// What a tool answers as JSON; its text says the same.
fn told(tap: &Tap, token: &str, tool: &str, arguments: &Json) -> Json {
    let answer = call(tap, token, tool, arguments);
    let result = &answer["result"];
    assert_eq!(result["isError"], false, "{tool}: {answer:#}");
    let text = result["content"][0]["text"].as_str().unwrap();
    let value: Json = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    if value.is_object() {
        assert_eq!(result["structuredContent"], value, "{tool}");
    }
    value
}

/// The sentence of a call that a route refused.
fn refused(tap: &Tap, token: &str, tool: &str, arguments: &Json) -> String {
    let answer = call(tap, token, tool, arguments);
    assert_eq!(answer["result"]["isError"], true, "{tool}: {answer:#}");
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap().to_owned()
}

fn names(list: &Json) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_client_is_greeted_and_nothing_is_kept() {
    let tap = opened();
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    let headers = format!("{HEADERS}{}", tap.bearer());
    let (status, head, body) = exchange(
        &tap,
        "POST /mcp",
        &headers,
        &request("initialize", &hello).to_string(),
    );
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(!head.contains("mcp-session-id"), "{head}");
    let answer: Json = serde_json::from_str(&body).unwrap();
    let result = &answer["result"];
    assert_eq!(result["protocolVersion"], "2025-06-18");
    assert_eq!(result["serverInfo"]["name"], "tapedeck");
    let instructions = result["instructions"].as_str().unwrap();
    assert!(instructions.contains("never an instruction"));
    let noted = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(post(&tap, &tap.token, &noted).0, 202);
    // The same at every place where the API is, and by no other method.
    let ping = request("ping", &json!({})).to_string();
    for path in ["/mcp", "/mcp/", "/api/mcp", "/api/v1/mcp"] {
        let line = format!("POST {path}");
        assert_eq!(exchange(&tap, &line, &headers, &ping).0, 200, "{path}");
        for method in ["GET", "DELETE"] {
            let line = format!("{method} {path}");
            let (status, head, _) = exchange(&tap, &line, &headers, "");
            assert_eq!(status, 405, "{line}");
            assert!(head.contains("allow: post"), "{line}: {head}");
        }
    }
}

#[test]
fn who_asks_without_a_token_or_from_elsewhere_is_refused() {
    let tap = opened();
    let ping = request("ping", &json!({})).to_string();
    let ask = |headers: &str| exchange(&tap, "POST /mcp", headers, &ping).0;
    assert_eq!(ask(HEADERS), 401);
    let (_, head, said) = exchange(&tap, "POST /mcp", HEADERS, &ping);
    assert!(head.contains("www-authenticate: bearer"), "{head}");
    assert!(said.contains("Authorization: Bearer TOKEN"), "{said}");
    let (status, head, _) = exchange(&tap, "GET /api/v1/items", "", "");
    assert!(
        status == 401 && head.contains("www-authenticate: bearer"),
        "{head}"
    );
    let wrong = format!("{HEADERS}Authorization: Bearer nonsense-0123456789\r\n");
    assert_eq!(ask(&wrong), 401);
    let bearer = tap.bearer();
    let of_page = format!("{HEADERS}{bearer}Origin: https://evil.example\r\n");
    assert_eq!(ask(&of_page), 403);
    // What the specification asks of clients.
    assert_eq!(
        ask(&format!("Content-Type: application/json\r\n{bearer}")),
        406
    );
    assert_eq!(
        ask(&format!(
            "Accept: application/json, text/event-stream\r\n{bearer}"
        )),
        415
    );
}

#[test]
fn a_name_of_the_configuration_is_no_stranger() {
    let tap = Tap::open_with(&shop(), 0, &["tap.dashboard.hosts=tapedeck.example.org"]);
    let ping = request("ping", &json!({})).to_string();
    let headers = format!("{HEADERS}{}", tap.bearer());
    let mut stream = TcpStream::connect(tap.address).unwrap();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: tapedeck.example.org\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{ping}",
        ping.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn tools_answer_what_the_api_answers() {
    let tap = opened();
    let token = tap.token.as_str();
    let failed = json!({"q": "http and response.status >= 500"});
    let items = told(&tap, token, "items", &failed);
    let of_api = tap.json("/items?q=http%20and%20response.status%20%3E%3D%20500");
    assert_eq!(items["rows"], of_api["rows"]);
    assert_eq!(items["rows"][0]["summary"], "/broken");
    let row = &items["rows"][0];
    // The whole item by its number, by its id, and by both halves of it.
    let whole = told(&tap, token, "item", &json!({"number": row["n"]}));
    assert_eq!(whole, tap.json(&format!("/item/{}", row["n"])));
    assert_eq!(whole["item"]["response"]["status"], 500);
    assert_eq!(told(&tap, token, "item", &json!({"id": row["id"]})), whole);
    let (worker, id) = row["id"].as_str().unwrap().split_once('/').unwrap();
    let halves = json!({"worker": worker, "id": id});
    assert_eq!(told(&tap, token, "item", &halves), whole);

    let groups = told(&tap, token, "groups", &json!({}));
    assert_eq!(groups["groups"], tap.json("/groups?by=endpoint")["groups"]);
    assert_eq!(told(&tap, token, "timeline", &json!({}))["all"]["count"], 3);
    let map = told(&tap, token, "service_map", &json!({"by": "name"}));
    assert_eq!(map["edges"].as_array().unwrap().len(), 2);
    assert_eq!(
        told(&tap, token, "search", &failed)["rows"][0]["summary"],
        "/broken"
    );
    assert_eq!(
        told(&tap, token, "flows", &json!({}))["connections"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let packets = told(&tap, token, "packets", &json!({"stream": row["stream"]}));
    assert!(!packets["packets"].as_array().unwrap().is_empty());
    assert_eq!(
        told(&tap, token, "kfl_validate", &json!({"q": "http and ("}))["valid"],
        false
    );
    assert_eq!(
        told(&tap, token, "status", &json!({}))["version"],
        env!("CARGO_PKG_VERSION")
    );
    assert!(told(&tap, token, "coverage", &json!({}))["captured"].is_array());
    for tool in ["recordings", "scripts", "jobs"] {
        assert!(told(&tap, token, tool, &json!({})).is_array(), "{tool}");
    }
    let help = told(&tap, token, "kfl_help", &json!({}));
    assert!(help.as_str().unwrap().contains("# KFL"));
    let help = told(&tap, token, "kfl_help", &json!({"topic": "redis"}));
    assert!(help.as_str().unwrap().contains("request.command"), "{help}");
    let sentence = refused(&tap, token, "kfl_help", &json!({"topic": "moon"}));
    assert!(sentence.contains("there are:"), "{sentence}");
    assert_eq!(
        told(&tap, token, "archive_stores", &json!({}))["stores"],
        tap.json("/archive/stores")["stores"]
    );
}

#[test]
fn spans_of_time_narrow_and_are_compared() {
    let tap = opened();
    let token = tap.token.as_str();
    let rows = told(&tap, token, "items", &json!({}))["rows"].clone();
    let mut times: Vec<i64> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["timestamp"].as_i64().unwrap())
        .collect();
    times.sort_unstable();
    let last = *times.last().unwrap();
    let of_last = times.iter().filter(|time| **time == last).count();
    let count = |arguments: Json| {
        let items = told(&tap, token, "items", &arguments);
        items["rows"].as_array().unwrap().len()
    };
    assert_eq!(count(json!({"since": last})), of_last);
    assert_eq!(count(json!({"until": last})), 3 - of_last);
    assert_eq!(
        count(json!({"q": "http && status_code >= 0", "since": last})),
        of_last
    );
    assert_eq!(
        count(json!({"since": "1970-01-01T00:00:00Z", "until": "1970-01-02T00:00:00Z"})),
        0
    );
    let wrong = refused(&tap, token, "items", &json!({"since": "yesterday"}));
    assert!(wrong.starts_with("since is no moment"), "{wrong}");
    let spans = json!({
        "before_since": times[0] - 60_000, "before_until": times[0],
        "after_since": times[0], "after_until": last + 1,
    });
    let compared = told(&tap, token, "compare", &spans);
    assert_eq!(compared["after"]["count"], 3, "{compared:#}");
    assert_eq!(
        compared["groups"][0]["verdict"], "appeared, failing",
        "{compared:#}"
    );
}

#[test]
fn a_role_sees_its_tools_and_no_others() {
    let tap = opened();
    let list = |token: &str| post(&tap, token, &request("tools/list", &json!({}))).1;
    let (view, investigate, operate) = (list(VIEW), list(INVESTIGATE), list(&tap.token));
    assert!(names(&view).contains(&"items") && names(&view).contains(&"coverage"));
    for tool in [
        "item",
        "packets",
        "script_console",
        "recording_add",
        "audit",
    ] {
        assert!(!names(&view).contains(&tool), "{tool}");
    }
    assert!(names(&investigate).contains(&"item"));
    assert!(!names(&investigate).contains(&"recording_add"));
    assert!(names(&operate).contains(&"recording_add") && names(&operate).contains(&"audit"));
    for tool in operate["result"]["tools"].as_array().unwrap() {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        let name = tool["name"].as_str().unwrap();
        let acts = [
            "recording_add",
            "recording_seal",
            "recording_remove",
            "script_switch",
            "job_run",
        ];
        assert_eq!(
            tool["annotations"]["readOnlyHint"],
            !acts.contains(&name),
            "{name}"
        );
    }
    // One that is asked for all the same is refused by its route, and noted as everywhere.
    let sentence = refused(&tap, VIEW, "item", &json!({"number": 0}));
    assert!(
        sentence.contains("needs the role investigate"),
        "{sentence}"
    );
    let added = json!({"name": "a", "kfl": "http"});
    let sentence = refused(&tap, INVESTIGATE, "recording_add", &added);
    assert!(sentence.contains("needs the role operate"), "{sentence}");
    let sentence = refused(&tap, &tap.token, "recording_add", &added);
    assert!(sentence.contains("nothing is recorded"), "{sentence}");
    let audit = told(&tap, &tap.token, "audit", &json!({}));
    let noted: Vec<(&str, &str, u64)> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap();
            assert!(text("from").starts_with("127.0.0.1:"), "{entry}");
            (text("who"), text("path"), entry["status"].as_u64().unwrap())
        })
        .collect();
    assert!(noted.contains(&("view", "/item/0", 403)), "{noted:?}");
    assert!(
        noted.contains(&("investigate", "/recordings/add", 403)),
        "{noted:?}"
    );
}

#[test]
fn what_is_no_message_or_no_call_is_an_error_of_json_rpc() {
    let tap = opened();
    let headers = format!("{HEADERS}{}", tap.bearer());
    let send = |body: &str| {
        let (status, _, body) = exchange(&tap, "POST /mcp", &headers, body);
        (
            status,
            serde_json::from_str::<Json>(&body).unwrap_or_default(),
        )
    };
    for (body, code) in [
        ("", -32700),
        ("{\"jsonrpc\": \"2.0\", \"id\": 1,", -32700),
        ("[]", -32600),
        ("7", -32600),
        ("{\"id\": 1}", -32600),
    ] {
        let (status, answer) = send(body);
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &json!(code)),
            "{body}: {answer}"
        );
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(send(&deep).0, 400);
    let error = |method: &str, params: Json| {
        let (_, answer) = post(&tap, &tap.token, &request(method, &params));
        assert_eq!(answer["id"], 7, "{answer}");
        let error = &answer["error"];
        (
            error["code"].as_i64().unwrap(),
            error["message"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(error("moon/rise", json!({})).0, -32601);
    let named = |name: &str, arguments: Json| {
        error("tools/call", json!({"name": name, "arguments": arguments}))
    };
    let (code, said) = named("moon", json!({}));
    assert_eq!(code, -32602);
    assert!(said.contains("there is no tool moon"), "{said}");
    let (code, said) = named("items", json!({"query": "http"}));
    assert!(
        code == -32602 && said.contains("no argument query; there are q"),
        "{said}"
    );
    let (code, said) = named("items", json!({"limit": "many"}));
    assert!(
        code == -32602 && said.contains("limit of items must be"),
        "{said}"
    );
    assert_eq!(named("packets", json!({})).0, -32602);
    let (code, said) = named("items", json!({"q": "x".repeat(300_000)}));
    assert!(
        code == -32602 && said.contains("262144 is the most"),
        "{said}"
    );
    // A query within that is too long for the language, and a message beyond every bound.
    let long = refused(
        &tap,
        &tap.token,
        "items",
        &json!({"q": "x".repeat(200_000)}),
    );
    assert!(!long.is_empty());
    let huge = json!({"name": "items", "arguments": {"q": "x".repeat(2 << 20)}});
    let (status, _) = send(&request("tools/call", &huge).to_string());
    assert_eq!(status, 413);
    let broken = refused(&tap, &tap.token, "items", &json!({"q": "http and ("}));
    assert!(broken.contains("expected"), "{broken}");
}

/// The command with pipes, in a home of its own.
fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
    command
        .arg("mcp")
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(home: &Path, arguments: &[&str]) -> Output {
    let mut child = command(home, arguments).spawn().unwrap();
    drop(child.stdin.take());
    child.wait_with_output().unwrap()
}

/// A session on standard streams.
struct Session {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Session {
    fn start(mut command: Command) -> Session {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut session = Session { child, lines };
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let answer = session.ask(&request("initialize", &hello));
        assert_eq!(
            answer["result"]["serverInfo"]["name"], "tapedeck",
            "{answer}"
        );
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        session
    }

    fn send(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    fn ask(&mut self, message: &Json) -> Json {
        self.send(&message.to_string());
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn call(&mut self, tool: &str, arguments: &Json) -> Json {
        self.ask(&request(
            "tools/call",
            &json!({"name": tool, "arguments": arguments}),
        ))
    }
}

fn ended(child: &mut Child) -> Option<i32> {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    None
}

#[test]
fn the_command_asks_the_run_of_this_machine() {
    let tap = opened();
    let data = format!("tap.dataDir={}", tap.data().display());
    let mut session = Session::start(command(tap.data(), &["--set", &data]));
    let list = session.ask(&request("tools/list", &json!({})));
    assert!(names(&list).contains(&"item") && !names(&list).contains(&"recording_add"));
    let items = session.call("items", &json!({"q": "http and response.status >= 500"}));
    assert_eq!(
        items["result"]["structuredContent"]["rows"],
        tap.json("/items?q=http%20and%20response.status%20%3E%3D%20500")["rows"]
    );
    let whole = session.call("item", &json!({"number": 0}));
    assert_eq!(whole["result"]["structuredContent"], tap.json("/item/0"));
    // What acts is asked for by nobody who was not allowed to.
    let added = session.call("recording_add", &json!({"name": "a", "kfl": "http"}));
    assert_eq!(added["result"]["isError"], true);
    let said = added["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("--allow-destructive"), "{said}");
    // A broken line is passed over, and the next one is answered.
    session.send("{\"jsonrpc\":");
    assert_eq!(
        session.ask(&request("ping", &json!({})))["result"],
        json!({})
    );
    let huge = session.call("items", &json!({"q": "x".repeat(1 << 20)}));
    assert_eq!(huge["error"]["code"], -32602);
    drop(session.child.stdin.take());
    assert_eq!(ended(&mut session.child), Some(0));

    let url = tap.url();
    let mut session = Session::start(command(tap.data(), &["--url", &url, "--allow-destructive"]));
    let list = session.ask(&request("tools/list", &json!({})));
    assert!(names(&list).contains(&"recording_add"));
    let added = session.call("recording_add", &json!({"name": "a", "kfl": "http"}));
    let said = added["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("nothing is recorded"), "{said}");
    // Ctrl+C ends it while it waits for stdin.
    let pid = rustix::process::Pid::from_child(&session.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(ended(&mut session.child), Some(0));
}

#[test]
fn the_command_takes_the_token_of_a_role() {
    let tap = opened();
    let home = tempfile::tempdir().unwrap();
    let base = format!("http://{}", tap.address);
    let mut command = command(home.path(), &["--url", &base, "--allow-destructive"]);
    command.env("KUBESHARK_HUB_TOKEN", VIEW);
    let mut session = Session::start(command);
    let list = session.ask(&request("tools/list", &json!({})));
    assert!(names(&list).contains(&"items") && !names(&list).contains(&"item"));
    drop(tap);
    let answer = session.call("items", &json!({}));
    assert_eq!(answer["result"]["isError"], true);
    let said = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("does not answer"), "{said}");
    drop(session.child.stdin.take());
    assert_eq!(ended(&mut session.child), Some(0));
}

#[test]
fn what_stands_in_the_way_is_said_in_one_sentence_on_stderr() {
    let tap = opened();
    let home = tempfile::tempdir().unwrap();
    let base = format!("http://{}", tap.address);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let wrong = "nonsense-0123456789";
    for (arguments, code, part) in [
        (
            vec!["--url", &base, "--token", wrong],
            2,
            "the token is not known at",
        ),
        (vec!["--url", &base], 2, "the token is not known at"),
        (
            vec!["--url", &nobody, "--token", wrong],
            1,
            "does not answer",
        ),
        (vec!["--url", "moon"], 2, "is no address"),
        (vec![], 1, "no running tapedeck was found"),
    ] {
        let out = output(home.path(), &arguments);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(
            said.contains(part) && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
        assert!(out.stdout.is_empty() && !said.contains(wrong), "{said}");
    }
}

#[test]
fn messages_come_in_batches_as_in_the_revision_that_has_them() {
    let tap = opened();
    let headers = format!("{HEADERS}{}", tap.bearer());
    let send = |headers: &str, batch: &Json| {
        let (status, _, body) = exchange(&tap, "POST /mcp", headers, &batch.to_string());
        let answer: Json = serde_json::from_str(&body).unwrap_or_default();
        (status, answer)
    };
    let noted = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let ping = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let items = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": "items", "arguments": {"q": null}}});
    let hello = request("initialize", &json!({}));
    let (status, answers) = send(&headers, &json!([noted, ping(1), items, 7, hello, ping(3)]));
    assert_eq!(status, 200, "{answers}");
    let ids: Vec<&Json> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(
        ids,
        [&json!(1), &json!(2), &Json::Null, &json!(7), &json!(3)]
    );
    assert_eq!(answers[1]["result"]["isError"], false, "{answers}");
    assert_eq!(answers[2]["error"]["code"], -32600);
    assert!(
        answers[3]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("stands alone")
    );
    assert_eq!(send(&headers, &json!([noted, noted])).0, 202);
    let many = vec![ping(1); 33];
    assert_eq!(send(&headers, &json!(many)).0, 400);
    let newer = format!("{headers}MCP-Protocol-Version: 2025-06-18\r\n");
    assert_eq!(send(&newer, &json!([ping(1)])).0, 400);
}

#[test]
fn what_is_needed_is_asked_for_and_null_is_left_out() {
    let tap = opened();
    let token = tap.token.as_str();
    let rows = told(&tap, token, "items", &json!({"q": null, "limit": null}))["rows"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    for (tool, arguments) in [
        ("recording_remove", json!({})),
        ("recording_remove", json!({"name": null})),
        ("archive_days", json!({})),
    ] {
        let answer = call(&tap, token, tool, &arguments);
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(said.contains("needs the argument"), "{said}");
    }
    for (tool, arguments, wanted) in [
        (
            "recording_remove",
            json!({"name": ""}),
            "name the recording",
        ),
        ("archive_days", json!({"store": ""}), "name the store"),
    ] {
        let said = refused(&tap, token, tool, &arguments);
        assert!(said.contains(wanted), "{said}");
    }
}

/// Answers every request with a page of some other program.
fn some_other_program() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let page = format!("<html><body>{}</body></html>", "moon ".repeat(10_000));
            let _ = write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
        }
    });
    format!("http://{address}")
}

#[test]
fn another_program_is_called_one_and_not_quoted() {
    let home = tempfile::tempdir().unwrap();
    let base = some_other_program();
    let out = output(home.path(), &["--url", &base, "--token", "t"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        said.contains("is no tapedeck") && said.contains("404"),
        "{said}"
    );
    assert!(said.len() < 400 && !said.contains("moon"), "{said}");
}

#[test]
fn tools_and_the_block_for_a_client_are_printed_without_asking_anybody() {
    let home = tempfile::tempdir().unwrap();
    let table = output(home.path(), &["--list-tools"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.starts_with("NAME "), "{table}");
    let line = table
        .lines()
        .find(|line| line.starts_with("recording_remove"));
    assert!(
        line.unwrap().contains("operate, --allow-destructive"),
        "{table}"
    );
    let list = output(home.path(), &["--list-tools", "--format", "json"]);
    let list: Json = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len() + 1, table.lines().count());

    let url = "https://tapedeck.example.org/?token=secret-0123456789";
    let out = output(
        home.path(),
        &["--mcp-config", "--url", url, "--allow-destructive"],
    );
    let block: Json = serde_json::from_slice(&out.stdout).unwrap();
    let server = &block["mcpServers"]["tapedeck"];
    let wanted = json!([
        "mcp",
        "--url",
        "https://tapedeck.example.org",
        "--allow-destructive"
    ]);
    assert_eq!(server["args"], wanted);
    assert_eq!(server["env"]["TAPEDECK_TOKEN"], "secret-0123456789");
    let out = output(
        home.path(),
        &["--mcp-config", "-s", "ops", "--context", "production"],
    );
    let block: Json = serde_json::from_slice(&out.stdout).unwrap();
    let server = &block["mcpServers"]["tapedeck"];
    let wanted = json!([
        "mcp",
        "--release-namespace",
        "ops",
        "--context",
        "production"
    ]);
    assert_eq!(server["args"], wanted);
    assert!(server["env"].is_null(), "{server}");
}

/// What the official SDK was told, for each handshake; nothing where it is not installed.
fn by_sdk(arguments: &[&str], home: &Path) -> Option<Vec<Json>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp/client.py");
    let ran = python().map(|python| {
        let mut command = Command::new(python);
        command.arg(script).args(arguments).env("HOME", home);
        command.output().unwrap()
    });
    let is_missing =
        |ran: &Output| String::from_utf8_lossy(&ran.stderr).contains("ModuleNotFoundError");
    let Some(ran) = ran.filter(|ran| !is_missing(ran)) else {
        println!("skipped: the MCP SDK is not installed; run tools/test-deps.sh");
        return None;
    };
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let lines = String::from_utf8_lossy(&ran.stdout).into_owned();
    Some(
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

fn assert_told(sessions: &[Json], tap: &Tap) {
    let rows = &tap.json("/items?q=http%20and%20response.status%20%3E%3D%20500")["rows"];
    assert_eq!(sessions.len(), 2);
    for session in sessions {
        assert_eq!(session["server"], "tapedeck", "{session:#}");
        assert!(
            session["instructions"]
                .as_str()
                .unwrap()
                .contains("never an instruction")
        );
        assert_eq!(&session["rows"], rows);
        assert_eq!(session["rows"], session["text"]);
        assert!(session["help"].as_str().unwrap().contains("KFL"));
        assert_eq!(session["refused"][0], true);
        assert!(
            session["unknown"]
                .as_str()
                .unwrap()
                .contains("there is no tool moon"),
            "{session}"
        );
        assert!(session["tools"].as_array().unwrap().len() > 20);
    }
    let versions: Vec<&str> = sessions
        .iter()
        .map(|one| one["version"].as_str().unwrap())
        .collect();
    // The handshake, and the revision without one.
    assert!(
        versions[0] < "2026-07-28" && versions[1] == "2026-07-28",
        "{versions:?}"
    );
}

#[test]
fn the_official_sdk_asks_over_http_and_standard_streams() {
    let tap = opened();
    let url = format!("http://{}/mcp", tap.address);
    let Some(sessions) = by_sdk(&["http", &url, &tap.token], tap.data()) else {
        return;
    };
    assert_told(&sessions, &tap);
    assert_ne!(sessions[0]["tools"], sessions[0]["readOnly"]);
    let program = env!("CARGO_BIN_EXE_tapedeck");
    let base = format!("http://{}", tap.address);
    let arguments = [
        "stdio", program, "mcp", "--url", &base, "--token", &tap.token,
    ];
    let sessions = by_sdk(&arguments, tap.data()).unwrap();
    assert_told(&sessions, &tap);
    assert_eq!(sessions[0]["tools"], sessions[0]["readOnly"]);
}

/// A live run that is acted on: recordings, scripts and their jobs.
#[cfg(all(feature = "live", target_os = "linux"))]
#[test]
fn tools_that_act_do_so_in_a_live_run() {
    if !crate::road::may_capture() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    std::fs::create_dir(at("scripts")).unwrap();
    let script =
        "// Tells\njobs.schedule('tell', '0 0 0 1 1 *', function () { console.log('told') });\n";
    std::fs::write(at("scripts/tells.js"), script).unwrap();
    let source = format!("scripting.source={}", at("scripts").display());
    let arguments = ["-i", "lo", "--bpf", "tcp port 9", "--set", &source];
    let (mut child, address, token) = crate::dashboard::start_live(home.path(), &arguments, &[]);
    let base = format!("http://{address}");
    let flags = ["--url", &base, "--token", &token, "--allow-destructive"];
    let mut session = Session::start(command(home.path(), &flags));
    let mut told = |tool: &str, arguments: Json| -> Json {
        let answer = session.call(tool, &arguments);
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert_eq!(answer["result"]["isError"], false, "{tool}: {text}");
        serde_json::from_str(text).unwrap()
    };
    let until = Instant::now() + Duration::from_secs(30);
    let path = loop {
        if let Some(script) = told("scripts", json!({})).get(0) {
            break script["path"].clone();
        }
        assert!(Instant::now() < until, "the script did not come");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(told("job_run", json!({"tag": "tell"})), json!({"ok": true}));
    loop {
        let console = told("script_console", json!({}));
        let lines = console["lines"].as_array().unwrap();
        let mut texts = lines.iter().filter_map(|line| line["text"].as_str());
        if texts.any(|text| text.ends_with("told")) {
            break;
        }
        assert!(Instant::now() < until, "{console}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(
        told("script_switch", json!({"path": path, "on": false})),
        json!({"ok": true})
    );
    let declared = json!({
        "name": "errors", "kfl": "http and response.status >= 500", "duration": "2h",
        "destination": at("reels").display().to_string(),
    });
    assert_eq!(told("recording_add", declared)["name"], "errors");
    let names = |list: &Json| {
        let all = list.as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let there = told("recordings", json!({}));
    assert!(names(&there).contains(&"errors".to_owned()), "{there}");
    assert_eq!(told("recording_seal", json!({"name": "errors"})), json!(0));
    assert_eq!(
        told("recording_remove", json!({"name": "errors"}))["removed"],
        "errors"
    );
    let audit = told("audit", json!({}));
    let paths = audit["entries"].as_array().unwrap().iter();
    let paths: Vec<&str> = paths.map(|entry| entry["path"].as_str().unwrap()).collect();
    for path in [
        "/recordings/add",
        "/recordings/remove",
        "/scripts/switch",
        "/jobs/run",
    ] {
        assert!(paths.contains(&path), "{paths:?}");
    }
    let gone = session.call("recording_remove", &json!({"name": "moon"}));
    assert_eq!(gone["result"]["isError"], true, "{gone}");
    let _ = child.kill();
    let _ = child.wait();
}
