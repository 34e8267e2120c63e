//! Commands of a laptop against doubles of an API server and of helm: which release they mean, what they
//! let helm do, and what they tell nobody else.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::release::{Laptop, said};
use crate::double::{Asked, Double, Told};

/// Writes down how it is called and the values that it is given; what it answers is in files.
const HELM: &str = r#"#!/bin/sh
echo "helm $*" >> "$HOME/helm.log"
if [ "$3 $4" = "show chart" ]; then cat "$5/Chart.yaml"; exit; fi
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
    api: Double,
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
            api,
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
        let calls = calls.filter(|line| line.starts_with("helm "));
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
