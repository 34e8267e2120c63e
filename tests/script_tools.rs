//! Writing scripts: `scripts new`, `scripts check`, `run --watch`, `run --dry-run`, `test`, and the shipped
//! scripts with the tests beside them.
//!
//! Each case runs the built binary in a folder and a home of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value as Json;
use tapedeck::synth;

/// Long enough for a loaded machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a command answered.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn objects(&self) -> Vec<Json> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A folder to work in, which is the home too.
struct Place(tempfile::TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(place.path(name), text).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
        command.args(args).current_dir(self.0.path());
        command.env("HOME", self.0.path()).stdin(Stdio::null());
        for name in ["SUDO_UID", "SUDO_GID", "RUST_LOG"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    path.display().to_string()
}

fn demo() -> String {
    repository("examples/demo.pcap")
}

#[test]
fn a_new_script_passes_its_check_and_runs() {
    let place = Place::new(&[]);
    let new = ["scripts", "new", "slow_orders", "--dir", "scripts"];
    let said = place.run(&new);
    assert_eq!(
        (said.code, said.out.trim()),
        (Some(0), "scripts/slow_orders.js"),
        "{said:?}"
    );
    let types = fs::read_to_string(place.path("scripts/tapedeck.d.ts")).unwrap();
    let committed = fs::read_to_string(repository("docs/reference/tapedeck.d.ts")).unwrap();
    assert_eq!(types, committed);
    let editor = fs::read(place.path("scripts/jsconfig.json")).unwrap();
    serde_json::from_slice::<Json>(&editor).unwrap();

    let said = place.run(&["scripts", "check", "scripts"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{said:?}");
    let said = place.run(&["run", "scripts/slow_orders.js", "--pcap", &demo()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("Scheduled the job: \"slow-orders\""),
        "{said:?}"
    );

    let again = place.run(&new);
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(again.err.contains("is there already"), "{again:?}");
    let bad = place.run(&["scripts", "new", "../up"]);
    assert_eq!(bad.code, Some(2), "{bad:?}");
}

#[test]
fn commands_that_ask_no_cluster_have_no_flags_of_one() {
    let place = Place::new(&[("fine.js", "console.log(1)")]);
    for command in [["scripts", "new", "other"], ["scripts", "check", "fine.js"]] {
        let help = place.run(&[&command[..], &["--help"]].concat()).out;
        for flag in [
            "--context",
            "--kubeconfig",
            "--release-n",
            "--proxy-",
            "In a cluster",
        ] {
            assert!(!help.contains(flag), "{flag}: {help}");
        }
        let said = place.run(&[&command[..], &["--context", "a"]].concat());
        let expected = format!(
            "scripts {} asks no cluster; leave --context out",
            command[1]
        );
        assert!(
            said.code == Some(2) && said.err.contains(&expected),
            "{said:?}"
        );
    }
    let help = place.run(&["scripts", "list", "--help"]).out;
    assert!(help.contains("--context"), "{help}");
}

#[test]
fn a_word_that_a_setting_does_not_know_is_told_with_those_that_it_knows() {
    let place = Place::new(&[("fine.js", "console.log(1)")]);
    for (key, sentence) in [
        (
            "scripting.hub",
            "scripting.hub must be aware, all or none, not \"nonsense\"",
        ),
        (
            "scripting.dates",
            "scripting.dates must be standard or otto, not \"nonsense\"",
        ),
        (
            "scripting.elapsedTime",
            "scripting.elapsedTime must be ms or us, not \"nonsense\"",
        ),
        (
            "scripting.recorder",
            "scripting.recorder must be native, script or both, not \"nonsense\"",
        ),
    ] {
        let set = format!("{key}=nonsense");
        let said = place.run(&["run", "fine.js", "--pcap", &demo(), "--set", &set]);
        assert!(
            said.code == Some(2) && said.err.contains(sentence),
            "{said:?}"
        );
    }
}

#[test]
fn check_names_file_line_column_and_text() {
    let wrong = "file.wrote('x');\n  kfl.match('http and', {});\njobs.schedule('a', '* * *', f);\nfunction f() {}\n";
    let place = Place::new(&[
        ("wrong.js", wrong),
        ("broken.js", "var a = ;"),
        ("warned.js", "jobs.list(1)"),
    ]);
    let said = place.run(&["scripts", "check", "wrong.js"]);
    let expected = "\
wrong.js:1:6: error: there is no file.wrote, did you mean file.write?
    file.wrote('x');
wrong.js:2:13: error: the query is invalid, 1:9: unexpected token \"<EOF>\" (expected a value)
    kfl.match('http and', {});
wrong.js:3:20: error: the cron \"* * *\" has 3 fields, write six: second minute hour day-of-month month day-of-week
    jobs.schedule('a', '* * *', f);
";
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(1), expected),
        "{said:?}"
    );
    assert_eq!(said.err, "1 scripts checked, 3 errors, 0 warnings\n");

    let said = place.run(&["scripts", "check", ".", "--format", "json"]);
    let found = said.objects();
    assert_eq!((said.code, found.len()), (Some(1), 5), "{said:?}");
    let syntax = &found[0];
    assert_eq!(
        (
            &syntax["file"],
            &syntax["rule"],
            &syntax["line"],
            &syntax["text"]
        ),
        (
            &"./broken.js".into(),
            &"syntax".into(),
            &1.into(),
            &"var a = ;".into()
        )
    );

    let said = place.run(&["scripts", "check", "warned.js"]);
    assert_eq!(said.code, Some(0), "warnings are no failure: {said:?}");
    assert!(
        said.out
            .contains("warned.js:1:6: warning: jobs.list takes no argument"),
        "{said:?}"
    );
}

#[test]
fn scripts_that_exhaust_a_reader_are_a_finding() {
    let deep = "[".repeat(300_000);
    let long = format!("{}1", "1+".repeat(200_000));
    let place = Place::new(&[
        ("deep.js", &deep),
        ("long.js", &long),
        ("right.js", "console.log(1)"),
    ]);
    let said = place.run(&["scripts", "check", "deep.js", "long.js", "right.js"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(
        said.out
            .contains("deep.js: error: it cannot be read: it is nested too deeply"),
        "{said:?}"
    );
    assert!(said.err.contains("3 scripts checked"), "{said:?}");
}

#[test]
fn shipped_scripts_pass_their_check_and_their_tests() {
    let place = Place::new(&[]);
    let folder = repository("scripts");
    let said = place.run(&["scripts", "check", &folder]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{said:?}");

    let said = place.run(&["test", &folder, "--pcap", &demo(), "--format", "json"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let tested: BTreeSet<String> = said
        .objects()
        .iter()
        .map(|outcome| {
            assert_eq!(outcome["passed"], true, "{outcome}");
            outcome["file"].as_str().unwrap().replace(".test.js", ".js")
        })
        .collect();
    for entry in fs::read_dir(&folder).unwrap() {
        let script = entry.unwrap().path().display().to_string();
        if script.ends_with(".js") && !script.ends_with(".test.js") {
            assert!(tested.contains(&script), "{script} has no test beside it");
        }
    }
}

#[test]
fn a_failing_test_names_its_line_and_gives_exit_code_one() {
    let script = "function onItemCaptured(data) { console.log(data.request.path) }";
    let test = "\
// @env A=1
it('passes', function () { expect(result.console).toHaveLine('/orders/2') });
it('fails', function () {
  expect(result.items).toBe(3);
  expect(result.console).not.toContain('/orders/0');
});
it('throws', function () { nothing() });
";
    let place = Place::new(&[
        ("a.js", script),
        ("a.test.js", test),
        ("b.test.js", "it()"),
        ("d.js", "function onItemCaptured(data) { for (;;) {} }"),
        (
            "d.test.js",
            "it('waits and fails', async function () { await null; expect(1).toBe(2) });
it('waits', async function () { await null });
it('waits for ever', function () { return new Promise(function () {}) });
it('stopped', function () { expect(result.errors).toHaveLine('onItemCaptured') });",
        ),
        ("c.js", "function ("),
        ("c.test.js", "var x = ;"),
    ]);
    fs::write(place.path("c.pcap"), http(3)).unwrap();
    let said = place.run(&["test", "a.test.js", "--pcap", "c.pcap"]);
    let expected = "\
a.test.js
  ok      passes
  FAILED  fails
          expected [\"/orders/0\", \"/orders/1\", \"/orders/2\"] not to contain \"/orders/0\"
          at a.test.js:5:39: expect(result.console).not.toContain('/orders/0');
  FAILED  throws
          nothing is not defined
          at a.test.js:7:26: it('throws', function () { nothing() });
";
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(1), expected),
        "{said:?}"
    );
    assert_eq!(
        said.err.lines().last(),
        Some("1 passed, 2 failed in 1 files"),
        "{said:?}"
    );

    let said = place.run(&["test", ".", "--pcap", "c.pcap", "--format", "json"]);
    let found = said.objects();
    let of = |file: &str| found.iter().find(|one| one["file"] == file).unwrap();
    assert_eq!(said.code, Some(1));
    assert!(
        of("./b.test.js")["message"]
            .as_str()
            .unwrap()
            .contains("b.js is not there")
    );
    assert!(
        of("./c.test.js")["message"]
            .as_str()
            .unwrap()
            .contains("c.test.js:1:"),
        "{said:?}"
    );
    let of_d = |test: &str| {
        let is_it = |one: &&Json| one["file"] == "./d.test.js" && one["test"] == test;
        found.iter().find(is_it).unwrap()
    };
    assert_eq!(of_d("waits and fails")["message"], "expected 1 to be 2");
    assert_eq!(of_d("waits and fails")["line"], 1);
    assert_eq!(of_d("waits")["passed"], true);
    assert_eq!(of_d("waits for ever")["passed"], false);
    assert_eq!(of_d("stopped")["passed"], true, "{said:?}");
    assert_eq!(
        place.run(&["test", "a.js", "--pcap", "c.pcap"]).code,
        Some(2),
        "no test"
    );
    assert_eq!(
        place.run(&["test", "a.test.js"]).code,
        Some(1),
        "no capture"
    );
}

#[test]
fn a_dry_run_tells_what_would_be_sent_and_connects_to_nobody() {
    let script = "
file.write('report.json', JSON.stringify({count: 7}));
var url = vendor.s3.put('my-bucket', 'report.json', 'eu-central-1', 'AKIAEXAMPLE', 'very-secret');
console.log('it would be at ' + url);
vendor.s3.clear('eu-central-1', 'AKIAEXAMPLE', 'very-secret', 'my-bucket');
recording.set({name: 'all', kfl: 'true', destination: 's3://my-bucket/'});
console.log('pods: ' + vendor.webhook('GET', 'http://kubeshark-hub/pods/targeted', ''));
vendor.slack('https://hooks.slack.com/services/T/B/very-secret', 'a', 'b', 'red');
try { prometheus.metric('no name', 'd', 2, 1) } catch (e) { console.log('bad metric: ' + e) }
";
    let place = Place::new(&[("a.js", script)]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let endpoint = format!("s3.endpoint=http://{}", listener.local_addr().unwrap());
    let args = [
        "run",
        "a.js",
        "--pcap",
        &demo(),
        "--dry-run",
        "--set",
        &endpoint,
    ];
    let said = place.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in [
        "Dry run: vendor.s3.put would upload ",
        "/report.json (11 bytes) to my-bucket",
        "it would be at https://my-bucket.s3.eu-central-1.amazonaws.com/",
        "Dry run: vendor.s3.clear would send {\"region\":\"eu-central-1\",\"bucket\":\"my-bucket\"}",
        "pods: {\"targets\":",
        "Dry run: vendor.slack would send {\"url\":\"https://hooks.slack.com/***\"",
        "bad metric: ",
    ] {
        assert!(said.out.contains(part), "{part} is not in {said:?}");
    }
    assert!(!format!("{said:?}").contains("very-secret"), "{said:?}");
    let connection = listener.accept();
    assert!(matches!(connection, Err(error) if error.kind() == ErrorKind::WouldBlock));
    let both = ["run", "a.js", "--pcap", "x", "--dry-run", "--data", "d"];
    assert_eq!(place.run(&both).code, Some(2));
}

#[test]
fn a_script_that_was_stopped_is_named_and_fails_the_run() {
    for (code, hook) in [
        (
            "function onItemCaptured() { for (;;) {} }",
            "onItemCaptured",
        ),
        ("setTimeout(function () { for (;;) {} }, 1)", "timer"),
        (
            "jobs.schedule('j', '@hourly', function () { for (;;) {} })",
            "job",
        ),
    ] {
        let place = Place::new(&[("a.js", code), ("b.js", "console.log('here')")]);
        let said = place.run(&[
            "run",
            "a.js",
            "b.js",
            "--run-jobs-at-end",
            "--pcap",
            &demo(),
        ]);
        assert_eq!(said.code, Some(1), "{code}: {said:?}");
        assert!(
            said.err.contains("a.js was stopped: ") && said.err.contains(hook),
            "{said:?}"
        );
        assert!(said.out.contains("here"), "{said:?}");
    }
}

/// A run that goes on, ended when dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn wait_for(&self, part: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{part} did not come"));
            if line.contains(part) {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watched_script_runs_again_when_it_is_saved() {
    let version = |name: &str| format!("console.log('this is {name}')");
    let place = Place::new(&[("a.js", &version("one"))]);
    let mut command = place.command(&["run", "a.js", "--pcap", &demo(), "--watch"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (sender, lines) = channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut running = Running { child, lines };
    running.wait_for("this is one");
    fs::write(place.path("a.js"), version("two")).unwrap();
    running.wait_for("this is two");
    // A version that is broken ends nothing.
    fs::write(place.path("a.js"), "function (").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    fs::write(place.path("a.js"), version("three")).unwrap();
    running.wait_for("this is three");
    let pid = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(0));

    let stdin = place.run(&["run", "a.js", "--pcap", "-", "--watch"]);
    assert_eq!(stdin.code, Some(2), "{stdin:?}");
}

#[test]
fn names_of_early_releases_lead_to_the_members_of_large_items() {
    let script = "function onItemCaptured(data) {
        if (data.Protocol.Name !== 'http') return;
        console.log(data.Request.Method, data.Response.Status, data.Request.Headers === data.request.headers)
    }";
    let place = Place::new(&[("a.js", script)]);
    let said = place.run(&["run", "a.js", "--pcap", &demo()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("GET 200 true"), "{said:?}");
    assert!(!said.out.contains("undefined"), "{said:?}");
}

/// A savefile with so many HTTP requests.
fn http(requests: usize) -> Vec<u8> {
    let mut talk = synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80));
    for number in 0..requests {
        talk = talk
            .to_server(format!(
                "GET /orders/{number} HTTP/1.1\r\nHost: shop\r\n\r\n"
            ))
            .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    synth::savefile(&talk.fin())
}

/// A query for the TXT record of a name (RFC 1035 section 4.1).
fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 16, 0, 1]);
    message
}

#[test]
fn the_shipped_tunnel_detector_finds_a_tunnel() {
    let test = "\
it('names client and domain once', function () {
  expect(result.errors).toHaveLength(1);
  expect(result.errors[0]).toMatch('10.0.0.1 asked for 20 long names below tunnel.example');
});
";
    let script = fs::read_to_string(repository("scripts/dns_tunnels.js")).unwrap();
    let place = Place::new(&[("dns_tunnels.js", &script), ("dns_tunnels.test.js", test)]);
    let mut talk = synth::udp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 53));
    for number in 0..30_u16 {
        let data = "0123456789abcdef".repeat(3);
        talk = talk.to_server(query(number, &format!("{data}{number:04x}.tunnel.example")));
    }
    fs::write(place.path("tunnel.pcap"), synth::savefile(&talk.end())).unwrap();
    let said = place.run(&["test", ".", "--pcap", "tunnel.pcap"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}
