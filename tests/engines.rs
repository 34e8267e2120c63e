//! Engines that know nothing of tapedeck count what `tapedeck query` counts, over the same files.
//!
//! Needs pyarrow, pandas and DuckDB, and Spark for a slow test (`tools/test-deps.sh`); what is
//! missing is skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tapedeck::store::conformance::once;
use tapedeck::store::s3::S3Store;
use tapedeck::store::{Body, Store};
use tapedeck::synth;

use crate::lake::{grouped, query, recorded, traffic};
use crate::seaweed::Seaweed;
use crate::slow;

/// Between two frames of a conversation.
const STEP_NANOS: u64 = synth::STEP.as_nanos() as u64;

/// The Python of `tools/test-deps.sh`.
pub fn python() -> Option<PathBuf> {
    let tools = std::env::var_os("TAPEDECK_TOOLS").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/tapedeck/tools"));
    let python = tools.or_else(home)?.join("venv/bin/python");
    python.exists().then_some(python)
}

/// Runs the counting script; `None` when a module of it is missing.
fn count(root: &str, engines: &[&str], variables: &[(&str, &str)]) -> Option<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/count.py");
    let output = Command::new(python()?)
        .arg(script)
        .arg(root)
        .args(engines)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("ModuleNotFoundError") {
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(output)
}

/// Holds what engines counted against a query's counts, and prints all of them.
fn compare(output: &Output, ours: &BTreeMap<String, u64>, engines: &[&str]) {
    let items: u64 = ours.values().sum();
    println!("tapedeck query: {items} items, by status {ours:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let told: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = told
        .iter()
        .map(|one| one["engine"].as_str().unwrap())
        .collect();
    assert_eq!(names, engines);
    for one in &told {
        let theirs: BTreeMap<String, u64> = serde_json::from_value(one["status"].clone()).unwrap();
        println!("{}: by status {theirs:?}", one["engine"]);
        assert_eq!(theirs, *ours, "{}", one["engine"]);
        let figures = &one["figures"];
        assert_eq!(figures[0], items, "{one}");
        // The wait, the acknowledgement before it, and the answer.
        assert_eq!(figures[1], 100_000_000_000 + 2 * STEP_NANOS, "{one}");
        // A call each, and the long connection.
        assert_eq!(figures[2], 61, "{one}");
    }
}

fn by_status(archive: &Path) -> BTreeMap<String, u64> {
    grouped(archive, &["--count-by", "status"], "status")
}

#[test]
fn engines_count_what_tapedeck_counts() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let engines = ["pyarrow", "pandas", "duckdb"];
    let Some(output) = count(archive.to_str().unwrap(), &engines, &[]) else {
        println!("skipped: pyarrow, pandas and DuckDB are not installed; run tools/test-deps.sh");
        return;
    };
    compare(&output, &by_status(&archive), &engines);
}

#[test]
fn engines_count_straight_from_the_bucket() {
    let Some(s3) = Seaweed::shared() else { return };
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let options = s3.bucket("engines", false);
    let bucket = options.bucket.clone();
    let store = S3Store::new(options).unwrap();
    for path in crate::lake::files(&archive, "") {
        let key = path.strip_prefix(&archive).unwrap().to_str().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        store.put(key, Body::Bytes(&bytes), &once(&bytes)).unwrap();
    }
    let variables = [
        ("S3_ENDPOINT", s3.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "ciaccess"),
        ("AWS_SECRET_ACCESS_KEY", "cisecret"),
    ];
    let engines = ["pyarrow", "pandas", "duckdb"];
    let Some(output) = count(&format!("s3://{bucket}"), &engines, &variables) else {
        println!("skipped: pyarrow, pandas and DuckDB are not installed; run tools/test-deps.sh");
        return;
    };
    compare(&output, &by_status(&archive), &engines);
}

#[test]
fn spark_counts_what_tapedeck_counts() {
    if !slow::is_asked_for("the Spark test") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    assert_eq!(query(&archive, &[]).len(), 62);
    let is_there = Command::new("java").arg("-version").output().is_ok();
    let found = is_there.then(|| count(archive.to_str().unwrap(), &["spark"], &[]));
    let Some(output) = found.flatten() else {
        println!("skipped: Spark is not installed; run TAPEDECK_SLOW=1 tools/test-deps.sh");
        return;
    };
    compare(&output, &by_status(&archive), &["spark"]);
}
