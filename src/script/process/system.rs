//! What systems do each in their own way with a child process.
//!
//! In: a command, the number of a process, how it ended. Out: the command with what the system needs,
//! CPU time and memory where the system tells them, a sentence. Never: a start, or an end.

use std::process::{Command, ExitStatus};
use std::time::Duration;

/// Clock ticks a second in `/proc/<pid>/stat`; `USER_HZ` is 100 in the ABI of every Linux that
/// tapedeck runs on.
#[cfg(target_os = "linux")]
const USER_HZ: u64 = 100;

/// Lets the child begin with no environment and no folder of ours.
pub(in crate::script) fn bare(command: &mut Command) {
    command.env_clear().current_dir("/");
    // Libraries of the system are found through it.
    #[cfg(windows)]
    if let Some(root) = std::env::var_os("SystemRoot") {
        command.env("SystemRoot", root);
    }
}

/// Takes the child out of the reach of the terminal: it sends Ctrl+C to all that run there, and scripts
/// end when we have sealed.
#[cfg(unix)]
pub(super) fn apart(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// Takes the child out of the reach of the terminal: it sends Ctrl+C to all that run there, and scripts
/// end when we have sealed. It has no window of its own, and gets less of a processor than the recorder
/// when both want it.
#[cfg(windows)]
pub(super) fn apart(command: &mut Command) {
    // Process creation flags of Windows.
    const BELOW_NORMAL_PRIORITY_CLASS: u32 = 0x4000;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0200;
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    let flags = BELOW_NORMAL_PRIORITY_CLASS | CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW;
    std::os::windows::process::CommandExt::creation_flags(command, flags);
}

/// Where memory runs out all the same, scripts go before what records (proc(5)).
#[cfg(target_os = "linux")]
pub(super) fn first_to_go(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
}

/// Other systems have no such thing.
#[cfg(not(target_os = "linux"))]
pub(super) fn first_to_go(_: u32) {}

/// How a process ended.
#[cfg(unix)]
pub(super) fn describe(status: ExitStatus) -> String {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    match (status.code(), signal) {
        (Some(0), _) => "it ended".into(),
        (Some(code), _) => format!("it ended with code {code}"),
        (None, Some(6)) => "it was aborted (out of memory or stack)".into(),
        (None, Some(9)) => "it was killed".into(),
        (None, Some(11)) => "it ran out of stack or memory (signal 11)".into(),
        (None, Some(31)) => "it did what a script process may not do (signal 31)".into(),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".into(),
    }
}

/// How a process ended: a code of its own, or an NTSTATUS.
#[cfg(windows)]
pub(super) fn describe(status: ExitStatus) -> String {
    match status.code().map(i32::cast_unsigned) {
        Some(0) | None => "it ended".into(),
        // STATUS_STACK_BUFFER_OVERRUN is what a program gets that ends itself at once.
        Some(0xC000_0409) => "it was aborted (out of memory or stack)".into(),
        Some(0xC000_00FD) => "it ran out of stack".into(),
        Some(code @ 0xC000_0000..) => format!("it was ended by the system, {code:#010x}"),
        Some(code) => format!("it ended with code {code}"),
    }
}

/// CPU time that a process has used, user and system; `None` when the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn cpu_of(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; fields 14 and 15 are utime and stime.
    let mut fields = stat
        .get(stat.rfind(')')? + 1..)?
        .split_whitespace()
        .skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / USER_HZ))
}

/// Other systems tell it only through calls that have no safe wrapper here.
#[cfg(not(target_os = "linux"))]
pub(super) fn cpu_of(_: u32) -> Option<Duration> {
    None
}

/// Bytes of memory that a process holds: `VmRSS` of `/proc/<pid>/status`, which is in kibibytes.
#[cfg(target_os = "linux")]
pub(super) fn memory_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let held = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = held.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// As with [`cpu_of`].
#[cfg(not(target_os = "linux"))]
pub(super) fn memory_of(_: u32) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn own_cpu_time_can_be_read() {
        let before = cpu_of(std::process::id()).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let mut turns = 0_u64;
        while cpu_of(std::process::id()).unwrap() <= before {
            turns += 1;
            assert!(Instant::now() < until, "no CPU time after {turns} turns");
        }
    }

    #[test]
    fn own_memory_can_be_read() {
        let held = memory_of(std::process::id()).unwrap();
        assert!(held > 1 << 20, "{held}");
    }
}
