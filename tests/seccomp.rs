//! The profile of system calls that the chart installs: its shape, and programs that run under it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use seccompiler::{BpfProgram, TargetArch, compile_from_json};
use serde_json::{Value as Json, json};

/// What the chart ships.
const PROFILE: &str = "deploy/helm/tapedeck/files/seccomp.json";

/// Tells the inner test that it is meant.
const INNER: &str = "TAPEDECK_TEST_CONFINED";

pub fn profile() -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROFILE);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The names that it allows.
fn allowed() -> Vec<String> {
    let names = profile()["syscalls"][0]["names"].clone();
    serde_json::from_value(names).unwrap()
}

/// These calls and no others; `None` when one of them is not known there.
fn filter<'n>(names: impl IntoIterator<Item = &'n str>, arch: TargetArch) -> Option<BpfProgram> {
    let rules = names.into_iter().map(|name| json!({"syscall": name}));
    let refused = profile()["defaultErrnoRet"].clone();
    let filter = json!({"all": {
        "mismatch_action": {"errno": refused},
        "match_action": "allow",
        "filter": rules.collect::<Json>(),
    }});
    let compiled = compile_from_json(filter.to_string().as_bytes(), arch);
    compiled.ok()?.remove("all")
}

fn is_known(name: &str, arch: TargetArch) -> bool {
    filter([name], arch).is_some()
}

#[test]
fn the_profile_has_the_shape_of_the_runtime_specification_and_known_names_alone() {
    let profile = profile();
    let keys: Vec<&String> = profile.as_object().unwrap().keys().collect();
    // Keys of `linux.seccomp` of the OCI runtime specification.
    assert_eq!(
        keys,
        [
            "defaultAction",
            "defaultErrnoRet",
            "architectures",
            "syscalls"
        ]
    );
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    // ENOSYS: a library goes on to the call that it knows instead.
    assert_eq!(profile["defaultErrnoRet"], 38);
    assert_eq!(
        profile["architectures"],
        json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"])
    );
    let rules = profile["syscalls"].as_array().unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0]["action"], "SCMP_ACT_ALLOW");
    assert_eq!(rules[0].as_object().unwrap().len(), 2);
    let names = allowed();
    let sorted: BTreeSet<&String> = names.iter().collect();
    assert!(sorted.into_iter().eq(&names), "sorted, each once");
    for name in &names {
        let is_there = [TargetArch::x86_64, TargetArch::aarch64]
            .iter()
            .any(|arch| is_known(name, *arch));
        assert!(is_there, "{name} is no system call");
    }
}

/// Becomes the program behind `--` under the profile.
#[test]
fn inner_confined() {
    if std::env::var_os(INNER).is_none() {
        return;
    }
    let mut asked = std::env::args_os().skip_while(|argument| argument != "--");
    let program = asked.nth(1).unwrap();
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let names = allowed();
    // As runtimes do: names of another architecture are left out.
    let names = names.iter().map(String::as_str);
    let filter = filter(names.filter(|name| is_known(name, arch)), arch).unwrap();
    seccompiler::apply_filter(&filter).unwrap();
    panic!(
        "{}",
        Command::new(program).args(asked).env_remove(INNER).exec()
    );
}

/// Adds to a command that runs what its arguments say: the program, under the profile. Arguments that are
/// added later are the program's.
pub fn confine(command: &mut Command, program: impl AsRef<OsStr>) {
    command
        .arg(std::env::current_exe().unwrap())
        // All behind `--` is a name of a test for the harness.
        .args(["--exact", "--nocapture", "seccomp::inner_confined", "--"])
        .arg(program)
        .env(INNER, "1");
}

/// The profile is upon a program and each of its scripts, and upon these another filter, of their own.
pub fn are_confined(pid: u32, scripts: usize) {
    /// `SECCOMP_MODE_FILTER`.
    const FILTERED: Option<u32> = Some(2);
    let of = |pid| (status(pid, "Seccomp"), status(pid, "Seccomp_filters"));
    assert_eq!(of(pid), (FILTERED, Some(1)), "the program");
    let children = children(pid);
    assert_eq!(children.len(), scripts, "{children:?}");
    for child in children {
        assert_eq!(of(child), (FILTERED, Some(2)), "a script");
    }
}

/// A number in a line of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then(|| value.trim())
    });
    line?.parse().ok()
}

/// The processes that a process started.
fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|child| status(*child, "PPid") == Some(pid))
        .collect()
}
