//! The API against its OpenAPI document: schemathesis makes up requests and judges the answers.
//!
//! Slow, so only with TAPEDECK_SLOW=1; skips by name where schemathesis is not installed.

use std::path::PathBuf;
use std::process::Command;

use crate::dashboard::{Tap, shop};
use crate::slow;

fn schemathesis() -> Option<PathBuf> {
    if !slow::is_asked_for("the schemathesis test") {
        return None;
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let tools = std::env::var_os("TAPEDECK_TOOLS")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".cache/tapedeck/tools")))?;
    let program = tools.join("venv/bin/schemathesis");
    if !program.exists() {
        println!("skipped: schemathesis is not installed; run tools/test-deps.sh");
        return None;
    }
    Some(program)
}

#[test]
fn the_api_answers_whatever_is_asked_as_its_document_says() {
    let Some(program) = schemathesis() else {
        return;
    };
    let tap = Tap::open_with(&shop(), 0, &["tap.dashboard.replay=true"]);
    let out = Command::new(program)
        .arg("run")
        .arg(format!("http://{}/api/v1/openapi.json", tap.address))
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", tap.token))
        // The sockets are no exchange of a request and an answer.
        .args(["--exclude-path", "/api/v1/ws"])
        .args(["--exclude-path", "/api/v1/wsFull"])
        .args(["--exclude-path", "/api/v1/scripts/logs"])
        // Its errors are those of JSON-RPC and of another specification; tests/mcp.rs asks it.
        .args(["--exclude-path", "/api/v1/mcp"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--max-examples", "30", "--seed", "7", "--no-color"])
        .current_dir(tap.data())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}
