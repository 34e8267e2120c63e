//! Capture with and without the right to it.
//!
//! Each case runs this very test program again as another user; the inner test does nothing unless
//! it is told to.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tapedeck::capture::live::{self, LiveOptions};

/// Tells an inner test that it is meant.
const INNER: &str = "TAPEDECK_TEST_INNER";

fn lo() -> LiveOptions {
    LiveOptions {
        interface: "lo".to_owned(),
        ..LiveOptions::default()
    }
}

fn open_lo() -> String {
    match live::open(&lo()) {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// A copy of this program that every user may run; `None` with a message without root.
fn copy(folder: &Path) -> Option<std::path::PathBuf> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: becoming another user needs root");
        return None;
    }
    let found = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    if !found("setpriv") || !found("setcap") {
        println!("skipped: setpriv or setcap is not installed");
        return None;
    }
    let program = folder.join("tapedeck-test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [folder, &program] {
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    Some(program)
}

/// Runs an inner test and gives the line that it prints behind `> `.
fn run(mut command: Command, test: &str) -> String {
    let output = command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INNER, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text
        .lines()
        .find_map(|line| Some(line.split_once("> ")?.1.to_owned()));
    said.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    // `nobody` on Debian and Ubuntu.
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["--inh-caps=-all", "--"])
        .arg(program);
    command
}

#[test]
fn inner_open() {
    if std::env::var_os(INNER).is_some() {
        println!("> {}", open_lo());
    }
}

#[test]
fn without_the_right_one_sentence_names_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = copy(folder.path()) else {
        return;
    };
    assert_eq!(
        run(as_nobody(&program), "rights::inner_open"),
        format!(
            "no right to capture on lo: run `sudo setcap cap_net_raw+ep {}` once, \
             or start tapedeck with sudo",
            program.display()
        )
    );
    // What the sentence says is enough.
    let set = Command::new("setcap")
        .arg("cap_net_raw+ep")
        .arg(&program)
        .status();
    if !set.unwrap().success() {
        println!("skipped: this file system keeps no capabilities");
        return;
    }
    assert_eq!(run(as_nobody(&program), "rights::inner_open"), "opened");
}
