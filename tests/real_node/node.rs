//! The node, and what its API server is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tapedeck::time::Timestamp;

use super::PATIENCE;

/// Address of this machine at the end of the node's link.
pub(super) const OUTSIDE: &str = "10.200.0.254";

/// Address of the node.
pub(super) const INSIDE: &str = "10.200.0.1";

const API: &str = "https://10.200.0.1:6443";

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn helm() -> PathBuf {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    home.join(".cache/tapedeck/tools/venv/bin/helm")
}

pub(super) fn run(command: &mut Command) -> Vec<u8> {
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {said}");
    out.stdout
}

/// Waits until there is an answer; `what` says for whom it was, and what is known by then.
pub(super) fn wait<T>(mut what: impl FnMut() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let late = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < late, "waited too long: {}", what());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// A container of the image `box` with this command.
pub(super) fn container(command: &str) -> Json {
    json!({
        "name": "c", "image": "localhost/box:1", "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
        "env": [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    })
}

/// Which container of containerd the first one of a pod is.
fn id(pod: &Json) -> &str {
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    id.unwrap().trim_start_matches("containerd://")
}

/// A node that ends with the value.
pub(super) struct Node {
    pub(super) folder: PathBuf,
    pub(super) data: tempfile::TempDir,
}

impl Node {
    /// Starts it; `None` where the parts are missing, and a line that says so.
    pub(super) fn start() -> Option<Node> {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root || !helm().is_file() || !Path::new("/usr/bin/containerd").is_file() {
            println!(
                "skipped: a whole node takes root, helm and containerd; run tools/node.sh install"
            );
            return None;
        }
        // No overlay and no tmpfs: containerd puts its own overlays there.
        let data = tempfile::tempdir_in("/var/tmp").unwrap();
        let node = Node {
            folder: data.path().join("node"),
            data,
        };
        node.tool("up", &[]);
        node.image();
        Some(node)
    }

    fn tool(&self, what: &str, more: &[&str]) {
        let mut command = Command::new(root().join("tools/node.sh"));
        run(command.arg(what).arg(&self.folder).args(more));
    }

    /// The image of worker and hub: that of the Dockerfile where `TAPEDECK_IMAGE` names an archive of it
    /// (`docker save localhost/tapedeck:1`), else the program and the libraries that it needs.
    fn image(&self) {
        if let Some(archive) = std::env::var_os("TAPEDECK_IMAGE") {
            self.ctr(&["images", "import", archive.to_str().unwrap()]);
            return;
        }
        let image = self.data.path().join("image");
        let program = image.join("usr/local/bin/tapedeck");
        for folder in ["usr/local/bin", "tmp", "var/lib/tapedeck"] {
            fs::create_dir_all(image.join(folder)).unwrap();
        }
        run(Command::new("strip")
            .arg("-o")
            .arg(&program)
            .arg(env!("CARGO_BIN_EXE_tapedeck")));
        // The chart writes the seccomp profile to the node with it.
        let install = image.join("bin/install");
        fs::create_dir(image.join("bin")).unwrap();
        fs::copy("/usr/bin/install", &install).unwrap();
        for program in [&program, &install] {
            let libraries = run(Command::new("ldd").arg(program));
            let libraries = String::from_utf8(libraries).unwrap();
            for path in libraries
                .split_whitespace()
                .filter(|word| word.starts_with('/'))
            {
                let copy = image.join(path.trim_start_matches('/'));
                fs::create_dir_all(copy.parent().unwrap()).unwrap();
                fs::copy(path, copy).unwrap();
            }
        }
        // As the packages of the Dockerfile bring it.
        let trust = "etc/ssl/certs/ca-certificates.crt";
        fs::create_dir_all(image.join("etc/ssl/certs")).unwrap();
        fs::copy(Path::new("/").join(trust), image.join(trust)).unwrap();
        let folder = image.to_str().unwrap();
        self.tool("image", &["tapedeck", folder, "/usr/local/bin/tapedeck"]);
    }

    /// Kills the first container of a pod, which the kubelet starts again.
    pub(super) fn kill(&self, pod: &Json) {
        self.ctr(&["task", "kill", "-s", "SIGKILL", id(pod)]);
    }

    /// What containerd was told of the first container of a pod, and the process that it is.
    pub(super) fn container(&self, pod: &Json) -> (Json, u32) {
        let id = id(pod);
        let spec = self.ctr(&["container", "info", "--spec", id]);
        let tasks = String::from_utf8(self.ctr(&["task", "ls"])).unwrap();
        let task = tasks.lines().find(|line| line.starts_with(id)).unwrap();
        let pid = task.split_whitespace().nth(1).unwrap();
        (serde_json::from_slice(&spec).unwrap(), pid.parse().unwrap())
    }

    fn ctr(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(self.folder.join("ctr.sock"));
        run(command.args(["-n", "k8s.io"]).args(arguments))
    }

    fn curl(&self, path: &str) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["-sk", "--max-time", "20"])
            .args(["-H", "Authorization: Bearer admin-token"])
            .arg(format!("{API}{path}"));
        command
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &Json) -> Json {
        let mut command = self.curl(path);
        let kind = format!("Content-Type: {kind}");
        command.args(["-X", method, "-H", &kind]);
        if !body.is_null() {
            command.args(["-d", &body.to_string()]);
        }
        let answer: Json = serde_json::from_slice(&run(&mut command)).unwrap();
        assert_ne!(answer["status"], "Failure", "{method} {path}: {answer}");
        answer
    }

    pub(super) fn get(&self, path: &str) -> Json {
        self.ask("GET", path, "application/json", &Json::Null)
    }

    pub(super) fn make(&self, path: &str, body: &Json) {
        self.ask("POST", path, "application/json", body);
    }

    /// Changes what the body has of an object.
    pub(super) fn patch(&self, path: &str, body: &Json) {
        self.ask("PATCH", path, "application/merge-patch+json", body);
    }

    pub(super) fn delete(&self, path: &str) {
        self.ask("DELETE", path, "application/json", &Json::Null);
    }

    /// The pods of a namespace that are not being deleted.
    pub(super) fn pods(&self, namespace: &str) -> Vec<Json> {
        let list = self.get(&format!("/api/v1/namespaces/{namespace}/pods"));
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        let stays = |pod: &Json| pod["metadata"]["deletionTimestamp"].is_null();
        pods.into_iter().filter(stays).collect()
    }

    /// The names of all pods of a namespace, also of those that are being deleted.
    pub(super) fn names(&self, namespace: &str) -> Vec<String> {
        let list = self.get(&format!("/api/v1/namespaces/{namespace}/pods"));
        let pods = list["items"].as_array().into_iter().flatten();
        pods.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Those that are ready: name and address.
    pub(super) fn ready(&self, namespace: &str) -> BTreeMap<String, String> {
        let is_ready = |pod: &Json| {
            let conditions = pod["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let pods = self.pods(namespace).into_iter().filter(is_ready);
        pods.map(|pod| {
            (
                text(&pod["metadata"]["name"]),
                text(&pod["status"]["podIP"]),
            )
        })
        .collect()
    }

    pub(super) fn wait_for_pods(&self, namespace: &str, count: usize) -> BTreeMap<String, String> {
        wait(
            || format!("{count} pods of {namespace}: {}", self.states(namespace)),
            || Some(self.ready(namespace)).filter(|ready| ready.len() == count),
        )
    }

    /// The pod of a namespace whose name has this in it.
    pub(super) fn pod(&self, namespace: &str, part: &str) -> Option<Json> {
        let has = |pod: &Json| {
            let name = pod["metadata"]["name"].as_str();
            name.is_some_and(|name| name.contains(part))
        };
        self.pods(namespace).into_iter().find(has)
    }

    /// What the pods of a namespace are, and what they say.
    pub(super) fn states(&self, namespace: &str) -> String {
        let told = self.pods(namespace).into_iter().map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let said: String = self
                .log(namespace, name)
                .into_iter()
                .rev()
                .take(10)
                .map(|(_, line)| line + "\n")
                .collect();
            format!("{name} {}\n{said}", pod["status"])
        });
        told.collect()
    }

    /// What a pod said, with the moment of each line; nothing when it is not there.
    pub(super) fn log(&self, namespace: &str, pod: &str) -> Vec<(Timestamp, String)> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?timestamps=true");
        let text = run(&mut self.curl(&path));
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = |line: &str| {
            let (at, said) = line.split_once(' ')?;
            Some((Timestamp::parse(at)?, said.to_owned()))
        };
        text.lines().filter_map(line).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for namespace in ["tapedeck", "shop"] {
                let told = std::panic::catch_unwind(|| self.states(namespace));
                println!("{}", told.unwrap_or_default());
            }
        }
        let _ = Command::new(root().join("tools/node.sh"))
            .arg("down")
            .arg(&self.folder)
            .output();
    }
}
