//! Names and targets of a real API server, told by the hub to a worker that asks it nothing.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value as Json, json};

use super::kept_query::{free_port, probe};
use super::real::Real;
use super::release::{PATIENCE, Running, dashboard, get, text};
use super::tap::{Loopback, REQUESTS, traffic};
use crate::dashboard::send;
use crate::node::make_certs;

/// Runs the program in a home of its own, with its configuration.
fn start(folder: &Path, role: &str, config: &Json, arguments: &[&str]) -> Running {
    let home = folder.join(role);
    fs::create_dir_all(&home).unwrap();
    configure(folder, role, config);
    let (out, err) = (home.join("out"), home.join("err"));
    let child = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .env_clear()
        .env("HOME", &home)
        .env("NO_COLOR", "1")
        .arg(role)
        .args(arguments)
        .arg("--tls")
        .arg(folder.join("certs").join(role))
        .arg("--config-path")
        .arg(home.join("tapedeck.yaml"))
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    Running { child, out, err }
}

fn configure(folder: &Path, role: &str, config: &Json) {
    let path = folder.join(role).join("tapedeck.yaml");
    let half = path.with_extension("half");
    fs::write(&half, config.to_string()).unwrap();
    fs::rename(half, path).unwrap();
}

fn hub_config(folder: &Path, regex: &str, kubeconfig: &Path) -> Json {
    json!({
        "tap": {"regex": regex, "namespaces": ["shop"], "metrics": {"port": 0},
                "proxy": {"front": {"port": 0}}, "dataDir": folder.join("hub/data")},
        "kube": {"configPath": kubeconfig},
        "scripting": {"env": {"RECORDING_KFL": "http"}},
    })
}

/// Waits for what the hub says.
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let late = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < late, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Source and destination pod of each recorded call with this tag.
fn recorded(folder: &Path, tag: &str) -> Vec<(String, String)> {
    let found = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .env_clear()
        .env("HOME", folder)
        .arg("query")
        .arg(folder.join("kept"))
        .args(["--format", "json", "--kfl", "http"])
        .output()
        .unwrap();
    let pod = |item: &Json, side: &str| {
        let name = item[side]["pod"]["metadata"]["name"].as_str();
        name.unwrap_or("-").to_owned()
    };
    text(&found.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap())
        .filter(|item| {
            let path = item["request"]["path"].as_str().unwrap_or_default();
            path.starts_with(&format!("/{tag}/"))
        })
        .map(|item| (pod(&item, "src"), pod(&item, "dst")))
        .collect()
}

fn all(src: &str, dst: &str) -> Vec<(String, String)> {
    vec![(src.to_owned(), dst.to_owned()); REQUESTS]
}

#[test]
fn a_worker_has_names_and_targets_from_the_hub_and_keeps_them_without_it() {
    let Some(mut loopback) = Loopback::start() else {
        return;
    };
    let (runtime, real, port) = (&loopback.runtime, &loopback.real, loopback.port);
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    make_certs(folder);
    let kubeconfig = real.admin_kubeconfig();
    let config = |regex: &str| hub_config(folder, regex, &kubeconfig);
    let arguments = ["--listen", "127.0.0.1:0", "--headless"];
    let mut hub = start(folder, "hub", &config("^cart"), &arguments);
    let said = hub.says("?token=");
    let (address, token) = dashboard(&said);
    let link = said.split("Waiting for workers on ").nth(1).unwrap();
    let link = link.split(';').next().unwrap().to_owned();
    let worker_config = json!({
        "tap": {"dataDir": folder.join("worker/data"), "metrics": {"port": 0}},
        "recording": {"destination": folder.join("kept")},
    });
    let arguments = ["--hub", &link, "--node", "node-a", "-i", "lo"];
    let mut worker = start(folder, "worker", &worker_config, &arguments);
    worker.says("Connected with the hub");
    let targeted = |pod: &str| {
        let pods = get(&address, &token, "/api/v1/pods/targeted");
        let pods = pods.as_array().cloned().unwrap_or_default();
        pods.len() == 1 && pods[0].to_string().contains(&format!("\"name\":\"{pod}\""))
    };
    wait("the first targets", || targeted("cart-1"));
    // The worker is told within a second, and its filter looks each tenth of one.
    let settle = || std::thread::sleep(Duration::from_secs(3));
    settle();
    traffic(port, "first");

    // Other targets, and another pod at an address.
    configure(folder, "hub", &config("^pay"));
    wait("other targets", || targeted("pay-1"));
    runtime.block_on(async {
        real.delete_pod("web", "front-1").await;
        real.make_pod("web", "front-2", "127.0.7.9", &Json::Null)
            .await;
    });
    settle();
    traffic(port, "second");
    wait("the names are shown", || {
        let rows = get(&address, &token, "/api/v1/search?limit=1000&q=http");
        let rows = rows["rows"].as_array().cloned().unwrap_or_default();
        let is = |row: &&Json| row["src"]["name"] == "front-2" && row["dst"]["name"] == "pay-1";
        rows.iter().filter(is).count() == REQUESTS
    });
    let counts = get(&address, &token, "/api/v1/status");
    assert!(
        counts["counts"]["notTargeted"].as_u64() > Some(0),
        "{counts}"
    );

    // A capture filter instead, which the page chooses: pods do not count, and one that is none changes
    // nothing.
    let choose = |bpf: &str| {
        let wanted = json!({"regex": "^pay", "namespaces": ["shop"], "bpf": bpf});
        let line = "POST /api/v1/targets";
        let (status, answer) = send(address.parse().unwrap(), &token, line, &wanted);
        (status, text(&answer))
    };
    let to_cart = "host 127.0.7.7";
    assert_eq!(choose(to_cart).0, 200);
    let (status, answer) = choose("host cart-1 or");
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("is not valid"), "{answer}");
    let wanted = &get(&address, &token, "/api/v1/targets")["wanted"];
    assert_eq!(wanted["bpf"], to_cart, "{wanted}");
    settle();
    traffic(port, "filtered");
    // Without one the pods count again.
    assert_eq!(choose("").0, 200);
    settle();

    // Without the hub both stay in force.
    hub.child.kill().unwrap();
    hub.child.wait().unwrap();
    traffic(port, "third");

    // A new hub that cannot list the pods does not say that everything is captured.
    loopback.real.stop_api();
    let arguments = ["--listen", &link, "--headless"];
    let mut hub = start(folder, "hub", &config("^pay"), &arguments);
    hub.says("The worker of node-a is connected");
    settle();
    traffic(port, "fourth");
    ends_well(worker);
    assert_eq!(recorded(folder, "first"), all("front-1", "cart-1"));
    assert_eq!(recorded(folder, "second"), all("front-2", "pay-1"));
    assert_eq!(recorded(folder, "filtered"), all("front-2", "cart-1"));
    assert_eq!(recorded(folder, "third"), all("front-2", "pay-1"));
    assert_eq!(recorded(folder, "fourth"), all("front-2", "pay-1"));
}

fn ends_well(program: Running) {
    let said = program.err.clone();
    let code = program.end();
    assert_eq!(code, Some(0), "{}", fs::read_to_string(said).unwrap());
}

/// The hub has not listed the pods when the worker comes, and the worker was never told any targets.
#[test]
fn a_worker_without_targets_waits_for_them_and_loses_none_of_what_they_name() {
    let Some(mut loopback) = Loopback::start() else {
        return;
    };
    loopback.real.stop_api();
    let port = loopback.port;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    make_certs(folder);
    let mut config = hub_config(folder, "^cart", &loopback.real.admin_kubeconfig());
    // It is recorded by name, so the names are waited for too, and are there without a hub.
    config["scripting"]["env"]["RECORDING_KFL"] = "dst.name == \"cart-1\"".into();
    let arguments = ["--listen", "127.0.0.1:0", "--headless"];
    let mut hub = start(folder, "hub", &config, &arguments);
    let said = hub.says("?token=");
    let (address, token) = dashboard(&said);
    let link = said.split("Waiting for workers on ").nth(1).unwrap();
    let link = link.split(';').next().unwrap().to_owned();
    let metrics = free_port();
    let worker_config = json!({
        "tap": {"dataDir": folder.join("worker/data"), "metrics": {"port": metrics},
                "regex": "^cart", "namespaces": ["shop"]},
        "recording": {"destination": folder.join("kept")},
    });
    let arguments = ["--hub", &link, "--node", "node-a", "-i", "lo"];
    let unknown = "which pods are captured is not known on this node yet";
    let mut worker = start(folder, "worker", &worker_config, &arguments);
    let said = worker.says("Connected with the hub");
    assert!(said.contains(unknown), "{said}");
    let settle = || std::thread::sleep(Duration::from_secs(3));
    settle();
    traffic(port, "early");
    let (status, why) = probe(metrics, "/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("has not said yet which pods"), "{why}");
    let awaited = "\ntapedeck_worker_targets_awaited 1\n";
    assert!(probe(metrics, "/metrics").1.contains(awaited));
    wait("the dashboard says so", || {
        let status = get(&address, &token, "/api/v1/status");
        let of_node = &status["run"]["nodes"][0]["waits"];
        of_node.is_string()
            && status["run"]["remarks"]
                .to_string()
                .contains("node-a: the hub has not said")
    });
    loopback.runtime.block_on(loopback.real.start_api());
    wait("the pods are listed", || {
        let pods = get(&address, &token, "/api/v1/pods/targeted");
        pods.to_string().contains("cart-1")
    });
    wait("the worker is told", || probe(metrics, "/readyz").0 == 200);
    settle();
    traffic(port, "late");
    settle();
    ends_well(worker);
    // The next one knows them without a hub.
    hub.child.kill().unwrap();
    hub.child.wait().unwrap();
    let mut worker = start(folder, "worker", &worker_config, &arguments);
    let said = worker.says("Capturing live on lo");
    assert!(!said.contains(unknown), "{said}");
    settle();
    traffic(port, "again");
    assert_eq!(worker.end(), Some(0));
    let pods = |tag: &str| {
        let mut pods: Vec<String> = recorded(folder, tag)
            .into_iter()
            .map(|(_, dst)| dst)
            .collect();
        pods.dedup();
        pods
    };
    for tag in ["early", "late", "again"] {
        assert_eq!(pods(tag), ["cart-1"]);
        assert_eq!(
            recorded(folder, tag).len(),
            REQUESTS,
            "{tag}: {:?}",
            pods(tag)
        );
    }
}

/// Nobody says which pods are captured before the worker ends.
#[test]
fn packets_that_waited_for_targets_in_vain_are_counted_as_lost() {
    let Some(loopback) = Loopback::start() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    make_certs(folder);
    let worker_config = json!({
        "tap": {"dataDir": folder.join("worker/data"), "metrics": {"port": 0}, "regex": "^cart"},
        "recording": {"destination": folder.join("kept")},
        "scripting": {"env": {"RECORDING_KFL": "http"}},
    });
    let hub = format!("127.0.0.1:{}", free_port());
    let arguments = ["--hub", &hub, "--node", "node-a", "-i", "lo"];
    let mut worker = start(folder, "worker", &worker_config, &arguments);
    worker.says("nothing is captured until it says which pods are");
    traffic(loopback.port, "early");
    let said = worker.err.clone();
    assert_eq!(worker.end(), Some(3));
    let said = fs::read_to_string(said).unwrap();
    let lost = "packets were thrown away because the hub had not said which pods are captured";
    assert!(said.contains(lost), "{said}");
    assert_eq!(recorded(folder, "early"), []);
}

fn post(address: &str, token: &str, path: &str, body: &Json) {
    let line = format!("POST {path}");
    let (status, answer) = send(address.parse().unwrap(), token, &line, body);
    assert_eq!(status, 200, "{}", text(&answer));
}

/// The secret of hubs.
const KEPT: &str = "/api/v1/namespaces/tap/secrets/hub-kept";

/// An API server with that secret; `None` where there is none.
async fn keeping() -> Option<Real> {
    let real = Real::start().await?;
    let of = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    let namespace = of("Namespace", "tap");
    real.make("/api/v1/namespaces", &namespace).await;
    let secret = of("Secret", "hub-kept");
    real.make("/api/v1/namespaces/tap/secrets", &secret).await;
    Some(real)
}

/// The pod of a hub is replaced, its data folder with it; the API server is away when the next one starts.
#[test]
fn what_was_added_to_a_hub_outlives_its_pod() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(mut real) = runtime.block_on(keeping()) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    make_certs(folder);
    let mut config = hub_config(folder, "^cart", &real.admin_kubeconfig());
    config["cluster"] = json!({"kept": "tap/hub-kept"});
    let arguments = ["--listen", "127.0.0.1:0", "--headless"];
    let mut hub = start(folder, "hub", &config, &arguments);
    let (address, token) = dashboard(&hub.says("?token="));
    let evidence = json!({"name": "evidence", "kfl": "dns"});
    post(&address, &token, "/api/v1/recordings/add", &evidence);
    let script = json!({"title": "Count", "file": "count.js", "code": "var count = 0;"});
    post(&address, &token, "/api/v1/scripts", &script);
    let names = [
        "count.js",
        "hub-recordings.json",
        "hub-configured.json",
        "targets.json",
    ];
    wait("all are in the secret", || {
        let kept = runtime.block_on(real.ask(Method::GET, KEPT, &Json::Null));
        let data = kept["data"].as_object();
        data.is_some_and(|data| names.iter().all(|name| data.contains_key(*name)))
    });
    hub.child.kill().unwrap();
    hub.child.wait().unwrap();

    fs::remove_dir_all(folder.join("hub/data")).unwrap();
    real.stop_api();
    // What was valid last is there too.
    config["tap"]["regex"] = "cart(".into();
    config["scripting"]["env"]["RECORDING_KFL"] = "http and (".into();
    let mut hub = start(folder, "hub", &config, &arguments);
    hub.says("workers go on with what they were told last");
    runtime.block_on(real.start_api());
    let said = hub.says("?token=");
    assert!(
        said.contains("what was in force last stays until it is corrected"),
        "{said}"
    );
    assert!(
        said.contains("workers go on with the last valid one: http"),
        "{said}"
    );
    let (address, token) = dashboard(&said);
    let wanted = get(&address, &token, "/api/v1/targets")["wanted"].clone();
    assert_eq!(wanted["regex"], "^cart");
    // Only a recording that was added can be removed.
    let remove = "/api/v1/recordings/remove?name=evidence";
    post(&address, &token, remove, &Json::Null);
    // The next start with this folder asks nobody.
    assert!(folder.join("hub/data/hub-filled").exists());
    let pushed = folder.join("hub/data/pushed/count.js");
    assert_eq!(fs::read_to_string(pushed).unwrap(), "var count = 0;");
    assert_eq!(hub.end(), Some(0));
}

#[test]
fn two_hubs_with_one_secret_do_not_lose_what_was_added_to_either() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(real) = runtime.block_on(keeping()) else {
        return;
    };
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut hubs = homes.each_ref().map(|home| {
        make_certs(home.path());
        let mut config = hub_config(home.path(), "", &real.admin_kubeconfig());
        config["cluster"] = json!({"kept": "tap/hub-kept"});
        let arguments = ["--listen", "127.0.0.1:0", "--headless"];
        start(home.path(), "hub", &config, &arguments)
    });
    let kept = || {
        let kept = runtime.block_on(real.ask(Method::GET, KEPT, &Json::Null));
        let list = kept["data"]["hub-recordings.json"]
            .as_str()
            .unwrap_or_default();
        let list = STANDARD.decode(list).unwrap();
        let list: Json = serde_json::from_slice(&list).unwrap_or_default();
        let names = list.as_array().into_iter().flatten();
        let names: Vec<String> = names
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        names.join(" ")
    };
    let places = hubs.each_mut().map(|hub| dashboard(&hub.says("?token=")));
    for (place, name, all) in [
        (0, "one", "one"),
        (1, "two", "one two"),
        (0, "three", "one two three"),
    ] {
        let (address, token) = &places[place];
        let added = json!({"name": name, "kfl": "dns"});
        post(address, token, "/api/v1/recordings/add", &added);
        wait("it is kept beside the others", || kept() == all);
    }
    hubs[1].says("another hub keeps what is added to it in the same secret");
    for hub in hubs {
        assert_eq!(hub.end(), Some(0));
    }
}
