//! Helpers that lead outside, through the live host, against local doubles of the services'
//! documented interfaces: Slack's Web API, InfluxDB's line protocol, Elasticsearch's document API,
//! Kinesis' PutRecord, a chat completions API, webhooks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tapedeck::capture::own::OwnSockets;
use tapedeck::packet::Endpoint;
use tapedeck::pipeline::host::{
    LiveHost, LiveOptions, NetworkPolicy, NodeName, Outside, VendorOptions,
};
use tapedeck::script::console::Console;
use tapedeck::script::host::{ElasticLogin, Host, HostCall, Note, ScriptId};
use tapedeck::script::wire::Role;
use tapedeck::store::memory::MemoryStore;
use tapedeck::time::{SetClock, Timestamp};

use crate::double::{Double, Told};
use crate::scripts::{NoRecordings, OnePacketStreams};

/// A live host whose services are doubles.
pub struct Rig {
    pub host: LiveHost,
    pub console: Arc<Console>,
    pub log: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

pub fn rig(change: impl FnOnce(&mut Outside)) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let console = Arc::new(Console::new("node-a"));
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = log.clone();
    let mut outside = Outside {
        pods: Arc::new(|| json!({"targets": [{"metadata": {"name": "web-1"}}], "excluded": []})),
        log: Arc::new(move |line| lines.lock().unwrap().push(line.to_owned())),
        ..Outside::default()
    };
    change(&mut outside);
    let store = Arc::new(MemoryStore::new());
    let host = LiveHost::start(LiveOptions {
        data: dir.path().join("scripts"),
        share: 100 << 20,
        node: NodeName {
            name: "node-a".into(),
            ip: "10.0.0.1".into(),
            run: 17,
            run_in_keys: true,
        },
        allow_clear: true,
        console: console.clone(),
        clock: Arc::new(SetClock::at(Timestamp::from_secs(1_706_933_106, 0))),
        reader: Arc::new(OnePacketStreams::default()),
        stores: Arc::new(move |_| Ok(store.clone() as Arc<_>)),
        recordings: Arc::new(NoRecordings),
        history: Arc::new(|| json!({})),
        outside,
    })
    .unwrap();
    Rig {
        host,
        console,
        log,
        _dir: dir,
    }
}

impl Rig {
    pub fn call(&self, call: HostCall) -> Result<Json, String> {
        let script = ScriptId {
            index: 4,
            child: 1,
            title: "A".into(),
            path: "/scripts/a.js".into(),
            role: Role::Worker,
        };
        self.host.call(&script, call)
    }

    pub fn write(&self, path: &str, content: &str) {
        let (path, content) = (path.into(), content.into());
        self.call(HostCall::FileWrite { path, content }).unwrap();
    }

    pub fn lines(&self) -> Vec<String> {
        let lines = self.console.recent();
        lines.into_iter().map(|line| line.text).collect()
    }

    fn webhook(&self, method: &str, url: &str, body: Option<&str>) -> Result<Json, String> {
        self.call(HostCall::Webhook {
            method: method.into(),
            url: url.into(),
            body: body.map(str::to_owned),
            headers: vec![("Authorization".into(), "secret".into())],
        })
    }
}

fn text(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let list = list.iter();
    list.map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

fn note() -> Note {
    Note {
        pretext: "Server error".into(),
        text: "/cart".into(),
        color: "#ff0000".into(),
    }
}

#[test]
fn a_webhook_answers_the_body_of_any_status() {
    let double = Double::start(|asked, _| match asked.path() {
        "/bad" => Told::status(500, "oops"),
        _ => Told::ok(format!("{} {}", asked.method, asked.text())),
    });
    let rig = rig(|_| {});
    let url = double.url();
    assert_eq!(rig.webhook("post", &url, Some("x")), Ok("POST x".into()));
    assert_eq!(rig.webhook("GET", &url, Some("")), Ok("GET ".into()));
    assert_eq!(rig.webhook("GET", &url, None), Ok("GET ".into()));
    assert_eq!(rig.webhook("GET", &url, Some("q")), Ok("GET q".into()));
    assert_eq!(rig.webhook("PURGE", &url, None), Ok("PURGE ".into()));
    let bad = format!("{url}/bad");
    assert_eq!(rig.webhook("PUT", &bad, Some("x")), Ok("oops".into()));
    let asked = double.asked();
    assert_eq!(asked[0].header("authorization"), "secret");
    assert_eq!(asked[0].header("content-type"), "");
    assert!(
        !asked[1].headers.contains_key("content-length"),
        "{asked:?}"
    );
}

#[test]
fn what_cannot_be_reached_is_a_sentence_without_the_secret_path() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let rig = rig(|_| {});
    let said = rig
        .webhook("GET", &format!("http://{address}/services/T0/secret"), None)
        .unwrap_err();
    assert!(
        said.contains("127.0.0.1") && !said.contains("secret"),
        "{said}"
    );
    for bad in ["", "ftp://a/", "/path", "http://", "file:///etc/passwd"] {
        let said = rig.webhook("GET", bad, None).unwrap_err();
        assert!(said.contains("no URL"), "{bad}: {said}");
    }
    assert!(rig.webhook("B A D", "http://127.0.0.1/", None).is_err());
}

#[test]
fn redirects_are_followed_and_credentials_stay_behind() {
    let other =
        Double::start(|asked, _| Told::ok(format!("other {} {}", asked.method, asked.text())));
    let to = other.url();
    let double = Double::start(move |asked, _| match asked.path() {
        "/303" => Told::status(303, "").header(format!("Location: {to}/a")),
        "/307" => Told::status(307, "").header(format!("Location: {to}/b")),
        "/here" => Told::status(302, "").header("Location: there"),
        "/there" => Told::ok(format!("there {}", asked.header("authorization"))),
        _ => Told::status(301, "").header("Location: /loop"),
    });
    let rig = rig(|_| {});
    let at = |path: &str| format!("{}{path}", double.url());
    assert_eq!(
        rig.webhook("POST", &at("/303"), Some("x")),
        Ok("other GET ".into())
    );
    assert_eq!(
        rig.webhook("POST", &at("/307"), Some("x")),
        Ok("other POST x".into())
    );
    assert_eq!(
        rig.webhook("GET", &at("/here"), None),
        Ok("there secret".into())
    );
    assert!(rig.webhook("GET", &at("/loop"), None).is_err());
    for asked in other.asked() {
        assert_eq!(asked.header("authorization"), "", "{asked:?}");
    }
}

#[test]
fn metadata_addresses_are_refused_also_behind_a_redirect() {
    let double = Double::start(|_, _| {
        Told::status(302, "").header("Location: http://169.254.169.254/latest/meta-data/")
    });
    let rig = rig(|_| {});
    for url in [
        "http://169.254.169.254/latest/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        // Forms that resolvers read as the same address.
        "http://2852039166/",
        "http://0xa9fea9fe/",
        &double.url(),
    ] {
        let said = rig.webhook("GET", url, None).unwrap_err();
        assert!(said.contains("credentials"), "{url}: {said}");
    }
}

#[test]
fn a_list_says_where_scripts_may_go() {
    let double = Double::start(|_, _| Told::ok("yes"));
    let port = double.address.rsplit(':').next().unwrap().to_owned();
    let rig = rig(|outside| {
        let entries = [format!("localhost:{port}")];
        outside.vendor.network = NetworkPolicy::parse(&entries).unwrap();
    });
    let named = rig.webhook("GET", &format!("http://localhost:{port}/"), None);
    assert_eq!(named, Ok("yes".into()));
    let said = rig.webhook("GET", &double.url(), None).unwrap_err();
    assert!(said.contains("scripting.network.allow"), "{said}");
    assert_eq!(double.asked().len(), 1);
}

#[test]
fn connections_of_helpers_are_announced() {
    let own = OwnSockets::default();
    let (seen, told) = (own.clone(), own.clone());
    let double = Double::start(move |asked, _| {
        let host: std::net::SocketAddr = asked.header("host").parse().unwrap();
        let remote = Endpoint {
            ip: host.ip(),
            port: host.port(),
        };
        Told::ok(seen.expects_now(remote))
    });
    let rig = rig(|outside| outside.vendor.own = told);
    assert_eq!(rig.webhook("GET", &double.url(), None), Ok("true".into()));
}

#[test]
fn the_hubs_name_is_answered_here() {
    let rig = rig(|_| {});
    for path in ["/pods/targeted", "/api/pods/targeted"] {
        let url = format!("http://kubeshark-hub{path}");
        let text = rig.webhook("GET", &url, Some("")).unwrap();
        let pods: Json = serde_json::from_str(text.as_str().unwrap()).unwrap();
        assert_eq!(pods["targets"][0]["metadata"]["name"], "web-1");
        assert_eq!(rig.call(HostCall::HubTargeted), Ok(pods));
    }
    let other = rig.webhook("GET", "http://kubeshark-hub/other", None);
    assert!(other.unwrap().as_str().unwrap().contains("404"));
    let said = rig
        .call(HostCall::HubBlockPod {
            name: "p".into(),
            namespace: "n".into(),
        })
        .unwrap_err();
    assert!(said.contains("n/p is not blocked"), "{said}");
}

#[test]
fn a_form_has_its_parts() {
    let double = Double::start(|_, _| Told::ok("taken"));
    let rig = rig(|_| {});
    let answer = rig.call(HostCall::WebhookForm {
        method: "POST".into(),
        url: double.url(),
        fields: text(&[("fileName", "a.har"), ("fileContents", "{}")]),
    });
    assert_eq!(answer, Ok("taken".into()));
    let asked = &double.asked()[0];
    let kind = asked.header("content-type");
    assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    let part = "name=\"fileContents\"\r\n\r\n{}\r\n";
    assert!(asked.text().contains(part), "{}", asked.text());
}

#[test]
fn slack_gets_a_note_through_a_webhook() {
    let double = Double::start(|asked, number| match (asked.path(), number) {
        ("/bad", _) => Told::status(404, "no_service"),
        (_, 0) => Told::status(429, "").header("Retry-After: 0"),
        _ => Told::ok("ok"),
    });
    let rig = rig(|_| {});
    let post = |path: &str| {
        rig.call(HostCall::Slack {
            url: format!("{}{path}", double.url()),
            note: note(),
        })
    };
    assert_eq!(post("/services/x"), Ok(Json::Null));
    let asked = double.asked();
    assert_eq!(asked.len(), 2, "it was sent again when Slack was busy");
    let attachment = asked[1].json()["attachments"][0].clone();
    assert_eq!(attachment["pretext"], "Server error");
    assert_eq!(attachment["fields"][0]["title"], "Timestamp");
    assert!(post("/bad").unwrap_err().contains("no_service"));
}

#[test]
fn a_bot_of_slack_posts_and_shares_files() {
    let double = Arc::new(Mutex::new(String::new()));
    let own = double.clone();
    let slack = Double::start(move |asked, _| {
        let url = own.lock().unwrap().clone();
        Told::ok(match asked.path() {
            "/api/files.getUploadURLExternal" => {
                json!({"ok": true, "upload_url": format!("{url}/up/1"), "file_id": "F1"})
            }
            "/up/1" => json!("OK"),
            "/api/chat.postMessage" if asked.header("authorization") != "Bearer xoxb" => {
                json!({"ok": false, "error": "invalid_auth"})
            }
            "/api/chat.postMessage" => json!({"ok": true, "channel": "C9", "ts": "1706933106.1"}),
            "/api/files.completeUploadExternal" => json!({"ok": true}),
            other => json!({"ok": false, "error": other}),
        })
    });
    *double.lock().unwrap() = slack.url();
    let rig = rig(|outside| outside.vendor.slack = format!("{}/api", slack.url()));
    rig.write("item.json", "{\"a\":1}");
    let post = |token: &str, files: &[(&str, &str)]| {
        rig.call(HostCall::SlackBot {
            token: token.into(),
            channel: "general".into(),
            note: note(),
            fields: text(&[("Status", "500")]),
            files: text(files),
        })
    };
    assert_eq!(post("xoxb", &[("data.json", "item.json")]), Ok(Json::Null));
    let asked = slack.asked();
    let paths: Vec<&str> = asked.iter().map(|asked| asked.path()).collect();
    let wanted = [
        "/api/files.getUploadURLExternal",
        "/up/1",
        "/api/chat.postMessage",
        "/api/files.completeUploadExternal",
    ];
    assert_eq!(paths, wanted);
    assert_eq!(asked[0].text(), "filename=data.json&length=7");
    assert_eq!(asked[1].text(), "{\"a\":1}");
    let attachment = &asked[2].json()["attachments"][0];
    assert_eq!(attachment["fields"][0]["value"], "500");
    let shared = json!({"files": [{"id": "F1", "title": "data.json"}], "channel_id": "C9"});
    assert_eq!(asked[3].json(), shared);
    assert_eq!(
        rig.lines(),
        [
            "[node-a-4] Message sent to Slack channel: C9 at 1706933106.1",
            "[node-a-4] Shared file: data.json to Slack channel: C9",
        ]
    );
    assert!(post("wrong", &[]).unwrap_err().contains("invalid_auth"));
    let missing = post("xoxb", &[("a", "not-there")]).unwrap_err();
    assert!(missing.contains("no such file"), "{missing}");
}

fn point(rig: &Rig, url: &str, fields: Json) -> Result<Json, String> {
    rig.call(HostCall::Influxdb {
        url: url.into(),
        token: "tok".into(),
        org: "my org".into(),
        bucket: "Kubeshark".into(),
        measurement: "callKPIs".into(),
        fields: fields.as_object().unwrap().clone(),
        tags: text(&[("path", "/a b")]),
    })
}

#[test]
fn points_reach_influxdb_together_and_again_when_it_was_down() {
    let double = Double::start(|_, number| match number {
        0 => Told::status(503, "starting"),
        _ => Told::status(204, ""),
    });
    let rig = rig(|_| {});
    for latency in 0..3 {
        point(&rig, &double.url(), json!({"latency": latency})).unwrap();
    }
    let asked = double.wait_for(2);
    assert_eq!(
        asked[1].target,
        "/api/v2/write?org=my%20org&bucket=Kubeshark&precision=ns"
    );
    assert_eq!(asked[1].header("authorization"), "Token tok");
    let second = 1_706_933_106_000_000_000_i64;
    let lines: Vec<String> = (0..3)
        .map(|n| format!("callKPIs,path=/a\\ b latency={n} {}", second + n))
        .collect();
    assert_eq!(
        asked[1].text(),
        lines.join("\n"),
        "no point replaces another"
    );
    assert!(point(&rig, "nowhere", json!({"n": 1})).is_err());
    assert!(point(&rig, &double.url(), json!({})).is_err());
}

#[test]
fn points_reach_a_server_of_1_6_and_failures_are_told() {
    let double = Double::start(|asked, _| match asked.path() {
        "/write" => Told::status(204, ""),
        _ => Told::status(404, "404 page not found"),
    });
    let bad = Double::start(|_, _| Told::status(401, "unauthorized access"));
    let rig = rig(|_| {});
    point(&rig, &double.url(), json!({"n": 1})).unwrap();
    assert_eq!(
        double.wait_for(2)[1].target,
        "/write?db=Kubeshark&precision=ns"
    );
    point(&rig, &bad.url(), json!({"n": 1})).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while rig.lines().is_empty() {
        assert!(Instant::now() < until, "nothing was told");
        std::thread::sleep(Duration::from_millis(10));
    }
    let line = &rig.lines()[0];
    assert!(line.starts_with("[node-a-4:ERROR] 1 points"), "{line}");
    assert!(line.contains("401") && !line.contains("tok"), "{line}");
}

#[test]
fn elasticsearch_gets_a_document_under_an_id() {
    let double =
        Double::start(
            |asked, number| match (asked.path().split('/').nth(1).unwrap(), number) {
                ("closed", _) => Told::status(400, "{\"error\":\"closed\"}"),
                ("broken", _) => Told::status(500, "{\"error\":\"no shard\"}"),
                (_, 0) => Told::status(429, "busy").header("Retry-After: 0"),
                _ => Told::status(201, json!({"result": "created"})),
            },
        );
    let rig = rig(|_| {});
    let index = |index: &str| {
        rig.call(HostCall::Elastic {
            url: double.url(),
            index: index.into(),
            document: json!({"200": 17}),
            login: ElasticLogin {
                api_key: Some("id:key".into()),
                ..ElasticLogin::default()
            },
        })
    };
    let id = index("status codes").unwrap();
    let asked = double.asked();
    assert_eq!(asked.len(), 2);
    let wanted = format!("/status%20codes/_doc/{}?refresh=true", id.as_str().unwrap());
    assert_eq!(
        (asked[1].method.as_str(), asked[1].target.as_str()),
        ("PUT", wanted.as_str())
    );
    assert_eq!(asked[1].header("authorization"), "ApiKey aWQ6a2V5");
    assert_eq!(asked[1].json(), json!({"200": 17}));
    assert!(index("closed").unwrap_err().contains("400"));
    let said = index("broken").unwrap_err();
    assert!(said.contains("500") && said.contains("no shard"), "{said}");
    assert_eq!(double.asked().len(), 4, "what is broken is not asked again");
}

#[test]
fn kinesis_gets_a_signed_record() {
    let double = Double::start(|asked, _| {
        if asked.json()["StreamName"] == "none" {
            let kind = "com.amazonaws.kinesis.v20131202#ResourceNotFoundException";
            return Told::status(400, json!({"__type": kind, "message": "no such stream"}));
        }
        Told::ok(json!({"ShardId": "shardId-000000000000", "SequenceNumber": "4959"}))
    });
    let rig = rig(|outside| outside.vendor.kinesis = Some(double.url()));
    let put_in = |region: &str, stream: &str| {
        rig.call(HostCall::KinesisPut {
            stream: stream.into(),
            payload: "hello".into(),
            region: region.into(),
            key_id: Some("AKIA".into()),
            secret: Some("secret".into()),
        })
    };
    let put = |stream: &str| put_in("eu-west-1", stream);
    for region in ["", "evil.example/#", "EU-WEST-1"] {
        assert!(put_in(region, "traffic").unwrap_err().contains("no region"));
    }
    assert_eq!(put("traffic").unwrap()["SequenceNumber"], "4959");
    let asked = &double.asked()[0];
    assert_eq!(asked.header("x-amz-target"), "Kinesis_20131202.PutRecord");
    assert_eq!(asked.header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(asked.json()["Data"], "aGVsbG8=");
    let signature = asked.header("authorization");
    assert!(
        signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIA/"),
        "{signature}"
    );
    assert!(
        signature.contains("/eu-west-1/kinesis/aws4_request"),
        "{signature}"
    );
    let said = put("none").unwrap_err();
    assert!(
        said.contains("ResourceNotFoundException: no such stream"),
        "{said}"
    );
}

#[test]
fn a_language_model_is_asked() {
    let double = Double::start(|asked, _| match asked.header("authorization") {
        "Bearer key" => Told::ok(json!({"choices": [{"message": {"content": "\n A teapot. "}}]})),
        _ => Told::status(401, json!({"error": {"message": "Incorrect API key"}})),
    });
    let rig = rig(|outside| {
        outside.vendor.chat = format!("{}/v1/", double.url());
        outside.vendor.chat_model = "small".into();
    });
    let ask = |key: &str| {
        rig.call(HostCall::ChatgptPrompt {
            key: key.into(),
            prompt: "418?".into(),
            max_tokens: 10,
        })
    };
    assert_eq!(ask("key"), Ok("A teapot.".into()));
    let asked = &double.asked()[0];
    assert_eq!(asked.target, "/v1/chat/completions");
    assert_eq!(asked.json()["model"], "small");
    assert_eq!(asked.json()["max_tokens"], 10);
    assert!(ask("no").unwrap_err().contains("Incorrect API key"));
}

#[test]
fn metrics_are_text_for_prometheus_and_lines_go_to_the_log() {
    let rig = rig(|_| {});
    let keep = HostCall::Prometheus {
        name: "dns_requests".into(),
        description: "DNS requests".into(),
        kind: 1,
        value: 3.0,
        labels: text(&[("s_pod", "web-1")]),
        adds: true,
    };
    rig.call(keep.clone()).unwrap();
    assert_eq!(rig.call(keep), Ok("dns_requests is 6".into()));
    let text = rig.host.metrics();
    assert!(
        text.ends_with("dns_requests{s_pod=\"web-1\"} 6\n"),
        "{text}"
    );
    rig.call(HostCall::Aggregation {
        level: "AP0".into(),
        text: "a new peer".into(),
    })
    .unwrap();
    let line = rig.log.lock().unwrap()[0].clone();
    assert_eq!(line, "2024-02-03T04:05:06.000000000Z AP0 a new peer");
}

/// The program itself, over a recorded exchange: a script reaches the double by its name and not by
/// its address, which the list does not hold.
#[test]
fn a_script_of_the_program_goes_where_the_configuration_says() {
    let double = Double::start(|_, _| Told::ok("taken"));
    let port = double.address.rsplit(':').next().unwrap().to_owned();
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let talk = tapedeck::synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80))
        .to_server("GET /health HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    std::fs::write(at("in.pcap"), tapedeck::synth::savefile(&talk.fin())).unwrap();
    let script = "if (utils.nodeName() === 'hub') throw 'not here';
    function onItemCaptured(data) {
        console.log(vendor.webhook('POST', env.HOOK, data), env.OWN);
        try { vendor.webhook('POST', env.OTHER, '') } catch (e) { console.log(e) }
    }";
    std::fs::write(at("s.js"), script).unwrap();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_tapedeck"));
    program.current_dir(home.path()).env("HOME", home.path());
    program.args(["run", "s.js", "--pcap", "in.pcap"]);
    for setting in [
        format!("scripting.env.HOOK=http://localhost:{port}/hook"),
        format!("scripting.env.OTHER=http://127.0.0.1:{port}/"),
        "scripting.envFor.s.OWN=mine".to_owned(),
        format!("scripting.network.allow=localhost:{port}"),
    ] {
        program.args(["--set", &setting]);
    }
    let ran = program.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        ran.status.success(),
        "what a script throws at the hub is no failure: {ran:?}"
    );
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].ends_with("] taken mine"), "{ran:?}");
    assert!(
        lines[1].contains("Error: scripts may not go to 127.0.0.1"),
        "{said}"
    );
    let asked = double.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].json()["request"]["path"], "/health");
}

#[test]
fn a_script_signs_in_with_what_the_program_was_started_with_and_never_sees_it() {
    let double =
        Double::start(|_, _| Told::ok(r#"{"choices": [{"message": {"content": "a teapot"}}]}"#));
    let evil = Double::start(|_, _| Told::ok("{}"));
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let talk = tapedeck::synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80))
        .to_server("GET /health HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    std::fs::write(at("in.pcap"), tapedeck::synth::savefile(&talk.fin())).unwrap();
    let script = "function onItemCaptured(data) {
        console.log(chatgpt.prompt('', '?'), chatgpt.prompt(env.OWN_KEY, '?'));
        vendor.influxdb(undefined, '', '', 'b', 'm', {n: 1});
        vendor.influxdb(env.EVIL, '', '', 'b', 'm', {n: 1});
        try { vendor.slackBot(env.SLACK_BOT_TOKEN, 'C1', '', '', '') } catch (e) { console.log(e) }
        console.log(Object.keys(env).join(), typeof process);
    }";
    std::fs::write(at("s.js"), script).unwrap();
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("OPENAI_API_KEY", "sk-of-the-process")
        .env("INFLUX_HOST", double.url())
        .env("INFLUX_TOKEN", "token-of-the-process")
        .env_remove("SLACK_BOT_TOKEN")
        .env_remove("SLACK_AUTH_TOKEN")
        .args(["run", "s.js", "--pcap", "in.pcap"])
        .args(["--set", &format!("scripting.chatgpt.url={}", double.url())])
        .args(["--set", &format!("scripting.env.EVIL={}", evil.url())])
        .args(["--set", "scripting.env.OWN_KEY=sk-of-the-script"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains("a teapot a teapot"), "{ran:?}");
    let missing = "vendor.slackBot needs token: pass it, or start tapedeck with SLACK_BOT_TOKEN";
    assert!(said.contains(missing), "{said}");
    assert!(said.contains("EVIL,OWN_KEY undefined"), "{said}");
    assert!(!said.contains("of-the-process"), "{said}");
    let of = |asked: &[crate::double::Asked], path: &str| -> Vec<String> {
        let asked = asked.iter().filter(|one| one.path() == path);
        asked
            .map(|one| one.header("authorization").to_owned())
            .collect()
    };
    let asked = double.asked();
    let prompts = of(&asked, "/chat/completions");
    assert_eq!(
        prompts,
        ["Bearer sk-of-the-process", "Bearer sk-of-the-script"]
    );
    assert_eq!(of(&asked, "/api/v2/write"), ["Token token-of-the-process"]);
    assert_eq!(of(&evil.asked(), "/api/v2/write"), [""]);
}

/// Runs openssl in a folder; false when it is not there.
fn openssl(dir: &std::path::Path, arguments: &str) -> bool {
    let ran = std::process::Command::new("openssl")
        .current_dir(dir)
        .args(arguments.split(' '))
        .output();
    ran.is_ok_and(|ran| ran.status.success())
}

/// A server over TLS with the certificates in `chain.pem`; it answers every request with `{}`.
fn tls_server(dir: &std::path::Path) -> std::net::SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::io::{Read, Write};

    let chain = CertificateDer::pem_file_iter(dir.join("chain.pem")).unwrap();
    let chain: Vec<_> = chain.map(|one| one.unwrap()).collect();
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, socket);
            let mut bytes = [0; 4096];
            if stream.read(&mut bytes).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}");
            }
        }
    });
    address
}

#[test]
fn a_server_of_elasticsearch_is_known_by_its_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let made = [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile ext",
        "x509 -in ca.pem -outform DER -out ca.der",
        "x509 -in server.pem -outform DER -out server.der",
    ];
    if !made.iter().all(|arguments| openssl(at, arguments)) {
        println!("skipped: openssl is not installed; run tools/test-deps.sh");
        return;
    }
    let pem = |name: &str| std::fs::read(at.join(name)).unwrap();
    std::fs::write(
        at.join("chain.pem"),
        [pem("server.pem"), pem("ca.pem")].concat(),
    )
    .unwrap();
    let address = tls_server(at);
    let rig = rig(|_| {});
    let index = |url: &str, fingerprint: Option<String>| {
        rig.call(HostCall::Elastic {
            url: url.into(),
            index: "i".into(),
            document: json!({}),
            login: ElasticLogin {
                certificate_fingerprint: fingerprint,
                ..ElasticLogin::default()
            },
        })
    };
    let print = |name: &str| {
        let hash = Sha256::digest(pem(name));
        let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        Some(hex.join(":"))
    };
    let url = format!("https://{address}");
    assert!(index(&url, print("ca.der")).is_ok());
    assert!(index(&url, print("server.der")).is_ok());
    assert!(index(&url, None).is_err(), "the system does not trust it");
    assert!(index(&url, print("ext")).is_err(), "another fingerprint");
    // The authority signed for another name than this one.
    let named = format!("https://localhost:{}", address.port());
    assert!(index(&named, print("ca.der")).is_err());
    assert!(
        index(&url, Some("short".into()))
            .unwrap_err()
            .contains("64 hex")
    );
}

/// The defaults lead to the real services; nothing in a test may use them.
#[test]
fn services_are_those_of_the_documentation() {
    let options = VendorOptions::default();
    assert_eq!(options.slack, "https://slack.com/api");
    assert_eq!(options.chat, "https://api.openai.com/v1");
}
