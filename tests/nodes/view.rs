//! One view of all nodes: searches over rows, spools and archives, coverage, raw packets, pushed scripts.

use base64::Engine as _;

use super::*;

/// Rows of a search, all pages, and what was missing at the last.
pub(super) fn search(hub: &Hub<'_>, query: &str) -> (Vec<Json>, Vec<Json>) {
    let mut rows = Vec::new();
    let mut before = String::new();
    loop {
        let q: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let page = hub.get(&format!("/api/v1/search?limit=7&q={q}{before}"));
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => return (rows, page["missing"].as_array().unwrap().clone()),
        }
    }
}

/// How many rows are of each node, and where they are from; every call once a node, in order of time.
pub(super) fn found(hub: &Hub<'_>, name: &str) -> (BTreeMap<String, u32>, Vec<String>) {
    let query = format!("http and request.path.startsWith(\"/{name}-\")");
    let (rows, _) = search(hub, &query);
    let times: Vec<i64> = rows
        .iter()
        .map(|row| row["timestamp"].as_i64().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let mut seen = BTreeMap::new();
    let (mut calls, mut from) = (Vec::new(), Vec::new());
    for row in &rows {
        let node = row["node"].as_str().unwrap().to_owned();
        calls.push((node.clone(), row["summary"].as_str().unwrap().to_owned()));
        from.push(row["from"].as_str().unwrap().to_owned());
        *seen.entry(node).or_default() += 1;
    }
    let all = calls.len();
    calls.sort();
    calls.dedup();
    assert_eq!(calls.len(), all, "a call is there twice: {rows:?}");
    from.sort();
    from.dedup();
    (seen, from)
}

fn each(nodes: &[(&str, u32)]) -> BTreeMap<String, u32> {
    let nodes = nodes.iter();
    nodes
        .map(|(node, count)| ((*node).to_owned(), *count))
        .collect()
}

pub(super) fn waits_for(hub: &Hub<'_>, name: &str, nodes: &[(&str, u32)]) -> Vec<String> {
    let mut last = Default::default();
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        last = found(hub, name);
        if last.0 == each(nodes) {
            return last.1;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    panic!("{name}: {last:?}, not {nodes:?}\n{}", hub.running.said());
}

#[test]
fn live_rows_spools_and_archives_are_one_answer() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let hub = cluster.hub();
    let worker = cluster.worker("a");
    let other = cluster.worker("b");
    let _servers = ["a", "b"].map(|node| cluster.server(node));
    cluster.call("a", "b", "early", 12);
    assert_eq!(waits_for(&hub, "early", &[("a", 12), ("b", 12)]), ["live"]);

    // What was sealed before a worker was started anew is in its archive, the rest in its spool.
    let sealed = hub.ask("/api/v1/recordings/seal", &["-X", "POST"]);
    assert!(serde_json::from_slice::<Json>(&sealed).unwrap().as_u64() >= Some(2));
    wait("the reels are uploaded", || {
        let outbox = &hub.get("/api/v1/status")["run"]["outbox"];
        outbox["waiting"] == 0 && outbox["uploaded"].as_u64() >= Some(2)
    });
    cluster.call("a", "b", "later", 3);
    waits_for(&hub, "later", &[("a", 3), ("b", 3)]);
    let Hub { running, .. } = hub;
    running.kill();
    assert_eq!(worker.end(), Some(0));
    let hub = cluster.hub();
    let all_are_there = || {
        wait("the workers are back", || {
            ["a", "b"]
                .iter()
                .all(|node| hub.node(node)["connected"] == true)
        });
    };
    let (kept, away) = (cluster.path("a").join("recordings"), cluster.path("away"));
    fs::rename(&kept, &away).unwrap();
    let worker = cluster.worker("a");
    all_are_there();
    for (name, count) in [("early", 12), ("later", 3)] {
        let from = waits_for(&hub, name, &[("a", count), ("b", count)]);
        assert_eq!(from, ["live", "spool"], "{name}");
    }
    // A row of a worker's spool leads to the packets of the run that captured it.
    let (rows, _) = search(&hub, "http and request.path == \"/later-1\"");
    let row = rows.iter().find(|row| row["from"] == "spool").unwrap();
    let text = |name: &str| row[name].as_str().unwrap();
    let (stream, of) = (text("stream"), text("worker"));
    let asked = format!("/api/v1/packets/{stream}?worker={of}&run=");
    let packets = hub.get(&format!("{asked}{}", row["run"]));
    let bytes = packets["packets"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|packet| {
            let bytes = packet["bytes"].as_str().unwrap();
            base64::engine::general_purpose::STANDARD
                .decode(bytes)
                .unwrap()
        });
    let bytes: Vec<u8> = bytes.collect();
    let path = b"/later-1";
    assert!(bytes.windows(path.len()).any(|part| part == path), "{row}");
    let gone = hub.get(&format!("{asked}1"));
    let said = gone["error"].as_str().unwrap();
    assert!(said.contains("run 1 is no longer in the spool"), "{gone}");
    assert_eq!(worker.end(), Some(0));
    // What still waited for its upload went into the new folder.
    let mut copy = Command::new("cp");
    let copied = copy.arg("-r").arg(away.join(".")).arg(&kept).status();
    assert!(copied.unwrap().success());
    fs::remove_dir_all(cluster.path("a").join("spool")).unwrap();
    let worker = cluster.worker("a");
    all_are_there();
    let archive = kept.display().to_string();
    for (name, count) in [("early", 12), ("later", 3)] {
        let from = waits_for(&hub, name, &[("a", count), ("b", count)]);
        assert_eq!(from, [archive.clone(), "live".to_owned()], "{name}");
    }

    // All that a node captured can be had.
    let packets = hub.ask("/api/v1/pcapdump?node=b", &[]);
    let capture = cluster.path("b.pcapng");
    fs::write(&capture, &packets).unwrap();
    let query = "http and request.path.startsWith(\"/early-\")";
    let read = cluster.plain("query", &capture, &["--kfl", query, "--format", "json"]);
    assert_eq!(String::from_utf8_lossy(&read).lines().count(), 12);
    let nobody = hub.get("/api/v1/pcapdump?node=nobody");
    assert_eq!(nobody["error"], "no node is called nobody");

    // The drop-in archive has a folder for each node.
    let body = json!({"query": "node.name == \"b\" and request.path == \"/early-7\""});
    let archive = hub.ask("/api/v1/pcaps/merge", &["-d", &body.to_string()]);
    let path = cluster.path("merged.tar.gz");
    fs::write(&path, &archive).unwrap();
    let listed = Command::new("tar").arg("-tzf").arg(&path).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("b_10.77.0.12/name_resolution_history.json"),
        "{listed}"
    );
    let read = cluster.plain("query", &path, &["--kfl", "http", "--format", "json"]);
    assert_eq!(String::from_utf8_lossy(&read).lines().count(), 12);

    // Stores and coverage of the workers are told at the hub.
    let stores = hub.get("/api/v1/archive/stores").to_string();
    assert!(stores.contains("recordings"), "{stores}");
    let coverage = hub.get("/api/v1/coverage");
    let nodes = |list: &str| -> Vec<String> {
        let list = coverage[list].as_array().unwrap().iter();
        list.map(|one| one["node"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(
        ["a", "b"]
            .iter()
            .all(|node| nodes("captured").iter().any(|one| one == node)),
        "{coverage}"
    );
    assert!(nodes("reels").contains(&"b".to_owned()), "{coverage}");

    // A node that is not there is told.
    other.kill();
    wait("it is missing", || hub.node("b")["connected"] == false);
    let (_, missing) = search(&hub, query);
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0]["what"], "b");
    let coverage = hub.get("/api/v1/coverage");
    let gone = coverage["missing"].as_array().unwrap();
    assert!(
        gone.iter()
            .any(|one| one["node"] == "b" && one["to"].is_null()),
        "{coverage}"
    );
    assert_eq!(worker.end(), Some(0));
}

#[test]
fn scripts_are_pushed_to_the_hub_and_run_on_every_node() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let hub = cluster.hub();
    let _worker = cluster.worker("a");
    let post = |path: &str, method: &str, body: &Json| -> Json {
        let body = body.to_string();
        let answer = hub.ask(path, &["-X", method, "-d", &body]);
        serde_json::from_slice(&answer).unwrap_or_default()
    };
    let env = json!({"GREETING": "hello", "API_TOKEN": "sesame-sesame"});
    assert_eq!(post("/api/scripts/env", "POST", &env)["names"], 2);
    let told = hub.get("/api/scripts/env");
    assert_eq!(told, json!({"GREETING": "hello", "API_TOKEN": "********"}));
    let code = "// pushed\nconsole.log(env.GREETING, utils.nodeName(), env.API_TOKEN)";
    let script = json!({"title": "pushed", "code": code});
    assert_eq!(post("/api/scripts", "POST", &script)["index"], 0);
    assert_eq!(post("/api/scripts/done", "POST", &json!({}))["scripts"], 1);
    hub.hears("[a-0] hello a ***");
    let changed = json!({"code": "// pushed\nconsole.log('changed at', utils.nodeName())"});
    assert_eq!(post("/api/scripts/0", "PUT", &changed)["index"], 0);
    hub.hears("[a-0] changed at a");
    let wrong = json!({"RECORDING_KFL": "http and ("});
    let refused = post("/api/scripts/env", "POST", &wrong);
    assert!(refused["error"].is_string(), "{refused}");
    let missing = post("/api/scripts/9", "PUT", &changed);
    assert_eq!(missing["error"], "there is no pushed script 9");
    assert_eq!(post("/api/scripts/0", "DELETE", &Json::Null)["index"], 0);
    wait("it is gone", || hub.get("/api/scripts") == json!([]));
}
