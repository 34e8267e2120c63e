//! `tapedeck tap REGEX -n NAMESPACE` on a computer beside the cluster.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tapedeck::time::Timestamp;

use super::node::{Node, helm, run, wait};
use super::now;
use super::release::NAMESPACE;
use super::shop::Shop;

/// The command, which ends with the value.
struct Tap {
    child: Child,
    /// Address and token of the forwarded dashboard.
    dashboard: (String, String),
}

impl Tap {
    fn start(node: &Node, arguments: &[&str]) -> Tap {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<_> = std::env::split_paths(&path).collect();
        folders.insert(0, helm().parent().unwrap().to_owned());
        let mut child = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .env("HOME", node.data.path())
            .env("NO_COLOR", "1")
            .env("PATH", std::env::join_paths(folders).unwrap())
            .arg("tap")
            .args(arguments)
            .args(["-s", NAMESPACE, "--release-name", "td", "--headless"])
            .args(["--proxy-front-port", "0", "--kubeconfig"])
            .arg(node.folder.join("kubeconfig"))
            .arg("--release-helmChartPath")
            .arg(node.data.path().join("chart"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (found, dashboard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                println!("tap: {line}");
                let url = line.split_once("http://").map(|(_, url)| url.trim());
                if let Some((address, token)) = url.and_then(|url| url.split_once("/?token=")) {
                    let _ = found.send((address.to_owned(), token.to_owned()));
                }
            }
        });
        let dashboard = dashboard.recv_timeout(super::PATIENCE).unwrap();
        Tap { child, dashboard }
    }

    /// When each newest row came, and the names at its ends.
    fn rows(&self) -> Vec<(i64, [String; 2])> {
        let (address, token) = &self.dashboard;
        let asked = run(Command::new("curl")
            .args(["-s", "--max-time", "20", "-H"])
            .arg(format!("Authorization: Bearer {token}"))
            .arg(format!("http://{address}/api/v1/items?limit=1000&q=http")));
        let page: Json = serde_json::from_slice(&asked).unwrap();
        let rows = page["rows"].as_array().cloned().unwrap_or_default();
        let end =
            |row: &Json, side: &str| row[side]["name"].as_str().unwrap_or_default().to_owned();
        rows.iter()
            .map(|row| {
                let at = row["timestamp"].as_i64().unwrap();
                (at, [end(row, "src"), end(row, "dst")])
            })
            .collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::INT);
        let _ = self.child.wait();
    }
}

/// With a regular expression and a namespace only those pods are seen; answers until when all were.
pub(super) fn leave_only_these(node: &Node, shop: &Shop<'_>) -> Timestamp {
    let until = now();
    let tap = Tap::start(node, &["^web-", "-n", "shop"]);
    let is_of_web = |ends: &[String; 2]| ends.iter().any(|name| name.starts_with("web"));
    let begun = wait(
        || format!("only pods of web: {:?}", tap.rows()),
        || {
            let rows = tap.rows();
            let since = now().millis() - 4000;
            let mut newest = rows.iter().filter(|(at, _)| *at > since).peekable();
            newest.peek()?;
            newest.all(|(_, ends)| is_of_web(ends)).then_some(since)
        },
    );
    std::thread::sleep(Duration::from_secs(8));
    let calls = shop.calls();
    let late = now().millis() - 1000;
    let rows = tap.rows();
    let rows = rows.iter().filter(|(at, _)| *at > begun);
    for (at, ends) in rows.clone() {
        assert!(is_of_web(ends), "{at} {ends:?}");
    }
    // All of theirs, while the others went on calling.
    let called = |is_web: bool| {
        let within = |at: i64| at > begun + 1000 && at < late - 1000;
        let calls = calls.iter().filter(|call| within(call.at.millis()));
        calls
            .filter(|call| call.server.starts_with("web") == is_web)
            .count()
    };
    let (of_web, of_others) = (called(true), called(false));
    assert!(of_others > 5, "{calls:?}");
    assert!(
        rows.count() >= of_web && of_web > 5,
        "{of_web} calls to web"
    );
    until
}
