//! The profile of system calls that the chart installs: its shape, and programs that run under it.

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

/// Calls that aarch64 does not have, each with the one that libraries make there.
const ELSEWHERE: [(&str, &str); 15] = [
    ("access", "faccessat"),
    ("chmod", "fchmodat"),
    ("dup2", "dup3"),
    ("epoll_wait", "epoll_pwait"),
    ("lstat", "newfstatat"),
    ("mkdir", "mkdirat"),
    ("open", "openat"),
    ("pipe", "pipe2"),
    ("poll", "ppoll"),
    ("readlink", "readlinkat"),
    ("rename", "renameat"),
    ("rmdir", "unlinkat"),
    ("select", "pselect6"),
    ("stat", "newfstatat"),
    ("unlink", "unlinkat"),
];

/// The profile.
pub fn profile() -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROFILE);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Its rules, as runtimes read them.
fn rules() -> Vec<Json> {
    profile()["syscalls"].as_array().unwrap().clone()
}

/// The names that it allows, with the conditions of each.
fn allowed() -> Vec<(String, Json)> {
    let of = |rule: Json| {
        let names: Vec<String> = serde_json::from_value(rule["names"].clone()).unwrap();
        let conditions = rule["args"].clone();
        names
            .into_iter()
            .map(move |name| (name, conditions.clone()))
    };
    rules().into_iter().flat_map(of).collect()
}

/// What a rule asks of an argument, as seccompiler reads it.
fn condition(argument: &Json) -> Json {
    assert_eq!(argument["op"], "SCMP_CMP_MASKED_EQ", "{argument}");
    json!({
        "index": argument["index"],
        "type": "qword",
        "op": {"masked_eq": argument["value"]},
        "val": argument["valueTwo"].as_u64().unwrap_or_default(),
    })
}

/// These calls and no others; `None` when one of them is not known there.
fn filter<'n>(
    allowed: impl IntoIterator<Item = &'n (String, Json)>,
    arch: TargetArch,
) -> Option<BpfProgram> {
    let rule = |(name, arguments): &(String, Json)| match arguments.as_array() {
        None => json!({"syscall": name}),
        Some(arguments) => {
            json!({"syscall": name, "args": arguments.iter().map(condition).collect::<Json>()})
        }
    };
    let refused = profile()["defaultErrnoRet"].clone();
    let filter = json!({"all": {
        "mismatch_action": {"errno": refused},
        "match_action": "allow",
        "filter": allowed.into_iter().map(rule).collect::<Json>(),
    }});
    let compiled = compile_from_json(filter.to_string().as_bytes(), arch);
    compiled.ok()?.remove("all")
}

fn is_known(name: &str, arch: TargetArch) -> bool {
    filter(&[(name.to_owned(), Json::Null)], arch).is_some()
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
    for rule in rules() {
        assert_eq!(rule["action"], "SCMP_ACT_ALLOW");
        let keys = rule.as_object().unwrap().keys();
        let is_known = |key: &String| ["names", "action", "args"].contains(&key.as_str());
        assert!(keys.clone().all(is_known), "{:?}", keys.collect::<Vec<_>>());
    }
    for arch in [TargetArch::x86_64, TargetArch::aarch64] {
        let there = allowed();
        let there = there.iter().filter(|(name, _)| is_known(name, arch));
        assert!(filter(there, arch).is_some());
    }
    let mut names: Vec<String> = allowed().into_iter().map(|(name, _)| name).collect();
    for name in &names {
        let is_there = [TargetArch::x86_64, TargetArch::aarch64]
            .iter()
            .any(|arch| is_known(name, *arch));
        assert!(is_there, "{name} is no system call");
    }
    for name in &names {
        if is_known(name, TargetArch::aarch64) || name == "arch_prctl" {
            continue;
        }
        let newer = ELSEWHERE.iter().find(|(old, _)| old == name);
        let (_, newer) = newer.unwrap_or_else(|| panic!("{name} is called otherwise on aarch64"));
        assert!(names.iter().any(|known| known == newer), "{name}, {newer}");
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "each once");
    // No door to the kernel that profiles of runtimes keep shut; `clone3` has its flags where no filter sees them.
    for name in [
        "bpf",
        "clone3",
        "io_uring_setup",
        "keyctl",
        "mount",
        "perf_event_open",
        "ptrace",
        "setns",
        "unshare",
        "userfaultfd",
    ] {
        assert!(!names.iter().any(|known| known == name), "{name}");
    }
}

/// A program under the profile may start threads and processes, and no namespace.
#[test]
fn no_namespace_is_made_under_the_profile() {
    const CLONES: &str = "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
clone, user_namespace, sigchld = int(sys.argv[1]), 0x10000000, 17
made = libc.syscall(clone, user_namespace | sigchld, 0, 0, 0, 0)
if made == 0:
    os._exit(0)
print(made, ctypes.get_errno())
";
    let mut command = Command::new("env");
    confine(&mut command, "python3");
    let run = command
        .args(["-c", CLONES, &number_of_clone().to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let last = said.lines().last();
    assert_eq!(
        last,
        Some("-1 38"),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

/// The number of `clone`.
fn number_of_clone() -> u32 {
    match std::env::consts::ARCH {
        "aarch64" => 220,
        _ => 56,
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
    let allowed = allowed();
    // As runtimes do: names of another architecture are left out.
    let there = allowed.iter().filter(|(name, _)| is_known(name, arch));
    let filter = filter(there, arch).unwrap();
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
    // These tests may run under a filter themselves, and Linux before 5.9 does not tell how many there are.
    let own = status(std::process::id(), "Seccomp_filters");
    let more = |count| own.map(|own| own + count);
    assert_eq!(of(pid), (FILTERED, more(1)), "the program");
    let children = children(pid);
    assert_eq!(children.len(), scripts, "{children:?}");
    for child in children {
        assert_eq!(of(child), (FILTERED, more(2)), "a script");
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
