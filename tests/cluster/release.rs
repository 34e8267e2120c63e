//! Commands of a laptop against a release: installed by helm into a real API server, its hub a real one
//! on this machine.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};

use super::double::{self, Kubelets};
use super::real::Real;

pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// Helm, where the tools of the tests are.
fn helm() -> Option<PathBuf> {
    let tools = std::env::var_os("TAPEDECK_TOOLS").map(PathBuf::from);
    let usual = std::env::home_dir().map(|home| home.join(".cache/tapedeck/tools"));
    let helm = tools.or(usual).unwrap_or_default().join("venv/bin/helm");
    if !helm.is_file() {
        println!("skipped: helm is not installed; run tools/test-deps.sh");
        return None;
    }
    Some(helm)
}

/// A program that is killed with the value; what it says is in files.
pub struct Running {
    pub child: Child,
    pub out: PathBuf,
    pub err: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(super) fn said(&self) -> String {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        format!("{}{}", read(&self.out), read(&self.err))
    }

    pub fn says(&mut self, words: &str) -> String {
        let late = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if said.contains(words) {
                return said;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended without {words}: {said}");
            assert!(Instant::now() < late, "{words}: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn end(mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

/// A person's computer: a home, a kubeconfig, helm on the PATH.
pub(super) struct Laptop {
    pub(super) home: tempfile::TempDir,
    pub(super) kubeconfig: PathBuf,
    pub(super) path: std::ffi::OsString,
}

impl Laptop {
    pub(super) fn folder(&self) -> &Path {
        self.home.path()
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
        command
            .env_clear()
            .env("HOME", self.folder())
            .env("PATH", &self.path)
            .env("NO_COLOR", "1")
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(self.folder())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(super) fn start(&self, name: &str, arguments: &[&str]) -> Running {
        let (out, err) = (
            self.folder().join(format!("{name}.out")),
            self.folder().join(format!("{name}.err")),
        );
        let child = self
            .command(arguments)
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Running { child, out, err }
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command said on stderr, and its exit code.
pub(super) fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stderr))
}

/// Address and token of the dashboard that a program printed.
pub fn dashboard(said: &str) -> (String, String) {
    let url = said.split("Dashboard: http://").nth(1).unwrap();
    let url = url.split_whitespace().next().unwrap();
    let (address, token) = url.split_once("/?token=").unwrap();
    (address.to_owned(), token.to_owned())
}

pub fn get(address: &str, token: &str, path: &str) -> Json {
    let answer = ureq::get(format!("http://{address}{path}"))
        .header("Authorization", format!("Bearer {token}"))
        .call();
    let text = answer.unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What a controller and a kubelet would do: the pod of the hub, with a real hub behind its port.
async fn run_hub(real: &Real, laptop: &Laptop, kubelets: &Kubelets) -> Running {
    let late = Instant::now() + PATIENCE;
    let path = "/api/v1/namespaces/default/secrets/tapedeck-hub-token";
    let client = real.admin().await.client;
    let secret = loop {
        let asked = http::Request::get(path).body(Vec::new()).unwrap();
        if let Ok(secret) = client.request::<Json>(asked).await {
            break secret;
        }
        assert!(Instant::now() < late, "the release is not installed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let token = secret["data"]["token"].as_str().unwrap();
    let token_file = laptop.folder().join("token");
    fs::write(&token_file, STANDARD.decode(token).unwrap()).unwrap();
    let certs = laptop.folder().join("certs");
    assert!(laptop.run(&["certs", "--out", "certs"]).status.success());
    let token_file = format!("tap.dashboard.tokenFile={}", token_file.display());
    let data = format!("tap.dataDir={}", laptop.folder().join("hub-data").display());
    let mut hub = laptop.start(
        "hub",
        &[
            "hub",
            "--listen",
            "127.0.0.1:0",
            "--tls",
            certs.join("hub").to_str().unwrap(),
            "--proxy-front-port",
            "0",
            "--headless",
            "--set",
            &token_file,
            "--set",
            &data,
            "--set",
            "tap.metrics.port=0",
        ],
    );
    let said = hub.says("with the token in");
    let address = said.split("Dashboard: http://").nth(1).unwrap();
    let address: SocketAddr = address.split('/').next().unwrap().parse().unwrap();
    kubelets
        .ports
        .lock()
        .unwrap()
        .insert("hub-1".into(), address);
    // What a log may hold, and a bundle must not.
    let log = format!(
        "hub says\nan error of http://127.0.0.1:8899/?token={}\n",
        text(&STANDARD.decode(token).unwrap())
    );
    kubelets.logs.lock().unwrap().insert("hub-1".into(), log);
    let labels = json!({
        "app.kubernetes.io/name": "tapedeck", "app.kubernetes.io/instance": "tapedeck",
        "app.kubernetes.io/part-of": "tapedeck", "app.kubernetes.io/component": "hub",
    });
    let pod = json!({
        "metadata": {"name": "hub-1", "labels": labels},
        "spec": {"containers": [{"name": "hub", "image": "tapedeck"}], "automountServiceAccountToken": false},
    });
    let mut pod = real
        .ask(Method::POST, "/api/v1/namespaces/default/pods", &pod)
        .await;
    pod["status"] = json!({
        "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "hub", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": {}, "lastState": {}}],
    });
    let path = "/api/v1/namespaces/default/pods/hub-1/status";
    real.ask(Method::PUT, path, &pod).await;
    hub
}

#[test]
fn a_laptop_installs_a_release_looks_at_it_and_removes_it() {
    let Some(helm) = helm() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let Some(real) = runtime.block_on(Real::start()) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let kubelets = Arc::new(Kubelets::default());
    let kubeconfig = runtime.block_on(async {
        let namespace = json!({"metadata": {"name": "shop"}});
        real.make("/api/v1/namespaces", &namespace).await;
        real.make_pod("shop", "cart-1", "10.1.0.7", &Json::Null)
            .await;
        double::start(real.admin().await.client, kubelets.clone(), home.path()).await
    });
    let scripts = home.path().join("scripts");
    fs::create_dir(&scripts).unwrap();
    fs::write(
        scripts.join("hello.js"),
        "// hello\nconsole.log('first')\nfunction onHubAction() {}",
    )
    .unwrap();
    // The server of Debian does not say its version, which helm wants of the chart in the program.
    let chart = home.path().join("chart");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/helm/tapedeck");
    let copied = Command::new("cp")
        .arg("-r")
        .args([&source, &chart])
        .status();
    assert!(copied.unwrap().success());
    let about = fs::read_to_string(chart.join("Chart.yaml")).unwrap();
    let lines = about
        .lines()
        .filter(|line| !line.starts_with("kubeVersion"));
    fs::write(
        chart.join("Chart.yaml"),
        lines.collect::<Vec<_>>().join("\n"),
    )
    .unwrap();
    let path = format!("{}:/usr/bin:/bin", helm.parent().unwrap().display());
    let laptop = Laptop {
        home,
        kubeconfig,
        path: path.into(),
    };
    let source = format!("scripting.source={}", scripts.display());

    // Nothing is there yet, and a pattern that is wrong installs nothing.
    let (code, sentence) = said(&laptop.run(&["proxy"]));
    assert_eq!(code, Some(1), "{sentence}");
    assert!(
        sentence.contains(
            "no release of tapedeck was found in the cluster; install one with: tapedeck tap -A"
        ),
        "{sentence}"
    );
    let (code, sentence) = said(&laptop.run(&["tap", "cart(", "-n", "shop"]));
    assert_eq!(code, Some(2), "{sentence}");
    let (code, sentence) = said(&laptop.run(&["tap", "cart.*", "-n", "shop", "--dryRun"]));
    assert_eq!(code, Some(0), "{sentence}");
    assert!(sentence.contains("+ shop/cart-1"), "{sentence}");
    let without = laptop
        .command(&["tap", "-n", "shop"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let (code, sentence) = said(&without);
    assert_eq!(code, Some(2), "{sentence}");
    assert!(sentence.contains("helm is not on the PATH"), "{sentence}");

    // tap installs, waits for the hub, forwards, and follows scripts.
    let mut tap = laptop.start(
        "tap",
        &[
            "tap",
            "cart.*",
            "-n",
            "shop",
            "--headless",
            "--proxy-front-port",
            "0",
            "--set",
            &source,
            "--release-helmChartPath",
            chart.to_str().unwrap(),
        ],
    );
    tap.says("Installing the release tapedeck in default");
    tap.says("Waiting for the hub: the hub of the release tapedeck does not run: it has no pod");
    let hub = runtime.block_on(run_hub(&real, &laptop, &kubelets));
    let config = runtime.block_on(async {
        let path = "/api/v1/namespaces/default/configmaps/tapedeck-config";
        real.ask(Method::GET, path, &Json::Null).await
    });
    let config = config["data"]["config.yaml"].as_str().unwrap();
    assert!(
        config.contains("regex: cart.*") && config.contains("- shop"),
        "{config}"
    );
    let (address, token) = dashboard(&tap.says("?token="));
    assert_eq!(
        get(&address, &token, "/api/v1/status")["run"]["source"],
        "0 nodes"
    );
    tap.says("[hub-0] first");
    fs::write(
        scripts.join("hello.js"),
        "// hello\nconsole.log('second')\nfunction onHubAction() {}",
    )
    .unwrap();
    tap.says("[hub-0] second");
    fs::write(
        scripts.join("hello.js"),
        "// hello\nfunction onHubAction( {",
    )
    .unwrap();
    tap.says("hello.js:2:");
    fs::write(
        scripts.join("other.js"),
        "// other\nconsole.log('another')\nfunction onHubAction() {}",
    )
    .unwrap();
    tap.says("another");
    fs::remove_file(scripts.join("other.js")).unwrap();
    tap.says("Removed other.js");

    // Other commands find the same hub.
    let console = laptop.run(&["console", "--no-follow", "--node", "hub"]);
    assert!(
        text(&console.stdout).contains("[hub-0] second"),
        "{console:?}"
    );
    let list = laptop.run(&["scripts", "list"]);
    assert!(text(&list.stdout).contains("hello (hub)"), "{list:?}");
    let recordings = laptop.run(&["recordings", "list", "--json"]);
    assert_eq!(recordings.status.code(), Some(0), "{recordings:?}");
    let (code, sentence) = said(&laptop.run(&["pcapdump", "--dest", "/nowhere"]));
    assert_eq!(code, Some(2), "{sentence}");
    let (code, sentence) = said(&laptop.run(&["pcapdump"]));
    assert_eq!((code, sentence.trim()), (Some(1), "no node is connected"));

    // The support archive has logs and states, and no secret.
    let logs = laptop.run(&["logs", "-f", "support.zip"]);
    assert_eq!(logs.status.code(), Some(0), "{logs:?}");
    let unzipped = Command::new("python3")
        .args(["-c", "import sys,zipfile;z=zipfile.ZipFile(sys.argv[1]);[print(n,z.read(n).decode()) for n in z.namelist()]"])
        .arg(laptop.folder().join("support.zip"))
        .output()
        .unwrap();
    let members = text(&unzipped.stdout);
    for name in [
        "config.yaml",
        "default.hub-1.hub.log",
        "default_events.log",
        "hub/status.json",
        "hub/console.json",
    ] {
        assert!(members.contains(name), "{name}: {members}");
    }
    assert!(members.contains("?token=********"), "{members}");
    assert!(!members.contains(&token), "the token is in the archive");

    // A hub that is gone is told, and found again.
    kubelets.ports.lock().unwrap().clear();
    let gone = ureq::get(format!("http://{address}/api/v1/status")).call();
    assert!(gone.is_err());
    tap.says("the port of the hub cannot be forwarded: container not running");
    let err = tap.err.clone();
    assert_eq!(tap.end(), Some(0));
    let sentence = fs::read_to_string(err).unwrap();
    assert!(
        sentence.contains("come back with: tapedeck proxy -s default"),
        "{sentence}"
    );

    // clean takes it away.
    let (code, sentence) = said(&laptop.run(&["clean"]));
    assert_eq!(code, Some(0), "{sentence}");
    let deployments = || {
        let path = "/apis/apps/v1/namespaces/default/deployments";
        let asked = real.ask(Method::GET, path, &Json::Null);
        runtime.block_on(asked)["items"].clone()
    };
    assert_eq!(deployments(), json!([]));
    let (code, sentence) = said(&laptop.run(&["clean"]));
    assert_eq!(code, Some(1), "{sentence}");

    // tap takes it away when that is asked for, whatever becomes of the archive that it was to write.
    let mut tap = laptop.start(
        "again",
        &[
            "tap",
            "-n",
            "shop",
            "--clean",
            "--headless",
            "--proxy-front-port",
            "0",
            "--set",
            "scripting.watchScripts=false",
            "--set",
            "dumpLogs=true",
            "--set",
            "logs.file=/nowhere/support.zip",
            "--release-helmChartPath",
            chart.to_str().unwrap(),
        ],
    );
    tap.says("Ctrl+C ends the forwarding");
    let err = tap.err.clone();
    let code = tap.end();
    let sentence = fs::read_to_string(err).unwrap();
    assert!(sentence.contains("/nowhere/support.zip"), "{sentence}");
    assert!(
        sentence.contains("Removed the release tapedeck"),
        "{sentence}"
    );
    assert_eq!(code, Some(1), "{sentence}");
    assert_eq!(deployments(), json!([]));
    drop(hub);
}
