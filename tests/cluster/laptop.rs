//! Commands of a laptop against doubles of an API server and of helm: which release they mean, what they
//! let helm do, and what they tell nobody else.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::double::{self, Kubelets};
use super::release::{Laptop, PATIENCE, said};
use crate::double::{Asked, Double, Told};

/// Writes down how it is called and the values that it is given; what it answers is in files.
const HELM: &str = r#"#!/bin/sh
echo "helm $*" >> "$HOME/helm.log"
echo "KUBECONFIG=$KUBECONFIG HELM_KUBECONTEXT=$HELM_KUBECONTEXT" > "$HOME/helm.env"
if [ "$1 $2" = "show chart" ]; then cat "$3/Chart.yaml"; exit; fi
before=
for word in "$@"; do
  if [ "$before" = --values ]; then echo "values $(cat "$word")" >> "$HOME/helm.log"; fi
  before=$word
done
if [ -f "$HOME/helm.refuses" ]; then cat "$HOME/helm.refuses" >&2; exit 1; fi
"#;

const TOKEN: &str = "sesame-sesame-sesame";

/// A release in the double of a cluster.
#[derive(Clone)]
struct Installed {
    name: &'static str,
    namespace: &'static str,
    version: &'static str,
    config: &'static str,
}

fn installed(name: &'static str, namespace: &'static str) -> Installed {
    Installed {
        name,
        namespace,
        version: env!("CARGO_PKG_VERSION"),
        config: "tap:\n  workers: 4\n",
    }
}

impl Installed {
    fn labels(&self) -> Json {
        json!({
            "app.kubernetes.io/instance": self.name, "app.kubernetes.io/part-of": "tapedeck",
            "app.kubernetes.io/component": "hub", "app.kubernetes.io/version": self.version,
        })
    }

    fn deployment(&self) -> Json {
        let pod = json!({
            "containers": [{"name": "hub", "ports": [{"name": "dashboard", "containerPort": 8899}]}],
            "volumes": [
                {"name": "config", "configMap": {"name": format!("{}-config", self.name)}},
                {"name": "token", "secret": {"secretName": format!("{}-hub-token", self.name)}},
            ],
        });
        json!({
            "metadata": {"name": format!("{}-hub", self.name), "namespace": self.namespace, "labels": self.labels()},
            "spec": {"template": {"spec": pod}},
        })
    }

    fn pod(&self) -> Json {
        json!({
            "metadata": {"name": format!("{}-hub-1", self.name), "namespace": self.namespace, "labels": self.labels()},
            "spec": {"containers": [{"name": "hub"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        })
    }
}

/// A laptop, the cluster of its kubeconfig, and what helm was asked for.
struct Desk {
    laptop: Laptop,
    releases: Arc<Mutex<Vec<Installed>>>,
    /// Address of the API server.
    api: String,
}

impl Desk {
    fn with(releases: &[Installed]) -> Desk {
        let releases = Arc::new(Mutex::new(releases.to_vec()));
        let there = releases.clone();
        let api = Double::start(move |asked, _| answer(&there.lock().unwrap(), asked));
        let home = tempfile::tempdir().unwrap();
        let kubeconfig = home.path().join("kubeconfig");
        fs::write(&kubeconfig, kubeconfig_of(&api.url(), "test")).unwrap();
        let tools = home.path().join("tools");
        fs::create_dir(&tools).unwrap();
        let helm = tools.join("helm");
        fs::write(&helm, HELM).unwrap();
        fs::set_permissions(&helm, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", tools.display());
        let laptop = Laptop {
            home,
            kubeconfig,
            path: path.into(),
        };
        Desk {
            laptop,
            releases,
            api: api.url(),
        }
    }

    /// Exit code and stderr of a command.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        said(&self.laptop.run(arguments))
    }

    /// Lines of what helm was asked for.
    fn helm(&self) -> Vec<String> {
        let log = fs::read_to_string(self.laptop.folder().join("helm.log"));
        log.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The verbs and names of what helm was asked for, in order.
    fn verbs(&self) -> Vec<String> {
        let calls = self.helm().into_iter();
        let calls = calls.filter(|line| line.starts_with("helm --namespace"));
        calls
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let at = words
                    .iter()
                    .position(|word| ["install", "upgrade", "uninstall"].contains(word));
                let at = at.unwrap_or_else(|| panic!("{line}"));
                let name = words[at + 1..].iter().find(|word| !word.starts_with('-'));
                format!("{} {} in {}", words[at], name.unwrap(), words[2])
            })
            .collect()
    }

    /// The values that helm was given last.
    fn values(&self) -> Json {
        let lines = self.helm();
        let values = lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("values "));
        serde_json::from_str(values.unwrap()).unwrap()
    }
}

fn kubeconfig_of(server: &str, name: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {}}],
    })
    .to_string()
}

fn list(items: Vec<Json>) -> Told {
    Told::ok(json!({"metadata": {}, "items": items}))
}

fn answer(releases: &[Installed], asked: &Asked) -> Told {
    let target = asked.target.clone();
    let parts: Vec<&str> = asked.path().split('/').skip(1).collect();
    let of = |namespace: &str| {
        let there = releases.iter().filter(|one| one.namespace == namespace);
        there.collect::<Vec<_>>().into_iter()
    };
    match parts.as_slice() {
        ["apis", "apps", "v1", "deployments"] => {
            list(releases.iter().map(Installed::deployment).collect())
        }
        ["apis", "apps", "v1", "namespaces", namespace, "deployments"] => {
            list(of(namespace).map(Installed::deployment).collect())
        }
        ["api", "v1", "pods"] => list(shop()),
        ["api", "v1", "namespaces", "shop", "pods"] => list(shop()),
        ["api", "v1", "namespaces", namespace, "pods"] => {
            let named = of(namespace).filter(|one| target.contains(one.name));
            list(named.map(Installed::pod).collect())
        }
        ["api", "v1", "namespaces", _, "pods", pod, "log"] => Told::ok(format!("log of {pod}\n")),
        ["api", "v1", "namespaces", _, "events"] => list(Vec::new()),
        ["api", "v1", "namespaces", namespace, "configmaps", name] => {
            let mut there = of(namespace);
            let found = there.find(|one| format!("{}-config", one.name) == *name);
            match found {
                Some(one) => Told::ok(json!({"data": {"config.yaml": one.config}})),
                None => Told::status(404, json!({"message": "no such config map"})),
            }
        }
        ["api", "v1", "namespaces", _, "secrets", _] => {
            Told::ok(json!({"data": {"token": STANDARD.encode(TOKEN)}}))
        }
        _ => Told::status(404, json!({"message": format!("{target} is not there")})),
    }
}

fn shop() -> Vec<Json> {
    let pod = |name: &str| {
        json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"nodeName": "a", "containers": []},
            "status": {"phase": "Running", "podIP": "10.0.0.7"},
        })
    };
    vec![pod("cart-1"), pod("pay-1")]
}

#[test]
fn clean_removes_the_release_that_is_named_and_no_other() {
    let desk = Desk::with(&[installed("capture", "prod")]);
    for arguments in [
        vec!["clean", "--release-name", "staging"],
        vec!["clean", "--set", "tap.release.name=staging"],
        vec!["clean", "--release-name", "staging", "-s", "prod"],
        vec!["clean"],
        vec!["clean", "-s", "prod"],
        vec!["clean", "--release-name", "tapedeck"],
    ] {
        let (code, sentence) = desk.run(&arguments);
        assert_ne!(code, Some(0), "{arguments:?}: {sentence}");
        assert!(sentence.contains("capture in prod"), "{sentence}");
    }
    assert_eq!(desk.verbs(), Vec::<String>::new());
    let (code, sentence) = desk.run(&["clean", "--release-name", "capture"]);
    assert_eq!(code, Some(0), "{sentence}");
    assert_eq!(desk.verbs(), ["uninstall capture in prod"]);
}

#[test]
fn a_name_is_looked_for_in_all_namespaces_before_another_release_is_taken() {
    let desk = Desk::with(&[installed("tapedeck", "default"), installed("second", "two")]);
    let (code, sentence) = desk.run(&["clean", "--release-name", "second"]);
    assert_eq!(code, Some(0), "{sentence}");
    assert_eq!(desk.verbs(), ["uninstall second in two"]);
    // What is named with its namespace is there, or nowhere.
    let (code, sentence) = desk.run(&["clean", "--release-name", "second", "-s", "default"]);
    assert_eq!(code, Some(1), "{sentence}");
    for command in ["proxy", "console", "recordings list", "scripts push"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let (code, sentence) = desk.run(&[&arguments[..], &["--release-name", "third"]].concat());
        assert_eq!(code, Some(1), "{command}: {sentence}");
        assert!(sentence.contains("third"), "{command}: {sentence}");
    }
    let (code, sentence) = desk.run(&["clean"]);
    assert_eq!(code, Some(0), "{sentence}");
    assert_eq!(
        desk.verbs(),
        ["uninstall second in two", "uninstall tapedeck in default"]
    );
}

/// Starts a command that goes on until it is ended; answers what it said by then.
fn until(desk: &Desk, arguments: &[&str], words: &str) -> String {
    let mut running = desk.laptop.start("running", arguments);
    running.says(words);
    let err = running.err.clone();
    assert_eq!(running.end(), Some(0));
    fs::read_to_string(err).unwrap()
}

const TAP: [&str; 4] = ["--headless", "--proxy-front-port", "0", "--set"];

fn tap<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let quiet = ["scripting.watchScripts=false"];
    [&["tap"], arguments, &TAP, &quiet].concat()
}

const ENDS: &str = "Ctrl+C ends the forwarding";

#[test]
fn an_install_touches_no_release_of_another_program() {
    let desk = Desk::with(&[]);
    let folder = desk.laptop.folder();
    fs::write(
        folder.join("kubeshark.yaml"),
        "tap: {release: {name: kubeshark, namespace: default}}",
    )
    .unwrap();
    // The double has no release afterwards either.
    let (code, sentence) = desk.run(&tap(&["-n", "shop"]));
    assert_eq!(code, Some(1), "{sentence}");
    assert_eq!(desk.verbs(), ["install tapedeck in default"]);
    // Who says the name gets what helm makes of it.
    for word in ["re-use", "reuse"] {
        let taken =
            format!("Error: INSTALLATION FAILED: cannot {word} a name that is still in use");
        fs::write(folder.join("helm.refuses"), taken).unwrap();
        let (code, sentence) = desk.run(&tap(&["-n", "shop", "--release-name", "kubeshark"]));
        assert_eq!(code, Some(2), "{sentence}");
        assert!(
            sentence.contains("there is a Helm release kubeshark in default, and none of tapedeck"),
            "{sentence}"
        );
    }
    assert!(!desk.helm().iter().any(|line| line.contains("upgrade")));
    // Nor is a chart of theirs installed.
    let chart = folder.join("chart");
    fs::create_dir(&chart).unwrap();
    fs::write(
        chart.join("Chart.yaml"),
        "name: kubeshark\nappVersion: '52'\n",
    )
    .unwrap();
    let calls = desk.verbs().len();
    let named = chart.to_str().unwrap();
    let (code, sentence) = desk.run(&tap(&["-A", "--release-helmChartPath", named]));
    assert_eq!(code, Some(2), "{sentence}");
    assert!(
        sentence.contains("is kubeshark, not one of tapedeck"),
        "{sentence}"
    );
    assert_eq!(desk.verbs().len(), calls);
}

#[test]
fn other_targets_take_the_place_of_all_that_a_release_has() {
    let cart = Installed {
        config: "tap:\n  regex: cart.*\n  namespaces: [shop]\n",
        ..installed("tapedeck", "default")
    };
    let desk = Desk::with(&[cart]);
    // What is there is listed as it is there.
    let sentence = until(&desk, &tap(&["--cluster"]), ENDS);
    assert!(sentence.contains("+ shop/cart-1"), "{sentence}");
    assert!(!sentence.contains("+ shop/pay-1"), "{sentence}");
    let sentence = until(&desk, &tap(&["cart.*", "-n", "shop"]), ENDS);
    assert!(sentence.contains("has these targets already"), "{sentence}");
    assert_eq!(desk.verbs(), Vec::<String>::new());
    // What is listed is what it captures afterwards.
    let sentence = until(&desk, &tap(&["-A"]), ENDS);
    assert!(sentence.contains("+ shop/pay-1"), "{sentence}");
    assert!(
        sentence.contains("captures other pods within a minute"),
        "{sentence}"
    );
    assert_eq!(desk.verbs(), ["upgrade tapedeck in default"]);
    assert!(
        desk.helm()[0].contains("--reuse-values"),
        "{:?}",
        desk.helm()
    );
    let all = json!({
        "regex": ".*", "namespaces": [], "excludedNamespaces": [], "labelSelector": "", "namespaceSelector": "",
    });
    assert_eq!(desk.values(), json!({"tap": all}));
    let filtered = Installed {
        config: "tap: {bpfOverride: udp port 53}",
        ..installed("tapedeck", "default")
    };
    *desk.releases.lock().unwrap() = vec![filtered];
    let sentence = until(&desk, &tap(&["--cluster"]), ENDS);
    assert!(
        sentence.contains("What passes the capture filter udp port 53 is captured"),
        "{sentence}"
    );
    let sentence = until(&desk, &tap(&["cart.*"]), ENDS);
    assert!(sentence.contains("its pods start anew"), "{sentence}");
    assert_eq!(desk.values()["tap"]["bpfOverride"], "");
}

#[test]
fn what_a_release_that_is_there_does_not_get_is_named() {
    let small = Installed {
        config: "tap: {storageLimit: 5Gi}",
        ..installed("tapedeck", "default")
    };
    let desk = Desk::with(&[small]);
    let withheld = "The release tapedeck in default does not get";
    let sentence = until(&desk, &tap(&["--cluster", "--storageLimit", "5Gi"]), ENDS);
    assert!(!sentence.contains(withheld), "{sentence}");
    let sets = ["--set", "scripting.env.S3_BUCKET=b"];
    let arguments = [&["--cluster", "--storageLimit", "7Gi"][..], &sets].concat();
    let sentence = until(&desk, &tap(&arguments), ENDS);
    let both = format!("{withheld} tap.storageLimit, scripting.env:");
    assert!(sentence.contains(&both), "{sentence}");
    assert_eq!(desk.verbs(), Vec::<String>::new());
    // Targets are given, and the image of an upgrade.
    let arguments = ["pay.*", "--set", "tap.storageLimit=7Gi"];
    let sentence = until(&desk, &tap(&arguments), ENDS);
    let given = "captures other pods within a minute";
    assert!(sentence.contains(given), "{sentence}");
    let limit = format!("{withheld} tap.storageLimit:");
    assert!(sentence.contains(&limit), "{sentence}");
    assert!(desk.values()["tap"]["storageLimit"].is_null());
    let arguments = ["--cluster", "--docker-tag", "1.2"];
    let sentence = until(&desk, &tap(&arguments), ENDS);
    let image = format!("{withheld} tap.docker:");
    assert!(sentence.contains(&image), "{sentence}");
    let sentence = until(
        &desk,
        &tap(&[&arguments[..], &["--upgrade"]].concat()),
        ENDS,
    );
    assert!(!sentence.contains(withheld), "{sentence}");
    assert_eq!(desk.values(), json!({"image": {"tag": "1.2"}}));
}

#[test]
fn targets_change_no_version() {
    let other = Installed {
        version: "0.9.0",
        ..installed("tapedeck", "default")
    };
    let desk = Desk::with(&[other]);
    let (code, sentence) = desk.run(&tap(&["cart.*"]));
    assert_eq!(code, Some(2), "{sentence}");
    assert!(
        sentence.contains("is of version 0.9.0") && sentence.contains("--upgrade"),
        "{sentence}"
    );
    assert_eq!(desk.verbs(), Vec::<String>::new());
    // Without other targets it is left as it is.
    let sentence = until(&desk, &tap(&["--cluster"]), ENDS);
    assert!(
        sentence.contains("tapedeck tap --upgrade brings it to"),
        "{sentence}"
    );
    assert_eq!(desk.verbs(), Vec::<String>::new());
    let sentence = until(&desk, &tap(&["cart.*", "--upgrade"]), ENDS);
    let to = format!("from version 0.9.0 to {}", env!("CARGO_PKG_VERSION"));
    assert!(sentence.contains(&to), "{sentence}");
    assert_eq!(desk.verbs(), ["upgrade tapedeck in default"]);
    assert!(desk.helm()[0].contains("--reset-then-reuse-values"));
    assert_eq!(desk.values()["tap"]["regex"], "cart.*");
}

#[test]
fn a_capture_filter_that_is_none_reaches_no_release() {
    for releases in [vec![], vec![installed("tapedeck", "default")]] {
        let desk = Desk::with(&releases);
        for more in [vec![], vec!["--dryRun"]] {
            let arguments = [&["--cluster", "--bpf", "port ("][..], &more].concat();
            let (code, sentence) = desk.run(&tap(&arguments));
            assert_eq!(code, Some(2), "{sentence}");
            assert!(sentence.contains("port ("), "{sentence}");
        }
        assert_eq!(desk.helm(), Vec::<String>::new());
    }
}

#[test]
fn what_a_tap_removes_at_its_end_is_the_release_that_is_named() {
    let desk = Desk::with(&[installed("capture", "default")]);
    let (code, sentence) = desk.run(&tap(&["--clean"]));
    assert_eq!(code, Some(2), "{sentence}");
    assert!(
        sentence.contains("--release-name capture -s default"),
        "{sentence}"
    );
    assert_eq!(desk.helm(), Vec::<String>::new());
    let sentence = until(&desk, &tap(&["--clean", "--release-name", "capture"]), ENDS);
    assert!(
        sentence.contains("Removed the release capture"),
        "{sentence}"
    );
    assert_eq!(desk.verbs(), ["uninstall capture in default"]);
    let sentence = until(&desk, &tap(&["--cluster"]), ENDS);
    assert!(
        sentence.contains("tapedeck clean -s default --release-name capture"),
        "{sentence}"
    );
}

/// Notes what the first piece of each connection says, answers it as a dashboard does, and closes it.
fn hear(listener: TcpListener) -> Arc<Mutex<Vec<u8>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let late = Some(Duration::from_secs(5));
            stream.set_read_timeout(late).unwrap();
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap_or_default();
            hears.lock().unwrap().extend_from_slice(&bytes[..length]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
    });
    heard
}

#[test]
fn the_token_goes_to_no_port_of_somebody_else() {
    let desk = Desk::with(&[installed("tapedeck", "default")]);
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port().to_string();
    let heard = hear(stranger);
    let arguments = ["proxy", "--headless", "--proxy-front-port", &port];
    let sentence = until(&desk, &arguments, ENDS);
    assert!(
        sentence.contains(&format!("port {port} is taken; using")),
        "{sentence}"
    );
    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    assert!(!heard.contains(TOKEN), "{heard}");
}

#[test]
fn a_port_that_is_forwarded_already_is_found_by_its_release() {
    let releases = [installed("tapedeck", "default"), installed("second", "two")];
    let mut desk = Desk::with(&releases);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let dashboard = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = dashboard.local_addr().unwrap();
    let heard = hear(dashboard);
    let kubelets = Arc::new(Kubelets::default());
    for pod in ["tapedeck-hub-1", "second-hub-1"] {
        kubelets.ports.lock().unwrap().insert(pod.to_owned(), to);
    }
    let server = desk.api.parse().unwrap();
    let kubeconfig = runtime.block_on(async {
        let client = kube::Client::try_from(kube::Config::new(server)).unwrap();
        double::start(client, kubelets, desk.laptop.folder()).await
    });
    desk.laptop.kubeconfig = kubeconfig;
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let proxy = ["proxy", "--headless", "--proxy-front-port", &port];
    let mut first = desk.laptop.start("first", &proxy);
    first.says(ENDS);
    let mut second = desk.laptop.start("second", &proxy);
    let late = Instant::now() + PATIENCE;
    while second.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < late, "{}", second.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    let sentence = second.said();
    assert!(
        sentence.contains("The port is forwarded already"),
        "{sentence}"
    );
    let bearer = format!("Bearer {TOKEN}");
    let asked = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    assert!(asked.contains(&bearer), "{asked}");
    // It leads to one release, and to none once it has ended.
    let sentence = until(&desk, &[&proxy[..], &["-s", "two"]].concat(), ENDS);
    assert!(
        sentence.contains(&format!("port {port} is taken")),
        "{sentence}"
    );
    assert_eq!(first.end(), Some(0));
    let sentence = until(&desk, &proxy, ENDS);
    assert!(!sentence.contains("is taken"), "{sentence}");
    let notes = fs::read_dir(desk.laptop.folder().join(".tapedeck/data/forwards"));
    assert_eq!(notes.unwrap().count(), 0);
}

#[test]
fn helm_and_tapedeck_go_to_the_same_cluster_of_several_kubeconfigs() {
    let desk = Desk::with(&[installed("tapedeck", "default")]);
    let folder = desk.laptop.folder();
    let other = folder.join("other");
    fs::write(&other, kubeconfig_of("http://127.0.0.1:1", "other")).unwrap();
    let list = std::env::join_paths([other.as_path(), &desk.laptop.kubeconfig]).unwrap();
    let output = desk
        .laptop
        .command(&["clean", "--context", "test"])
        .env("KUBECONFIG", &list)
        .env("HELM_KUBECONTEXT", "other")
        .output()
        .unwrap();
    let (code, sentence) = said(&output);
    assert_eq!(code, Some(0), "{sentence}");
    let line = desk.helm().remove(0);
    assert!(
        line.contains("--kube-context test") && !line.contains("--kubeconfig"),
        "{line}"
    );
    let around = fs::read_to_string(folder.join("helm.env")).unwrap();
    assert_eq!(
        around,
        format!("KUBECONFIG={} HELM_KUBECONTEXT=\n", list.display())
    );
}
