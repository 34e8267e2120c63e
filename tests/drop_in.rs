//! What a user of another program brings along: a configuration file, flags of a shell history, a bucket
//! that may not be what it seems, and commands that must end with the code that scripts wait for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tapedeck::synth;

use crate::commands::{PROGRAM, Place, Running, Said, capture, said};
use crate::dashboard::{Tap, printed_url};

/// The configuration that release 51 of Kubeshark writes, which is a values file of the chart too
/// (the tests of the chart render it).
const SCRIPT_ERA: &str = include_str!("../deploy/helm/tapedeck/ci/script-era.yaml");

/// A command without any credentials or cluster around it.
fn bare(place: &Place, args: &[&str]) -> Command {
    let mut command = place.command(PROGRAM);
    command.args(args).env("AWS_EC2_METADATA_DISABLED", "true");
    for name in [
        "KUBECONFIG",
        "AWS_PROFILE",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ] {
        command.env_remove(name);
    }
    command
}

fn run(place: &Place, args: &[&str]) -> Said {
    said(bare(place, args))
}

#[test]
fn a_configuration_of_the_script_era_loads_with_every_command() {
    let place = Place::new();
    place
        .write("kubeshark.yaml", SCRIPT_ERA.as_bytes())
        .write("a.pcap", &capture(2))
        .write("a.js", b"// A\nfunction onItemCaptured(data) {}\n");
    // Each with the code that it ends with for reasons of its own.
    let commands: &[(&[&str], i32)] = &[
        (&["config"], 0),
        (&["config", "--explain"], 0),
        (&["query", "a.pcap"], 0),
        (&["export", "a.pcap", "-o", "b.pcapng"], 0),
        (&["backtest", "a.pcap", "--kfl", "http"], 0),
        (
            &["diff", "a.pcap", "--before", "..2030", "--after", "2030.."],
            0,
        ),
        (&["run", "a.js", "--pcap", "a.pcap"], 0),
        (&["scripts", "check", "a.js"], 0),
        (&["scripts"], 1),
        (&["console"], 1),
        (&["recordings"], 1),
        (&["proxy"], 2),
        (&["clean"], 2),
        (&["logs"], 1),
        (&["pcapdump"], 1),
        (&["kfl", "check", "http"], 0),
        (&["store", "policy", "recorder", "b"], 0),
        (&["store", "check", "."], 0),
        (&["verify", "."], 1),
        (&["tap", "-A", "--headless"], 2),
        (&["worker"], 2),
        (&["hub", "--tls", "nowhere"], 2),
    ];
    for (args, code) in commands {
        let said = run(&place, args);
        assert_eq!(said.code, Some(*code), "{args:?}: {said:?}");
        assert!(!said.err.contains("kubeshark.yaml:"), "{args:?}: {said:?}");
        assert!(
            !said.err.contains("nodeSelectorTerms"),
            "{args:?}: {said:?}"
        );
        // What the file only lists is not what somebody asked for.
        assert!(!said.err.contains("not acted on"), "{args:?}: {said:?}");
    }
}

/// Without the flag's own value behind `=`, the word is the pattern: the cluster is meant.
#[test]
fn a_pattern_behind_a_switch_means_pods_of_the_cluster() {
    let place = Place::new();
    for switch in ["--tls", "--serviceMesh", "--persistentStorage", "--dryRun"] {
        let tap = run(&place, &["tap", switch, "cart.*", "--headless"]);
        tap.refuses(2, &["there is no kubeconfig"]);
    }
    for command in ["scripts", "console", "clean", "logs", "pcapdump"] {
        let flags = ["--proxy-front-port", "9000", "--proxy-host", "127.0.0.1"];
        let said = run(&place, &[&[command], &flags[..]].concat());
        assert!(!said.err.contains("unexpected argument"), "{said:?}");
    }
}

/// A server that answers every request the same; what it was asked.
fn stub((status, body): (&'static str, &'static str)) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let body = match head.starts_with("HEAD") {
                true => "",
                false => body,
            };
            heard.lock().unwrap().push(head);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    (address, asked)
}

const WRONG_KEY: (&str, &str) = (
    "403 Forbidden",
    "<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>",
);
const EXPIRED: (&str, &str) = (
    "400 Bad Request",
    "<Error><Code>ExpiredToken</Code><Message>expired</Message></Error>",
);
const EMPTY: (&str, &str) = (
    "200 OK",
    "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>",
);

#[test]
fn a_check_of_a_store_ends_well_only_with_the_rights() {
    let place = Place::new();
    for (answer, sentence) in [
        (WRONG_KEY, "does not know the access key AKIAWRONG"),
        (EXPIRED, "have expired"),
    ] {
        let (address, _) = stub(answer);
        let endpoint = format!("http://{address}");
        for role in ["recorder", "reader", "verifier"] {
            let mut command = bare(
                &place,
                &["store", "check", "s3://some-bucket", "--for", role],
            );
            command
                .args(["--s3-endpoint", &endpoint, "--s3-region", "us-east-1"])
                .env("AWS_ACCESS_KEY_ID", "AKIAWRONG")
                .env("AWS_SECRET_ACCESS_KEY", "x");
            let checked = said(command);
            assert_eq!(checked.code, Some(2), "{checked:?}");
            assert!(checked.out.contains(sentence), "{checked:?}");
            assert!(!checked.out.contains("granted"), "{checked:?}");
            assert!(
                checked.err.contains("does not take the credentials"),
                "{checked:?}"
            );
        }
    }
    let folder = run(&place, &["store", "check", "new/deep"]);
    folder.refuses(1, &["there is no folder new/deep"]);
    assert!(!place.path("new").exists());
    let here = run(&place, &["store", "check", "."]);
    assert_eq!(here.code, Some(0), "{here:?}");
    let role = run(&place, &["store", "check", ".", "--for", "nobody"]);
    assert_eq!(role.code, Some(2), "{role:?}");
}

#[test]
fn a_public_bucket_opens_without_credentials() {
    let place = Place::new();
    let (address, asked) = stub(EMPTY);
    let endpoint = format!("http://{address}");
    let query = |more: &[&str]| {
        let args = ["query", "s3://b/x/", "--s3-endpoint", &endpoint];
        run(
            &place,
            &[&args[..], &["--s3-region", "us-east-1"], more].concat(),
        )
    };
    query(&[]).refuses(2, &["no AWS credentials were found", "--s3-anonymous"]);
    assert_eq!(asked.lock().unwrap().len(), 0);
    for more in [&["--s3-anonymous"][..], &["--set", "s3.anonymous=true"][..]] {
        query(more);
        let heard = std::mem::take(&mut *asked.lock().unwrap());
        assert!(!heard.is_empty(), "{more:?}");
        for head in heard {
            assert!(!head.to_lowercase().contains("authorization"), "{head}");
        }
    }
}

#[test]
fn a_source_that_cannot_be_read_ends_the_dashboard() {
    let place = Place::new();
    place.write("text.txt", b"hello\n");
    std::fs::create_dir(place.path("folder")).unwrap();
    place.write("folder/a.pcap", b"hello\n");
    let tap = |source: &str| {
        let data = place.path("data");
        let data = format!("tap.dataDir={}", data.display());
        let front = ["--headless", "--proxy-front-port", "0", "--set", &data];
        run(&place, &[&["tap", "--pcap", source], &front[..]].concat())
    };
    let text = tap("text.txt");
    assert_eq!(text.code, Some(1), "{text:?}");
    assert!(text.err.contains("it begins like text"), "{text:?}");
    assert!(!text.err.contains("Dashboard"), "{text:?}");
    let folder = tap("folder");
    assert_eq!(folder.code, Some(1), "{folder:?}");
}

#[test]
fn what_somebody_must_change_ends_with_2() {
    let place = Place::new();
    place.write("a.pcap", &capture(1));
    for source in ["http://foo/bar", "kube://x", "s3://", ""] {
        let query = run(&place, &["query", source]);
        assert_eq!(query.code, Some(2), "{source:?}: {query:?}");
    }
    let key_log = run(&place, &["query", "a.pcap", "--tls-keylog", "nonexist"]);
    key_log.refuses(2, &["nonexist", "no such file"]);
    let descriptors = ["query", "a.pcap", "--proto-descriptors", "nonexist"];
    run(&place, &descriptors).refuses(2, &["nonexist", "no such file"]);
    // The file is named as it was asked for.
    let output = run(&place, &["query", "a.pcap", "-o", "nowhere/x.txt"]);
    output.refuses(2, &["nowhere/x.txt cannot be written: no such file"]);
    assert!(!output.err.contains(".half"), "{output:?}");
}

#[test]
fn a_file_of_defaults_is_made_where_it_is_read_and_never_over_another() {
    let place = Place::new();
    let made = run(
        &place,
        &[
            "config",
            "--regenerate",
            "--config-path",
            "x/y/z.yaml",
            "--set",
            "tap.storageLimit=20Gi",
        ],
    );
    assert_eq!(made.code, Some(0), "{made:?}");
    let text = std::fs::read_to_string(place.path("x/y/z.yaml")).unwrap();
    assert!(text.contains("storageLimit: 20Gi"), "{text}");
    let explained = run(
        &place,
        &["config", "--explain", "--config-path", "x/y/z.yaml"],
    );
    assert_eq!(explained.code, Some(0), "{explained:?}");

    place.write(
        ".kubeshark/config.yaml",
        b"scripting: {env: {AWS_SECRET_ACCESS_KEY: hunter2}}\n",
    );
    let refused = run(&place, &["config", "--regenerate"]);
    refused.refuses(2, &[".kubeshark/config.yaml is there already"]);
    assert!(!place.path(".tapedeck").exists());
    // What is broken is no hindrance, but it stays.
    place.write("tapedeck.yaml", b"tap: [\n");
    let broken = run(&place, &["config", "-r"]);
    broken.refuses(2, &["tapedeck.yaml is there already"]);
    std::fs::remove_file(place.path("tapedeck.yaml")).unwrap();
    std::fs::remove_file(place.path(".kubeshark/config.yaml")).unwrap();
    let usual = run(&place, &["config", "-r"]);
    assert_eq!(usual.code, Some(0), "{usual:?}");
    let text = std::fs::read_to_string(place.path(".tapedeck/config.yaml")).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}

/// Paths of the rows, the oldest first, and the total of streams.
fn shown(tap: &Tap, count: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let page = tap.json("/items");
        let rows = page["rows"].as_array().unwrap();
        let mut paths: Vec<String> = rows
            .iter()
            .map(|row| row["summary"].as_str().unwrap().to_owned())
            .collect();
        paths.reverse();
        if paths.len() == count && page["next"].is_null() {
            return paths;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{paths:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_recorded_source_is_narrowed_by_time_and_query() {
    let place = Place::new();
    let mut frames = Vec::new();
    for number in 0..3_u16 {
        let talk = synth::tcp(([10, 0, 0, 1], 40_000 + number), ([10, 0, 0, 2], 80))
            .to_server(format!(
                "GET /orders/{number} HTTP/1.1\r\nHost: shop\r\n\r\n"
            ))
            .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .fin();
        frames.extend(talk.into_iter().map(|mut frame| {
            frame.ts = frame.ts + Duration::from_secs(u64::from(number) * 600);
            frame
        }));
    }
    let first = frames[0].ts.secs();
    place.write("a.pcap", &synth::savefile(&frames));
    let source = place.path("a.pcap");
    let home = tempfile::tempdir().unwrap();
    let middle = [(first + 300).to_string(), (first + 900).to_string()];
    let range = ["--from", &middle[0], "--to", &middle[1]];
    let cases: &[(&[&str], &[&str])] = &[
        (&["--kfl", "request.path == \"/orders/2\""], &["/orders/2"]),
        (&range, &["/orders/1"]),
        (
            &["--to", &middle[1], "--kfl", "http"],
            &["/orders/0", "/orders/1"],
        ),
        (&["--from", &middle[0], "--kfl", "dns"], &[]),
    ];
    // By its packets, which leave no index of what was narrowed, and then by the index of all of it.
    for flag in [&["--dissect"][..], &[]] {
        for (flags, wanted) in cases {
            let tap = Tap::at(&source, home.path(), 0, &[flag, *flags].concat());
            assert_eq!(shown(&tap, wanted.len()), *wanted, "{flag:?} {flags:?}");
        }
        let whole = Tap::at(&source, home.path(), 0, flag);
        assert_eq!(shown(&whole, 3).len(), 3);
        let begun = Instant::now();
        while whole.json("/pcaps/total-tcp-streams") != 3 {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(50));
        }
        if flag.is_empty() {
            break;
        }
        // Leaves the index.
        drop(whole);
        let reading = Tap::at(&source, home.path(), 0, &[]);
        shown(&reading, 3);
        let kept = home.path().join(".cache/tapedeck/ranges");
        while !holds_a_file(&kept) {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let flags = ["tap", "--kfl", "http", "--headless"];
    run(&place, &flags).refuses(2, &["--pcap SRC"]);
    let wrong = ["tap", "--pcap", "a.pcap", "--kfl", "http and"];
    assert_eq!(run(&place, &wrong).code, Some(2));
    let index = ["tap", "--pcap", "a.pcap", "--write-index", "--kfl", "http"];
    run(&place, &index).refuses(2, &["--write-index is for whole sources"]);
}

fn holds_a_file(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => holds_a_file(&path),
            false => true,
        }
    })
}

#[test]
fn sentences_say_what_is_meant() {
    let place = Place::new();
    place
        .write("a.pcap", &capture(2))
        .write("texts/a.txt", b"hello\n");
    std::fs::create_dir(place.path("scripts")).unwrap();
    let warned: &[(&[&str], &str)] = &[
        (
            &["query", "a.pcap", "--count-by", "nosuchfield"],
            "no item has a field nosuchfield",
        ),
        (
            &["query", "a.pcap", "--percentiles", "nope"],
            "no item has a field nope",
        ),
    ];
    for (args, part) in warned {
        let said = run(&place, args);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.err.contains(part), "{said:?}");
    }
    let refused: &[(&[&str], i32, &str)] = &[
        (&["query", "texts"], 1, "its one object has another ending"),
        (
            &["query", "a.pcap", "--max-read", "banana"],
            2,
            "write a size such as 10Gi",
        ),
        (
            &["query", "a.pcap", "--limit", "x"],
            2,
            "it is no whole number",
        ),
        (
            &["config", "--set", "logLevel=loud"],
            2,
            "error, warning, info, debug, trace",
        ),
        (
            &["run", "scripts", "--pcap", "a.pcap"],
            2,
            "there is no script in scripts",
        ),
        (
            &["query", "az://c/x"],
            2,
            "set AZURE_STORAGE_CONNECTION_STRING",
        ),
        (&["pcap", "a.pcap"], 2, "tapedeck tap --pcap FILE"),
    ];
    for (args, code, part) in refused {
        let said = run(&place, args);
        assert_eq!(said.code, Some(*code), "{args:?}: {said:?}");
        assert!(said.err.contains(part), "{args:?}: {said:?}");
    }
    let mut export = bare(&place, &["export", "a.pcap", "-o", "-"]);
    let exported = export.output().unwrap();
    assert!(exported.stdout.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
    assert!(!place.path("-").exists());
}

#[test]
fn a_hub_with_an_invalid_query_serves_on_and_leaves_workers_theirs() {
    let place = Place::new();
    assert_eq!(run(&place, &["certs", "--out", "certs"]).code, Some(0));
    let mut command = bare(
        &place,
        &[
            "hub",
            "--tls",
            "certs/hub",
            "--listen",
            "127.0.0.1:0",
            "--proxy-front-port",
            "0",
            "--headless",
        ],
    );
    command
        .args(["--set", "scripting.env.RECORDING_KFL=http and"])
        .args(["--set", "tap.metrics.port=0"])
        .stderr(Stdio::piped());
    let mut hub = Running(command.spawn().unwrap());
    let (address, token, told) = printed_url(&mut hub.0);
    assert!(told.contains("RECORDING_KFL is invalid"), "{told}");
    assert!(
        told.contains("workers go on with what they recorded last until it is corrected"),
        "{told}"
    );
    let (status, recordings) = crate::dashboard::send(
        address,
        &token,
        "GET /api/recordings",
        &Json::Object(serde_json::Map::new()),
    );
    let recordings: Json = serde_json::from_slice(&recordings).unwrap();
    assert_eq!((status, recordings), (200, Json::Array(Vec::new())));
}

/// The destination is not there: the first Ctrl+C waits for it, the second leaves it.
#[cfg(all(feature = "live", target_os = "linux"))]
#[test]
fn a_second_ctrl_c_leaves_uploads_for_the_next_start_and_says_so() {
    use std::io::{BufRead, BufReader};

    use rustix::process::{Pid, Signal, kill_process};
    if !crate::road::may_capture() {
        return;
    }
    let place = Place::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let config = "scripting:\n  env:\n    RECORDING_KFL: http\n    S3_BUCKET: b\n    S3_ENDPOINT: http://127.0.0.1:1\n    \
                  AWS_ACCESS_KEY_ID: a\n    AWS_SECRET_ACCESS_KEY: b\n    AWS_REGION: us-east-1\n";
    place.write("tapedeck.yaml", config.as_bytes());
    let mut command = bare(&place, &["tap", "-i", "lo", "--headless"]);
    command
        .args(["--bpf", &format!("tcp port {port}")])
        .args(["--proxy-front-port", "0", "--set", "tap.metrics.port=0"])
        .stderr(Stdio::piped());
    let mut tap = Running(command.spawn().unwrap());
    let mut lines = BufReader::new(tap.0.stderr.take().unwrap()).lines();
    let mut until = |words: &str| {
        let mut all = String::new();
        for line in lines.by_ref().map_while(Result::ok) {
            all.push_str(&line);
            all.push('\n');
            if line.contains(words) {
                break;
            }
        }
        all
    };
    let told = until("Dashboard");
    assert!(told.contains("Capturing"), "{told}");
    std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut asked = [0; 1024];
        let _ = stream.read(&mut asked);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        .unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    // Longer than libpcap may hold packets back.
    std::thread::sleep(Duration::from_secs(3));
    let pid = Pid::from_raw(i32::try_from(tap.0.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let told = until("Uploading what is sealed");
    assert!(told.contains("a second Ctrl+C"), "{told}");
    std::thread::sleep(Duration::from_millis(1500));
    kill_process(pid, Signal::INT).unwrap();
    let told = until("no such line");
    let code = tap.0.wait().unwrap().code();
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("for the next start"), "{told}");
    assert!(!told.contains(" 0 waiting"), "{told}");
}
