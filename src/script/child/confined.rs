//! The limits in a process of its own: this test program starts itself as the child.
//!
//! [`entry`] is that child when its standard input is a socket, and does nothing otherwise.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio, exit};

use serde_json::Map;

use super::{limits, serve_confined};
use crate::kfl::Schema;
use crate::script::wire::{
    ClockMode, FromChild, Habits, Limits, Line, Role, Small, Start, ToChild, ToParent,
    send_to_child,
};
use crate::time::Timestamp;

/// Exit code of a child whose kernel has no Landlock.
const MISSING: i32 = 43;

/// Exit code of a child that could neither read a file nor reach the network.
const CONFINED: i32 = 42;

#[test]
fn entry() {
    if !is_child() {
        return;
    }
    let line = Line::of_process().unwrap();
    if serve_confined(line, &Schema::empty(), limits::apply).is_err() {
        exit(1);
    }
    let refused = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    let no_file = std::fs::File::open("/etc/hostname").is_err_and(refused);
    let no_network = std::net::UdpSocket::bind("127.0.0.1:0").is_err_and(refused);
    let no_process = Command::new("/bin/true").status().is_err_and(refused);
    exit(if no_file && no_network && no_process {
        CONFINED
    } else {
        2
    });
}

#[test]
fn entry_behind_landlock() {
    if !is_child() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Nothing else is taken away, so that what is refused is refused by Landlock.
    let Ok(abi) = limits::linux::without_files() else {
        exit(MISSING);
    };
    let refused = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    let no_file = std::fs::File::open("/etc/hostname").is_err_and(refused);
    let no_list = std::fs::read_dir("/").is_err_and(refused);
    let no_program = Command::new("/bin/true").status().is_err_and(refused);
    // Linux 6.7 brought ports to Landlock.
    let no_network =
        abi < landlock::ABI::V4 || std::net::TcpStream::connect(address).is_err_and(refused);
    exit(if no_file && no_list && no_program && no_network {
        CONFINED
    } else {
        2
    });
}

/// Whether standard input is a socket.
fn is_child() -> bool {
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    input.is_ok_and(|input| UnixStream::from(input).peer_addr().is_ok())
}

/// This test program as a child whose standard input is a socket, with that test alone.
fn child(test: &str) -> (Line, std::process::Child) {
    let (line, theirs) = Line::pair().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .arg("--test-threads=1")
        .env_clear()
        .stderr(Stdio::null());
    (line, theirs.start(command).unwrap())
}

/// Runs a script whose top level ends the test, and answers what it said first and how it ended.
fn run(code: &str) -> (Option<ToParent>, ExitStatus) {
    let (line, mut child) = child("script::child::confined::entry");
    let start = Start {
        path: "s.js".into(),
        title: "s".into(),
        code: code.into(),
        env: Map::new(),
        index: 0,
        node: "n".into(),
        run: 1,
        role: Role::Worker,
        clock: ClockMode::Wall,
        now: Timestamp::default(),
        limits: Limits::default(),
        habits: Habits::default(),
        macros: Vec::new(),
    };
    send_to_child(&line, &ToChild::Start(Box::new(start))).unwrap();
    let mut reader = FromChild::new(line.try_clone().unwrap());
    let said = reader.next().ok().flatten();
    let _ = send_to_child(&line, &ToChild::Small(Small::Stop));
    (said, child.wait().unwrap())
}

#[test]
fn a_child_has_no_files_no_network_and_no_processes() {
    let (said, status) = run("function onItemCaptured() {}");
    let Some(ToParent::Ready { hooks, missing, .. }) = said else {
        panic!("{said:?}, {status}")
    };
    assert_eq!(hooks.len(), 1);
    // Kernels without Landlock lack this wall and no other.
    let without = |sentence: &String| sentence.contains("Landlock");
    assert!(missing.iter().all(without), "{missing:?}");
    assert_eq!(status.code(), Some(CONFINED));
}

#[test]
fn landlock_alone_keeps_files_and_network_away() {
    let (_line, mut child) = child("script::child::confined::entry_behind_landlock");
    let status = child.wait().unwrap();
    if status.code() == Some(MISSING) {
        println!("skipped: this kernel has no Landlock");
        return;
    }
    assert_eq!(status.code(), Some(CONFINED));
}

#[test]
fn memory_ends_the_child_and_nobody_else() {
    for code in [
        "'x'.repeat(1e9) + 'y'",
        "var a = []; for (var i = 0; i < 200; i++) a.push('é'.repeat(1e7 + i));",
    ] {
        let (said, status) = run(code);
        // An engine that notices in time says that the script cannot be loaded.
        let noticed = matches!(said, Some(ToParent::LoadFailed { .. }));
        assert!(
            noticed || status.signal().is_some(),
            "{code}: {said:?}, {status}"
        );
    }
}
