//! The release: the chart as it is, with small values, and what it leaves in the bucket.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value as Json, json};
use tapedeck::store::s3::S3Options;
use tapedeck::time::Timestamp;

use super::node::{Node, OUTSIDE, helm, root, run, wait};
use crate::relay;

/// Namespace of the release, which is called `td`.
pub(super) const NAMESPACE: &str = "tapedeck";

/// A script whose text is changed later.
pub(super) const SCRIPT: &str = "console.log('the first version at', utils.nodeName());\n";

/// What is installed, and where it records.
pub(super) struct Release {
    home: PathBuf,
    bucket: S3Options,
}

impl Release {
    /// Installs it, and waits until worker and hub know each other.
    pub(super) fn install(node: &Node, bucket: &S3Options) -> Release {
        let chart = node.data.path().join("chart");
        run(Command::new("cp")
            .arg("-r")
            .arg(root().join("deploy/helm/tapedeck"))
            .arg(&chart));
        // A server built outside of its own build system does not tell its version.
        let described = chart.join("Chart.yaml");
        let text = fs::read_to_string(&described).unwrap();
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("kubeVersion:"));
        fs::write(&described, lines.collect::<Vec<_>>().join("\n")).unwrap();
        let file = node.data.path().join("values.json");
        fs::write(&file, values(node, bucket).to_string()).unwrap();
        let mut command = Command::new(helm());
        command
            .env("KUBECONFIG", node.folder.join("kubeconfig"))
            .args(["install", "td"])
            .arg(&chart)
            .args(["-n", NAMESPACE, "--create-namespace", "-f"])
            .arg(&file);
        run(&mut command);
        node.wait_for_pods(NAMESPACE, 2);
        said(node, "hub", "The worker of node-a is connected");
        Release {
            home: node.data.path().to_owned(),
            bucket: bucket.clone(),
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
        let keys = self.bucket.keys.as_ref().unwrap();
        command
            .env("HOME", &self.home)
            .env("AWS_ACCESS_KEY_ID", &keys.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key)
            .args([name, &format!("s3://{}/", self.bucket.bucket)])
            .args(["--set", "s3.region=us-east-1", "--set", "s3.pathStyle=true"])
            .arg("--set")
            .arg(format!(
                "s3.endpoint={}",
                self.bucket.endpoint.as_ref().unwrap()
            ));
        command
    }

    /// What of the bucket matches.
    pub(super) fn items(&self, query: &str) -> Vec<Json> {
        let found = run(self
            .command("query")
            .args(["--format", "json", "--kfl", query]));
        let text = String::from_utf8(found).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Every object is as it was sealed, and none is missing.
    pub(super) fn verify(&self) {
        let said = run(self.command("verify").arg("--deep"));
        println!("{}", String::from_utf8_lossy(&said));
    }
}

fn values(node: &Node, bucket: &S3Options) -> Json {
    let server = bucket.endpoint.as_ref().unwrap();
    let server = server.trim_start_matches("http://").parse().unwrap();
    let endpoint = format!("http://{}", relay::start(OUTSIDE, server));
    let keys = bucket.keys.as_ref().unwrap();
    let small = json!({"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "2Gi"}});
    json!({
        "image": {"repository": "localhost/tapedeck", "tag": "1", "pullPolicy": "Never"},
        "worker": {
            "dataPath": node.data.path().join("data"), "resources": small, "hostPID": true,
            "seccomp": {
                "type": "Localhost", "install": true, "nodeFolder": node.folder.join("kubelet/seccomp"),
            },
        },
        "hub": {"resources": small},
        "recording": {"destination": format!("s3://{}/", bucket.bucket)},
        "s3": {"endpoint": endpoint, "region": "us-east-1", "pathStyle": true},
        "scripting": {
            "env": {
                "RECORDING_KFL": "http",
                "AWS_ACCESS_KEY_ID": keys.access_key_id,
                "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            },
            "files": {"versions.js": SCRIPT},
        },
        "recordings": [
            {"name": "deleted", "on": ["podDeleted"], "before": "1m", "after": "3s"},
            {"name": "restarts", "on": ["podRestart"], "before": "1m", "after": "3s"},
            {"name": "rollouts", "on": ["rollout"], "before": "5s", "after": "20s", "scope": "owner"},
        ],
    })
}

/// Waits until a role said this.
pub(super) fn said(node: &Node, role: &str, what: &str) {
    said_after(node, Timestamp::default(), role, what);
}

/// Waits until a role said this after `from`; answers when it did.
pub(super) fn said_after(node: &Node, from: Timestamp, role: &str, what: &str) -> Timestamp {
    wait(
        || format!("{role} says {what}: {}", node.states(NAMESPACE)),
        || {
            let pod = node.pod(NAMESPACE, role)?;
            let log = node.log(NAMESPACE, pod["metadata"]["name"].as_str()?);
            let mut log = log.into_iter();
            let line = log.find(|(at, line)| *at > from && line.contains(what));
            line.map(|(at, _)| at)
        },
    )
}
