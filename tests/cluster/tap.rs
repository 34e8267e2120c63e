//! `tapedeck tap` with a kubeconfig: pods on addresses of the loopback interface call each other.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};

use super::real::Real;
use crate::road::may_capture;

/// Requests to each of the two services in one run of the traffic.
pub(super) const REQUESTS: usize = 20;

/// Two servers, and a client that asks both.
const TRAFFIC: &str = r#"
import http.client, http.server, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'ok')
    def log_message(self, *_): pass
port, count, tag = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
ips = ['127.0.7.7', '127.0.7.8']
for ip in ips:
    server = http.server.ThreadingHTTPServer((ip, port), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
for n in range(count):
    for ip in ips:
        c = http.client.HTTPConnection(ip, port, source_address=('127.0.7.9', 0))
        c.request('GET', f'/{tag}/{n}'); c.getresponse().read(); c.close()
"#;

pub(super) struct Tap {
    child: Child,
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tap {
    /// Starts on loopback with `tapedeck.yaml` of the folder; what it says is in `out` and `err` there.
    pub(super) fn start(folder: &Path, real: &Real) -> Tap {
        let child = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .env_clear()
            .env("HOME", folder)
            .args(["tap", "-i", "lo", "--headless", "--config-path"])
            .arg(folder.join("tapedeck.yaml"))
            .arg("--kubeconfig")
            .arg(real.admin_kubeconfig())
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("out")).unwrap())
            .stderr(File::create(folder.join("err")).unwrap())
            .spawn();
        Tap {
            child: child.unwrap(),
        }
    }

    /// Ends it as Ctrl+C does, and answers its exit code.
    pub(super) fn end(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

pub(super) fn said(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_default()
}

pub(super) fn wait_for(folder: &Path, name: &str, words: &str) {
    let late = Instant::now() + Duration::from_secs(60);
    while !said(folder, name).contains(words) {
        assert!(
            Instant::now() < late,
            "{words}: {} {}",
            said(folder, "out"),
            said(folder, "err")
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The items of the archive `kept` in the folder.
pub(super) fn recorded(folder: &Path) -> Vec<Json> {
    let found = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .env_clear()
        .env("HOME", folder)
        .arg("query")
        .arg(folder.join("kept"))
        .args(["--format", "json"])
        .output()
        .unwrap();
    let text = String::from_utf8(found.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(super) fn configure(folder: &Path, regex: &str) {
    let config = json!({
        "tap": {"regex": regex, "namespaces": ["shop"], "dataDir": folder.join("data")},
        "recording": {"destination": folder.join("kept")},
        "scripting": {
            "env": {"RECORDING_KFL": r#"http and src.pod.metadata.name == "front-1""#},
            "source": folder.join("scripts"),
        },
    });
    std::fs::write(folder.join("tapedeck.yaml"), config.to_string()).unwrap();
}

pub(super) fn traffic(port: u16, tag: &str) {
    let count = REQUESTS.to_string();
    let status = Command::new("python3")
        .args(["-c", TRAFFIC, &port.to_string(), &count, tag])
        .status();
    assert!(status.unwrap().success());
}

async fn prepare(real: &Real, port: u16) {
    for namespace in ["shop", "web"] {
        let namespace = json!({"metadata": {"name": namespace}});
        real.make("/api/v1/namespaces", &namespace).await;
    }
    // Addresses of the loopback are none that a slice may have; of a pod its own ones count.
    let slice = json!({
        "metadata": {"name": "cart-x", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": port}],
        "endpoints": [{
            "addresses": ["10.244.1.7"],
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": "cart-1"},
        }],
    });
    let path = "/apis/discovery.k8s.io/v1beta1/namespaces/shop/endpointslices";
    real.make(path, &slice).await;
    let labels = json!({"labels": {"app": "cart"}});
    real.make_pod("shop", "cart-1", "127.0.7.7", &labels).await;
    real.make_pod("shop", "pay-1", "127.0.7.8", &Json::Null)
        .await;
    real.make_pod("web", "front-1", "127.0.7.9", &Json::Null)
        .await;
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.7.7:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Held by tests whose pods have these addresses, since each hears all that is sent on the interface.
static ADDRESSES: Mutex<()> = Mutex::new(());

/// An API server with pods on addresses of the loopback interface.
pub(super) struct Loopback {
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) real: Real,
    /// Of the services.
    pub(super) port: u16,
    _alone: MutexGuard<'static, ()>,
}

impl Loopback {
    /// Starts it; `None`, and a line that says so, where something is missing.
    pub(super) fn start() -> Option<Loopback> {
        let alone = ADDRESSES.lock().unwrap_or_else(PoisonError::into_inner);
        if !may_capture() {
            return None;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let port = free_port();
        let real = runtime.block_on(async {
            let real = Real::start().await?;
            prepare(&real, port).await;
            Some(real)
        })?;
        Some(Loopback {
            runtime,
            real,
            port,
            _alone: alone,
        })
    }
}

#[test]
fn only_targeted_pods_are_recorded_and_both_sides_have_their_names() {
    let Some(loopback) = Loopback::start() else {
        return;
    };
    let (runtime, real, port) = (&loopback.runtime, &loopback.real, loopback.port);
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    std::fs::create_dir(folder.join("scripts")).unwrap();
    let script = "function onPodEvent(event, pod) { console.log('heard', event, pod.metadata.name, hub.targeted()) }";
    std::fs::write(folder.join("scripts/pods.js"), script).unwrap();
    configure(folder, "^cart");
    let mut tap = Tap::start(folder, real);
    wait_for(
        folder,
        "err",
        "Names of pods and services come from https://127.0.0.1:",
    );
    wait_for(folder, "out", "heard ADDED front-1");
    wait_for(folder, "out", "heard ADDED pay-1");
    wait_for(folder, "err", "1 pod is targeted: shop/cart-1");
    // The filter looks again each tenth of a second.
    std::thread::sleep(Duration::from_millis(500));
    traffic(port, "first");
    // Other targets, and pods that change, while it runs; what was sent is looked at before.
    std::thread::sleep(Duration::from_secs(2));
    configure(folder, "^pay");
    wait_for(folder, "err", "1 pod is targeted: shop/pay-1");
    std::thread::sleep(Duration::from_millis(500));
    traffic(port, "second");
    runtime.block_on(async {
        let path = "/api/v1/namespaces/shop/pods/pay-1";
        let mut pod = real.ask(Method::GET, path, &Json::Null).await;
        pod["metadata"]["labels"] = json!({"changed": "yes"});
        real.ask(Method::PUT, path, &pod).await;
        real.delete_pod("web", "front-1").await;
    });
    wait_for(folder, "out", "heard MODIFIED pay-1");
    wait_for(folder, "out", "heard DELETED front-1");
    let code = tap.end();
    let err = said(folder, "err");
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("1 pod is targeted: shop/cart-1"), "{err}");
    assert!(err.contains("1 pod is targeted: shop/pay-1"), "{err}");
    let line = err.lines().find(|line| line.contains("as not targeted"));
    let line = line.unwrap_or_else(|| panic!("{err}"));
    let count = line.split(" as not targeted").next().unwrap();
    let count: u64 = count.rsplit(' ').next().unwrap().parse().unwrap();
    // Ten packets a request at least, half of the requests.
    assert!(count >= 10 * 2 * REQUESTS as u64, "{line}");

    let items = recorded(folder);
    let kept = |tag: &str, pod: &str| {
        let is = |item: &&Json| {
            item["request"]["path"].as_str().unwrap().starts_with(tag)
                && item["dst"]["pod"]["metadata"]["name"] == pod
        };
        items.iter().filter(is).count()
    };
    assert_eq!(items.len(), 2 * REQUESTS, "{err}");
    assert_eq!(kept("/first/", "cart-1"), REQUESTS);
    assert_eq!(kept("/second/", "pay-1"), REQUESTS);
    let cart = items
        .iter()
        .find(|item| item["dst"]["name"] == "cart-1")
        .unwrap();
    assert_eq!(cart["dst"]["namespace"], "shop");
    assert_eq!(cart["dst"]["service"]["metadata"]["name"], "cart");
    assert_eq!(cart["dst"]["pod"]["metadata"]["labels"]["app"], "cart");
    assert_eq!(cart["dst"]["pod"]["container"]["name"], "app");
    assert_eq!(cart["dst"]["resolutionMechanism"], "ip-and-port");
    // The pod is gone, and its calls have its name.
    assert_eq!(cart["src"]["pod"]["metadata"]["name"], "front-1");
    assert_eq!(cart["src"]["namespace"], "web");
    let out = said(folder, "out");
    let targeted = out
        .lines()
        .rfind(|line| line.contains("heard MODIFIED pay-1"))
        .unwrap();
    assert!(
        targeted.contains(r#"{"targets":[{"metadata":{"name":"pay-1""#),
        "{targeted}"
    );
}
