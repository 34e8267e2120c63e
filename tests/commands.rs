//! The program as people call it: exit codes, one sentence on stderr, data on stdout.
//!
//! Each case runs the built binary in a folder and a home of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tapedeck::synth;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tapedeck");

/// A program that ends with the value.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a command answered.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A folder to work in, which is the home too.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> &Place {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.0.path())
            .env("HOME", self.0.path());
        for name in ["SUDO_UID", "SUDO_GID", "RUST_LOG"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        let mut command = self.command(PROGRAM);
        command.args(args);
        said(command)
    }

    fn left_behind(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }
}

pub fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Said {
    /// Nothing on stdout, and one sentence with all of `words`.
    #[track_caller]
    pub fn refuses(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(!self.err.trim_end().ends_with('.'), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {self:?}");
        }
    }

    /// So many lines on stdout, nothing on stderr.
    #[track_caller]
    fn prints(&self, lines: usize) {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.err, "", "{self:?}");
        assert_eq!(self.out.lines().count(), lines, "{self:?}");
    }
}

/// A savefile with so many HTTP requests.
pub fn capture(requests: usize) -> Vec<u8> {
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Paths and contents of an archive.
type Entries<'a> = &'a [(&'a str, &'a [u8])];

fn tar_gz(entries: Entries<'_>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    gzip(&builder.into_inner().unwrap())
}

fn pcapng() -> Vec<u8> {
    use tapedeck::packet::LinkType;
    use tapedeck::packet::savefile::pcapng::write;
    let frames = synth::udp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 53))
        .to_server(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04shop\x04test\0\0\x01\0\x01")
        .to_client(b"\x12\x34\x81\x83\0\x01\0\0\0\0\0\0\x04shop\x04test\0\0\x01\0\x01")
        .end();
    let mut file = Vec::new();
    write::section(&mut file, &write::Section::default());
    let interface = write::Interface {
        name: "eth0",
        ..write::Interface::of(LinkType::ETHERNET)
    };
    write::interface(&mut file, &interface);
    write::names(&mut file, [([10, 0, 0, 2].into(), "dns.kube-system")]);
    for frame in &frames {
        write::packet(&mut file, 0, frame.ts, frame.len, &frame.bytes);
    }
    file
}

#[test]
fn what_is_no_capture_is_refused_in_one_sentence() {
    let place = Place::new();
    place
        .write("empty.pcap", b"")
        .write("notes.txt", b"hello\n");
    std::fs::create_dir(place.path("folder")).unwrap();
    let query = |name: &str| place.run(&["query", name]);
    query("empty.pcap").refuses(1, &["empty.pcap", "it is empty"]);
    query("notes.txt").refuses(1, &["notes.txt", "it begins like text"]);
    query("folder").refuses(1, &["folder", "holds no capture", "the folder is empty"]);
    query("none.pcap").refuses(1, &["none.pcap", "no such file"]);
    query("ftp://host/a.pcap").refuses(2, &["ftp://", "s3://BUCKET/PREFIX"]);
}

#[test]
fn a_capture_that_is_cut_off_gives_what_it_holds_and_exit_code_3() {
    let place = Place::new();
    let mut bytes = capture(10);
    bytes.truncate(bytes.len() - 7);
    place.write("cut.pcap", &bytes);
    let query = place.run(&["query", "cut.pcap"]);
    assert_eq!(query.code, Some(3), "{query:?}");
    assert_eq!(query.out.lines().count(), 10, "{query:?}");
    assert_eq!(query.err.lines().count(), 1, "{query:?}");
    assert!(query.err.contains("cut.pcap: it is cut off"), "{query:?}");
    assert!(query.err.contains("at offset "), "{query:?}");
}

#[test]
fn compressed_captures_and_standard_input_are_read() {
    let place = Place::new();
    place.write("a.pcap.gz", &gzip(&capture(3)));
    place.run(&["query", "a.pcap.gz"]).prints(3);
    place.write("b.pcapng.zst", &zstd::encode_all(&pcapng()[..], 1).unwrap());
    let named = place.run(&["query", "b.pcapng.zst"]);
    named.prints(1);
    // The file itself names the server.
    assert!(named.out.contains("-> dns.kube-system:53"), "{named:?}");

    let mut command = place.command(PROGRAM);
    command
        .args(["query", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&capture(4)).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        output.stdout.iter().filter(|byte| **byte == b'\n').count(),
        4
    );
}

#[test]
fn archives_of_all_layouts_are_read_with_their_names() {
    let history =
        br#"{"1700000000":{"10.0.0.2":{"FullAddress":"orders.shop","Namespace":"shop"}}}"#;
    let (pcap, place) = (capture(2), Place::new());
    let node = "node-a_10.1.2.3/name_resolution_history.json";
    let layouts: [(&str, Entries<'_>, &str); 3] = [
        (
            "a",
            &[("node-a_10.1.2.3/1706933106.pcap", &pcap), (node, history)],
            "-> orders:80",
        ),
        (
            "b",
            &[
                ("name_resolution_history.json", history),
                ("tap.pcap", &pcap),
            ],
            "-> orders:80",
        ),
        (
            "c",
            &[("r/000000000001.pcap", &pcap), ("r/items.json", b"[]")],
            "-> 10.0.0.2:80",
        ),
    ];
    for (layout, entries, server) in layouts {
        let name = format!("{layout}.tar.gz");
        place.write(&name, &tar_gz(entries));
        let query = place.run(&["query", &name]);
        query.prints(2);
        assert!(query.out.contains(server), "{layout}: {query:?}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let place = Place::new();
    place.write("a.pcap", &capture(1000));
    for args in [
        &["query", "a.pcap", "--format", "json"][..],
        &["completion", "bash"],
    ] {
        let mut command = place.command(PROGRAM);
        command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(!line.is_empty());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let place = Place::new();
    place.write("a.pcap", &capture(3));
    for args in [&["query", "a.pcap"][..], &["config"]] {
        let mut command = place.command(PROGRAM);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        command.args(args).stdout(full.unwrap());
        said(command).refuses(1, &["the output cannot be written"]);
    }
}

#[test]
fn queries_and_settings_that_are_wrong_are_wrong_usage() {
    let place = Place::new();
    let checked = place.run(&["kfl", "check", "http and response.status == 500"]);
    checked.prints(1);
    assert!(checked.out.starts_with("valid"));
    let checked = place.run(&["kfl", "check", "http and ("]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    // The sentence, the query, and a caret below the place.
    assert_eq!(checked.err.lines().count(), 3, "{checked:?}");
    place
        .run(&["config", "--set", "tap.debgu=1"])
        .refuses(2, &["tap.debgu", "tap.debug"]);
    let lenient = place.run(&["config", "--set", "tap.debgu=1", "--set-lenient"]);
    assert_eq!(lenient.code, Some(0), "{lenient:?}");
    assert!(lenient.err.contains("tap.debgu"), "{lenient:?}");
    assert_eq!(place.run(&["query"]).code, Some(2));
    assert_eq!(place.run(&["no-such-command"]).code, Some(2));
    assert_eq!(place.run(&["--help"]).code, Some(0));
}

#[test]
fn the_configuration_is_printed_and_explained() {
    let place = Place::new();
    place.write(".tapedeck/config.yaml", b"tap:\n  storageLimit: 7Gi\n");
    let config = place.run(&["config"]);
    assert_eq!(config.code, Some(0), "{config:?}");
    assert!(config.out.contains("storageLimit: 7Gi"), "{config:?}");
    let explained = place.run(&["config", "--explain", "--set", "tap.debug=true"]);
    assert_eq!(explained.code, Some(0), "{explained:?}");
    assert!(explained.err.starts_with("read from /"), "{explained:?}");
    for line in [
        "tap.storageLimit = \"7Gi\"  (file)",
        "tap.debug = true  (--set)",
    ] {
        assert!(explained.out.contains(line), "{line}: {explained:?}");
    }
    let completion = place.run(&["completion", "bash"]);
    assert_eq!(completion.code, Some(0));
    assert!(
        completion.out.contains("complete -F _tapedeck"),
        "{completion:?}"
    );
}

#[test]
fn a_script_runs_over_a_recorded_source() {
    let place = Place::new();
    place.write("a.pcap", &capture(5));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/count_statuses.js");
    let run = place.run(&["run", script, "--pcap", "a.pcap", "--run-jobs-at-end"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.out.contains("Statuses of the last minute: 200: 5"),
        "{run:?}"
    );
    assert!(run.err.contains("5 items in 1 streams"), "{run:?}");
    assert_eq!(place.left_behind(), ["a.pcap"]);
    let mut cut = capture(5);
    cut.truncate(cut.len() - 7);
    place.write("cut.pcap", &cut);
    let run = place.run(&["run", script, "--pcap", "cut.pcap"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.err.contains("cut.pcap: it is cut off"), "{run:?}");
    let missing = place.run(&["run", "none.js", "--pcap", "a.pcap"]);
    missing.refuses(2, &["none.js is not there"]);
}

#[test]
fn what_was_recorded_is_found_by_its_recording() {
    let place = Place::new();
    let demo = place.run(&[
        "demo",
        "--replay",
        "--record-only",
        "--headless",
        "--dir",
        "d",
    ]);
    assert_eq!(demo.code, Some(0), "{demo:?}");
    let reels = "d/reels-of-the-demo";
    let all = place.run(&["query", reels]).out.lines().count();
    assert!(all > 0);
    place
        .run(&["query", reels, "--kfl", "record(\"recording\")"])
        .prints(all);
    place
        .run(&["query", reels, "--kfl", "record(\"other\")"])
        .prints(0);
}

#[cfg(all(feature = "live", target_os = "linux"))]
mod live {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn is_root() -> bool {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root {
            println!("skipped: becoming another user needs root");
        }
        is_root
    }

    /// `command` line as the user `nobody` of Debian and Ubuntu; `None` without the tool for it.
    fn as_nobody(place: &Place, program: &Path, args: &[&str]) -> Option<Said> {
        if Command::new("setpriv").arg("--version").output().is_err() {
            println!("skipped: setpriv is not installed");
            return None;
        }
        let mut command = place.command("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(["--inh-caps=-all", "--"])
            .arg(program)
            .args(args);
        Some(said(command))
    }

    /// A place that everybody may write to, with a copy of the program that everybody may run.
    fn open_place() -> (Place, PathBuf) {
        let place = Place::new();
        let program = place.path("tapedeck");
        std::fs::copy(PROGRAM, &program).unwrap();
        for (path, mode) in [(place.0.path(), 0o777), (&*program, 0o755)] {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        (place, program)
    }

    #[test]
    fn an_unknown_interface_is_wrong_usage() {
        let place = Place::new();
        let tap = place.run(&["tap", "-i", "nosuch0", "--headless"]);
        if is_root() {
            tap.refuses(2, &["there is no interface nosuch0", "lo"]);
        }
        assert_eq!(place.left_behind(), [""; 0]);
        let list = place.run(&["tap", "-D"]);
        assert_eq!(list.code, Some(0), "{list:?}");
        assert!(list.out.contains(".lo ["), "{list:?}");
    }

    #[test]
    fn without_the_right_to_capture_the_command_to_get_it_is_named() {
        if !is_root() {
            return;
        }
        let (place, program) = open_place();
        let Some(tap) = as_nobody(&place, &program, &["tap", "-i", "lo", "--headless"]) else {
            return;
        };
        let command = format!("`sudo setcap cap_net_raw+ep {}`", program.display());
        tap.refuses(2, &[&command]);
        assert_eq!(place.left_behind(), ["tapedeck"]);
    }

    #[test]
    fn a_file_that_may_not_be_read_is_told_so() {
        if !is_root() {
            return;
        }
        let (place, program) = open_place();
        place.write("secret.pcap", &capture(1));
        let secret = place.path("secret.pcap");
        std::fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
        if let Some(query) = as_nobody(&place, &program, &["query", "secret.pcap"]) {
            query.refuses(2, &["secret.pcap", "no right to read it"]);
        }
    }

    /// The home is that of the user who called sudo, and so are the rights: the first user of the
    /// system may not write to its own home.
    #[test]
    fn under_sudo_home_and_rights_are_the_callers() {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let daemon = passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_daemon = fields.first() == Some(&"daemon") && fields.get(2) == Some(&"1");
            is_daemon.then(|| fields.get(5).map(|home| (*home).to_owned()))?
        });
        let (Some(home), true) = (daemon, is_root()) else {
            println!("skipped: there is no user daemon");
            return;
        };
        let (place, program) = open_place();
        let mut command = place.command(&program);
        command
            .args(["tap", "-i", "lo", "--headless"])
            .envs([("SUDO_UID", "1"), ("SUDO_GID", "1")]);
        let tap = said(command);
        if tap.err.contains("no right to capture") {
            println!("skipped: capturing needs CAP_NET_RAW");
            return;
        }
        tap.refuses(2, &[&format!("{home}/.tapedeck/data"), "Permission denied"]);
        assert_eq!(place.left_behind(), ["tapedeck"]);
    }
}

#[test]
fn kfl_tells_what_queries_are_and_do() {
    let place = Place::new();
    let json = |args: &[&str]| -> serde_json::Value {
        let said = place.run(&[&["kfl"], args, &["--format", "json"]].concat());
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    };
    let checked = json(&["check", "http and response.staus == 500"]);
    assert_eq!(
        (checked["valid"] == true, checked["dialect"] == "v1"),
        (true, true)
    );
    let warning = checked["warnings"][0]["message"].as_str().unwrap();
    assert!(
        warning.contains("did you mean response.status"),
        "{warning}"
    );
    let explained = json(&["explain", "dst.port == 443 && status_code >= 500"]);
    assert_eq!(explained["headers"], "port 443 and tcp");
    assert!(
        explained["columns"]
            .as_str()
            .unwrap()
            .contains("response.status >= 500")
    );
    let converted = json(&["convert", "response.status == r\"^5\""]);
    assert_eq!(converted["query"], "string(status_code).matches(\"^5\")");
    let refused = place.run(&["kfl", "convert", "http and limit(5)"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    assert!(
        refused.err.contains("limit() steers the stream"),
        "{refused:?}"
    );
    let found = json(&["complete", "http && status_c"]);
    assert_eq!(
        (&found["from"], &found["proposals"][0]["text"]),
        (&8.into(), &"status_code".into())
    );
    let whole = place.run(&[
        "kfl",
        "complete",
        "--format",
        "whole",
        "--",
        "method == \"PO",
    ]);
    assert_eq!(whole.out.lines().next(), Some("method == \"POST"));
    let invalid = place.run(&["kfl", "check", "http && status_cod == 1"]);
    assert_eq!(invalid.code, Some(2));
    assert!(invalid.err.contains("        ^"), "{invalid:?}");
}

#[test]
fn macros_of_the_configuration_are_in_every_query() {
    let place = Place::new();
    place.write("a.pcap", &capture(5));
    let macros = b"tap:\n  customMacros:\n    shop: http and dst.port == 80\n    half: http and\n    many: 7\n";
    place.write(".tapedeck/config.yaml", macros);
    let checked = place.run(&["kfl", "check", "https or shop"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for fault in [
        "tap.customMacros.half: 1:9: unexpected token",
        "tap.customMacros.many: the query must be a text",
    ] {
        assert!(checked.err.contains(fault), "{checked:?}");
    }
    let count = |kfl: &str| {
        let found = place.run(&["query", "a.pcap", "--kfl", kfl, "--format", "json"]);
        assert_eq!(found.code, Some(0), "{kfl}: {found:?}");
        found.out.lines().count()
    };
    for kfl in [
        "shop",
        "shop and true",
        "shop && status_code == 200",
        "!https",
    ] {
        assert_eq!(count(kfl), 5, "{kfl}");
    }
    assert_eq!((count("!shop"), count("https && true")), (0, 0));
    let refused = place.run(&["query", "a.pcap", "--kfl", "half"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let said = "--kfl: 1:1: undeclared reference to 'half'";
    assert!(refused.err.contains(said), "{refused:?}");
    let explained = place.run(&["kfl", "explain", "shop"]);
    assert!(explained.out.contains("port 80"), "{explained:?}");
    let script = b"function onItemCaptured(data) {
        console.log(kfl.match('shop', data), kfl.match('https', data), kfl.validate('half', true));
    }
    onItemCaptured.kfl = 'shop';";
    place.write("s.js", script);
    let found = place.run(&["scripts", "check", "s.js"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let run = place.run(&["run", "s.js", "--pcap", "a.pcap"]);
    assert_eq!(run.out.matches("true false false").count(), 5, "{run:?}");
}

#[test]
fn queries_compare_microseconds_of_what_items_show_in_milliseconds() {
    let place = Place::new();
    let mut talk = synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80));
    for number in 0..5 {
        let asked = format!("GET /{number} HTTP/1.1\r\nHost: shop\r\n\r\n");
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        talk = talk.to_server(asked).to_client(answer);
    }
    let mut frames = talk.fin();
    for (frame, at) in frames.iter_mut().zip(0_i64..) {
        frame.ts = tapedeck::time::Timestamp::from_nanos(1_700_000_000_000_000_000 + at * 90_000);
    }
    place.write("a.pcap", &synth::savefile(&frames));
    let query = |kfl: &str| place.run(&["query", "a.pcap", "--kfl", kfl, "--format", "json"]);
    let all = query("");
    let items = || {
        let lines = all.out.lines();
        lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
    };
    assert!(items().count() == 5 && items().all(|item| item["elapsedTime"] == 0));
    for (kfl, count) in [
        ("elapsedTime > 0 and elapsedTime < 1000", 5),
        ("elapsed_time >= 90 && elapsed_time < 1000", 5),
        ("elapsedTime == 0", 0),
        ("elapsed_time == 0", 0),
        ("elapsedTime.startsWith(\"0\")", 0),
        (
            "redact(\"request.path\") and elapsedTime > 0 and elapsed_time > 0",
            5,
        ),
    ] {
        assert_eq!(query(kfl).out.lines().count(), count, "{kfl}");
    }
}

#[test]
fn kfl_runs_a_file_of_cases() {
    let place = Place::new();
    let good = "{\"dialect\":\"v1\",\"query\":\"a == 1\",\"valid\":true,\"record\":{\"a\":1},\"match\":true}\n";
    let bad = "{\"dialect\":\"v2\",\"query\":\"http\",\"valid\":true,\"record\":{\"http\":false},\"match\":true,\"why\":\"so\"}\n";
    place.write("good.jsonl", good.as_bytes());
    place.write("bad.jsonl", format!("{good}{bad}").as_bytes());
    let said = place.run(&["kfl", "test", "good.jsonl"]);
    assert_eq!(
        (said.code, said.out.trim()),
        (Some(0), "1 passed, 0 failed")
    );
    let said = place.run(&["kfl", "test", "bad.jsonl"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.out
            .contains("bad.jsonl:2: http should be match, is no match (so)"),
        "{said:?}"
    );
    assert!(said.out.ends_with("1 passed, 1 failed\n"), "{said:?}");
    place
        .run(&["kfl", "test", "nope.jsonl"])
        .refuses(2, &["nope.jsonl"]);
}

#[test]
fn lines_about_which_a_query_is_undecided_are_left_out_and_counted() {
    let place = Place::new();
    let costly = format!("{{\"l\":[{}0]}}\n", "\"x\",".repeat(3000));
    place.write("lines.jsonl", format!("{costly}{{\"l\":[7]}}\n").as_bytes());
    let mut command = place.command(PROGRAM);
    let lines = std::fs::File::open(place.path("lines.jsonl")).unwrap();
    command.args(["kfl", "match", "l.* <= l.*"]).stdin(lines);
    let said = said(command);
    assert_eq!(
        (said.code, &*said.out),
        (Some(3), "{\"l\":[7]}\n"),
        "{said:?}"
    );
    assert!(said.err.contains("1 lines took more than"), "{said:?}");
}

#[test]
fn bash_completes_kfl_within_quotes() {
    let place = Place::new();
    let script = place.run(&["completion", "bash"]).out;
    place.write("complete.bash", script.as_bytes());
    let mut bash = place.command("bash");
    let folder = Path::new(PROGRAM).parent().unwrap();
    bash.args([
        "-c",
        "PATH=\"$0:$PATH\"; source complete.bash; COMP_WORDS=(tapedeck kfl check \"'http && status_c\"); COMP_CWORD=3; \
         _tapedeck_with_kfl tapedeck \"${COMP_WORDS[3]}\" check; printf '%s\\n' \"${COMPREPLY[@]}\"; \
         COMP_WORDS=(tapedeck kf); COMP_CWORD=1; _tapedeck_with_kfl tapedeck kf tapedeck; printf '%s\\n' \"${COMPREPLY[@]}\"",
        &folder.display().to_string(),
    ]);
    let said = said(bash);
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines.first(), Some(&"http && status_code"), "{said:?}");
    assert_eq!(lines.last(), Some(&"kfl"), "{said:?}");
}

/// What stands on the line of an interactive zsh after the text was typed and completed.
const ZSH: &str = r#"
PATH="$1:$PATH"
zmodload zsh/zpty
zpty shell "zsh -f -i"
zpty -w shell "PROMPT=; stty -echo; bindkey '^I' complete-word; autoload -Uz compinit; compinit -u -D; \
source complete.zsh; show() { print -r -- \"<<\$BUFFER>>\" }; zle -N show; bindkey '^X' show; print -r -- '<<''ready>>'"
zpty -r shell seen "*<<ready>>*"
zpty -n -w shell "$2"$'\t\x18'
zpty -r shell seen "*<<*>>*"
print -r -- "${${seen##*<<}%%>>*}"
"#;

#[test]
fn zsh_completes_kfl_within_quotes() {
    if !Path::new("/bin/zsh").exists() && !Path::new("/usr/bin/zsh").exists() {
        println!("skipped: zsh is not installed; run tools/test-deps.sh");
        return;
    }
    let place = Place::new();
    let script = place.run(&["completion", "zsh"]).out;
    place.write("complete.zsh", script.as_bytes());
    let folder = Path::new(PROGRAM).parent().unwrap();
    for (typed, completed) in [
        (
            "tapedeck kfl check 'http && status_c",
            "tapedeck kfl check 'http && status_code",
        ),
        (
            "tapedeck query a.pcap --kfl 'meth",
            "tapedeck query a.pcap --kfl 'meth",
        ),
        ("tapedeck kf", "tapedeck kfl "),
    ] {
        let mut zsh = place.command("zsh");
        let folder = folder.display().to_string();
        zsh.args(["-f", "-c", ZSH, "zsh", &folder, typed]);
        let said = said(zsh);
        assert_eq!(said.out.trim_end_matches('\n'), completed, "{said:?}");
    }
}
