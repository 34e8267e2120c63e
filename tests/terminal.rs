//! What a terminal does: Ctrl+C goes to the program and to all that it started.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::commands::{PROGRAM, Running};
use crate::road::may_capture;

/// What the script says when it is loaded, and once more if it were started anew.
const LOADED: &str = "the script is loaded";

#[test]
fn ctrl_c_in_a_terminal_ends_no_script_before_its_time() {
    if !may_capture() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scripts = home.path().join("scripts");
    std::fs::create_dir(&scripts).unwrap();
    let script = format!("console.log('{LOADED}'); function onItemCaptured(data) {{}}");
    std::fs::write(scripts.join("held.js"), script).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["tap", "-i", "lo", "--headless", "--proxy-front-port", "0"]);
    for (key, folder) in [("tap.dataDir", "data"), ("scripting.source", "scripts")] {
        let folder = home.path().join(folder);
        command.args(["--set", &format!("{key}={}", folder.display())]);
    }
    // What scripts say goes to standard output, everything else to standard error.
    let (output, both) = std::io::pipe().unwrap();
    command.env_clear().env("HOME", home.path());
    command
        .stdin(Stdio::null())
        .stdout(both.try_clone().unwrap());
    command.stderr(both).process_group(0);
    let mut running = Running(command.spawn().unwrap());
    // Else the pipe has no end.
    drop(command);
    let group = Pid::from_child(&running.0);
    let mut said: Vec<String> = Vec::new();
    let mut is_ready = false;
    for line in BufReader::new(output).lines() {
        said.push(line.unwrap());
        let has = |part: &str| said.iter().any(|line| line.contains(part));
        if !is_ready && has(LOADED) && has("Capturing live on lo") {
            is_ready = true;
            kill_process_group(group, Signal::INT).unwrap();
        }
    }
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "{said:#?}");
    let count = |part: &str| said.iter().filter(|line| line.contains(part)).count();
    assert_eq!((count(LOADED), count("stopped")), (1, 0), "{said:#?}");
}
