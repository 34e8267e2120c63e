//! A whole node with containerd and real pods (`tools/node.sh`): the chart installs worker and hub, every
//! call appears once with both names, and what a pod did before it was killed is kept.
//!
//! It takes some minutes and the machine's one such node, so it runs when it is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

/// A wait for anything; a busy machine is slow, but not that slow.
const PATIENCE: Duration = Duration::from_secs(120);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether slow tests are asked for; a line that says so, when not.
#[expect(
    clippy::disallowed_methods,
    reason = "slow tests are asked for by the environment"
)]
fn is_asked_for() -> bool {
    let asked = std::env::var("TAPEDECK_SLOW").is_ok_and(|value| value == "1");
    if !asked {
        println!("skipped: the test on a whole node is slow; set TAPEDECK_SLOW=1 to run it");
    }
    asked
}

fn helm() -> PathBuf {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    home.join(".cache/tapedeck/tools/venv/bin/helm")
}

fn run(command: &mut Command) -> Vec<u8> {
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {said}");
    out.stdout
}

/// A node that ends with the value.
struct Node {
    folder: PathBuf,
    data: tempfile::TempDir,
}

impl Node {
    /// Starts it; `None` where the parts are missing, and a line that says so.
    fn start() -> Option<Node> {
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
        Some(node)
    }

    fn tool(&self, what: &str, more: &[&str]) {
        let mut command = Command::new(root().join("tools/node.sh"));
        run(command.arg(what).arg(&self.folder).args(more));
    }

    /// Makes an image of the program and the libraries that it needs.
    fn image(&self) {
        let image = self.data.path().join("image");
        let program = image.join("usr/local/bin/tapedeck");
        for folder in ["usr/local/bin", "tmp", "var/lib/tapedeck"] {
            fs::create_dir_all(image.join(folder)).unwrap();
        }
        run(Command::new("strip")
            .arg("-o")
            .arg(&program)
            .arg(env!("CARGO_BIN_EXE_tapedeck")));
        let libraries = run(Command::new("ldd").arg(&program));
        let libraries = String::from_utf8(libraries).unwrap();
        for path in libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            let copy = image.join(path.trim_start_matches('/'));
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(path, copy).unwrap();
        }
        self.tool(
            "image",
            &[
                "tapedeck",
                image.to_str().unwrap(),
                "/usr/local/bin/tapedeck",
            ],
        );
    }

    fn install(&self) {
        let chart = self.data.path().join("chart");
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
        let small =
            json!({"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "2Gi"}});
        let values = json!({
            "image": {"repository": "localhost/tapedeck", "tag": "1", "pullPolicy": "Never"},
            "worker": {"dataPath": self.data.path().join("data"), "resources": small},
            "hub": {"resources": small},
            "recording": {"destination": "/var/lib/tapedeck/kept"},
            "scripting": {"env": {"RECORDING_KFL": "http and request.path == \"/index.html\""}},
            "recordings": [{"name": "deleted", "on": ["podDeleted"], "before": "1m", "after": "3s"}],
        });
        let file = self.data.path().join("values.json");
        fs::write(&file, values.to_string()).unwrap();
        let mut command = Command::new(helm());
        command
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .args(["install", "td"])
            .arg(&chart)
            .args(["-n", "tapedeck", "--create-namespace", "-f"])
            .arg(&file);
        run(&mut command);
    }

    fn ask(&self, method: &str, path: &str, body: &Json) -> Json {
        let mut command = Command::new("curl");
        command
            .args(["-sk", "--max-time", "20", "-X", method])
            .args(["-H", "Authorization: Bearer admin-token"])
            .args(["-H", "Content-Type: application/json"])
            .arg(format!("https://10.200.0.1:6443{path}"));
        if !body.is_null() {
            command.args(["-d", &body.to_string()]);
        }
        let answer: Json = serde_json::from_slice(&run(&mut command)).unwrap();
        assert_ne!(answer["status"], "Failure", "{method} {path}: {answer}");
        answer
    }

    fn make(&self, path: &str, body: &Json) {
        self.ask("POST", path, body);
    }

    /// Names of the pods of a namespace that are ready, with their addresses.
    fn ready(&self, namespace: &str) -> BTreeMap<String, String> {
        let list = self.ask(
            "GET",
            &format!("/api/v1/namespaces/{namespace}/pods"),
            &Json::Null,
        );
        let pods = list["items"].as_array().unwrap().iter();
        let is_ready = |pod: &&Json| {
            let conditions = pod["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            pod["metadata"]["deletionTimestamp"].is_null()
                && conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        pods.filter(is_ready)
            .map(|pod| {
                (
                    text(&pod["metadata"]["name"]),
                    text(&pod["status"]["podIP"]),
                )
            })
            .collect()
    }

    /// What the pods of a namespace are, and what they say.
    fn states(&self, namespace: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let list = self.ask("GET", &path, &Json::Null);
        let pods = list["items"].as_array().unwrap().iter();
        let told = pods.map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let said = Command::new("curl")
                .args(["-sk", "-H", "Authorization: Bearer admin-token"])
                .arg(format!(
                    "https://10.200.0.1:6443{path}/{name}/log?tailLines=10"
                ))
                .output()
                .map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
            format!("{name} {} {}\n", pod["status"], said.unwrap_or_default())
        });
        told.collect()
    }

    fn wait_for_pods(&self, namespace: &str, count: usize) -> BTreeMap<String, String> {
        let late = Instant::now() + PATIENCE;
        loop {
            let ready = self.ready(namespace);
            if ready.len() == count {
                return ready;
            }
            assert!(
                Instant::now() < late,
                "{ready:?} of {count} pods of {namespace} are ready: {}",
                self.states(namespace)
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn items(&self, recording: &str) -> Vec<Json> {
        let found = run(Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .env("HOME", self.data.path())
            .arg("query")
            .arg(self.data.path().join("data/kept"))
            .args(["--format", "json", "--kfl"])
            .arg(format!("http and record(\"{recording}\")")));
        let text = String::from_utf8(found).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Deletes the worker and waits for the next one: what was open is sealed by then.
    fn next_worker(&self) {
        let before = self.ready("tapedeck");
        let name = before.keys().find(|name| name.contains("worker")).unwrap();
        let path = format!("/api/v1/namespaces/tapedeck/pods/{name}");
        self.ask("DELETE", &path, &Json::Null);
        let late = Instant::now() + PATIENCE;
        while self.ready("tapedeck").len() < 2 || self.ready("tapedeck").contains_key(name) {
            assert!(Instant::now() < late, "no other worker");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = Command::new(root().join("tools/node.sh"))
            .arg("down")
            .arg(&self.folder)
            .output();
    }
}

fn container(command: &str) -> Json {
    json!({
        "name": "c", "image": "localhost/box:1", "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
    })
}

#[test]
fn pods_of_a_whole_node_are_recorded_with_their_names_also_those_that_are_gone() {
    if !is_asked_for() {
        return;
    }
    let Some(node) = Node::start() else {
        return;
    };
    node.image();
    node.make("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}}));
    let mut web = container("httpd -f -p 8080 -h /www");
    web["ports"] = json!([{"containerPort": 8080}]);
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [web], "terminationGracePeriodSeconds": 1}});
    let deployment = json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    });
    node.make("/apis/apps/v1/namespaces/shop/deployments", &deployment);
    let service = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    node.make("/api/v1/namespaces/shop/services", &service);
    let first = node.wait_for_pods("shop", 2);
    node.install();
    node.wait_for_pods("tapedeck", 2);
    // Until the hub has told the worker its names.
    std::thread::sleep(Duration::from_secs(5));
    let calls = "n=0; while [ $n -lt 2000 ]; do wget -q -O - http://web.shop.svc.cluster.local/index.html?n=$n; n=$((n+1)); sleep 0.5; done";
    let client =
        json!({"metadata": {"name": "client"}, "spec": {"containers": [container(calls)]}});
    node.make("/api/v1/namespaces/shop/pods", &client);
    node.wait_for_pods("shop", 3);
    std::thread::sleep(Duration::from_secs(10));
    let gone = first.keys().next().unwrap();
    node.ask(
        "DELETE",
        &format!("/api/v1/namespaces/shop/pods/{gone}"),
        &Json::Null,
    );
    std::thread::sleep(Duration::from_secs(8));
    let second = node.wait_for_pods("shop", 3);
    assert!(!second.contains_key(gone));
    node.next_worker();

    let items = node.items("recording");
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for item in &items {
        let url = item["request"]["url"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        *times.entry(url).or_default() += 1;
        assert_eq!(item["src"]["name"], "client", "{item}");
        assert_eq!(item["src"]["namespace"], "shop");
        assert_eq!(item["dst"]["service"]["metadata"]["name"], "web", "{item}");
        assert_eq!(item["node"]["name"], "node-a");
    }
    assert!(items.len() > 20, "{}", items.len());
    assert!(times.values().all(|count| *count == 1), "{times:?}");

    // The minute before the pod was deleted, in a reel of its own, under the name that is gone.
    let kept = node.items("deleted");
    let of_gone = kept
        .iter()
        .filter(|item| item["dst"]["pod"]["metadata"]["name"] == gone.as_str());
    assert!(of_gone.count() > 3, "{} items: {kept:?}", kept.len());
}
