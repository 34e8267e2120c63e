//! House rules that a compiler cannot hold: module headers, room borders, unfinished marks.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room with the rooms it may use; `cli` and `main.rs` may use all.
const ROOMS: &[(&str, &[&str])] = &[
    ("bytes", &[]),
    ("private", &[]),
    ("system", &[]),
    ("units", &[]),
    ("time", &[]),
    ("packet", &["bytes", "time"]),
    // `item` here is `Origin` alone: a source knows the node its packets come from.
    ("capture", &["packet", "bytes", "time", "item"]),
    ("flow", &["packet", "bytes", "time"]),
    ("synth", &["packet", "bytes", "time"]),
    ("item", &["packet", "time"]),
    ("dissect", &["item", "flow", "packet", "bytes", "time"]),
    ("resolve", &["item", "packet", "time"]),
    // `capture` here is `targets` alone: which addresses to capture; `kfl` is `pattern` alone: names of
    // pods are asked for by regular expressions of RE2.
    (
        "cluster",
        &["capture", "kfl", "resolve", "item", "packet", "time"],
    ),
    ("kfl", &["item", "packet", "time"]),
    ("index", &["packet", "item", "kfl", "bytes", "time"]),
    (
        "redact",
        &["item", "dissect", "flow", "packet", "bytes", "time"],
    ),
    ("script", &["packet", "item", "kfl", "system", "time"]),
    ("deliver", &["script", "item", "kfl", "time"]),
    ("store", &["private", "system", "time"]),
    (
        "spool",
        &["packet", "flow", "bytes", "private", "system", "time"],
    ),
    (
        "record",
        &[
            "spool", "index", "store", "packet", "item", "kfl", "redact", "resolve", "private",
            "time",
        ],
    ),
];

/// Rooms at the rim that may use all rooms above them.
const RIM: &[&str] = &[
    "pipeline",
    "investigate",
    "sql",
    "server",
    "hub",
    "release",
    "cli",
];

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    found.sort();
    assert!(
        found.len() > 10,
        "the walk over src found {} files",
        found.len()
    );
    found
}

fn room_of(path: &Path) -> String {
    let below = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = below
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Whether a file is there for tests alone: its parent says so where it declares it.
fn is_for_tests(path: &Path) -> bool {
    if path
        .components()
        .any(|part| ["tests", "tests.rs"].contains(&part.as_os_str().to_str().unwrap()))
    {
        return true;
    }
    let parent = path.parent().unwrap().join("mod.rs");
    let stem = path.file_stem().unwrap().to_str().unwrap();
    fs::read_to_string(parent)
        .is_ok_and(|text| text.contains(&format!("#[cfg(test)]\nmod {stem};")))
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} has no module header",
            path.display()
        );
    }
}

#[test]
fn rooms_use_only_what_the_map_allows() {
    let mut wrong = Vec::new();
    for path in sources() {
        let room = room_of(&path);
        if room == "lib" || room == "main" {
            continue;
        }
        let allowed: Vec<&str> = match ROOMS.iter().find(|(name, _)| *name == room) {
            Some((_, allowed)) => allowed.to_vec(),
            None => {
                let rank = RIM
                    .iter()
                    .position(|name| *name == room)
                    .unwrap_or_else(|| panic!("room {room} is not on the map"));
                ROOMS
                    .iter()
                    .map(|(name, _)| *name)
                    .chain(RIM[..rank].iter().copied())
                    .collect()
            }
        };
        if is_for_tests(&path) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // What stands below a test marker may use what it likes.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for line in code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if used != room && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}: {room} may not use {used}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
    ];
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        for mark in &marks {
            assert!(
                !text.contains(mark.as_str()),
                "{} holds {mark}",
                path.display()
            );
        }
    }
}

/// Secrets of TLS come in with captures and key logs, and stay here: nothing that writes packets
/// writes them but `tapedeck export`, when it is asked to (`--with-secrets`).
#[test]
fn secrets_leave_only_when_they_are_asked_for() {
    for path in sources() {
        let asks = path.ends_with("src/cli/export.rs");
        if asks || room_of(&path) == "packet" || is_for_tests(&path) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        assert!(!code.contains("write::secrets"), "{}", path.display());
    }
}

/// What not every system has for which releases are made.
const OF_SOME_SYSTEMS: &[&str] = &[
    "std::os::unix",
    "std::os::fd",
    "std::os::linux",
    "std::os::windows",
    "signal::unix",
    "signal::windows",
    "UnixListener",
    "UnixStream",
    "anstyle_query::",
    "file_id::",
    "landlock::",
    "libc::",
    "pcap::Capture",
    "rustix::",
    "seccompiler::",
    "signal_hook::",
];

/// Whether an attribute keeps what stands below it from some systems, or from programs without live
/// capture.
fn keeps_away(line: &str) -> bool {
    let line = line.trim_start();
    let is_condition = line.starts_with("#[cfg(");
    let of_system = ["unix", "windows", "target_os", "feature = \"live\""];
    is_condition && of_system.iter().any(|system| line.contains(system))
}

/// Whether a line of a file, or what it stands in, has such an attribute.
fn is_kept_away(lines: &[&str], at: usize) -> bool {
    let above = lines[..at].iter().rev();
    above
        .take_while(|line| **line != "}")
        .any(|line| keeps_away(line))
}

/// Whether the file as a whole, or a folder that it lies in, has such an attribute where it is declared.
fn is_declared_away(path: &Path) -> bool {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    path.ancestors()
        .take_while(|path| *path != src)
        .any(|path| {
            let folder = path.parent().unwrap();
            let declaration = format!("mod {};", path.file_stem().unwrap().to_str().unwrap());
            [folder.join("mod.rs"), folder.with_extension("rs")]
                .iter()
                .filter_map(|parent| fs::read_to_string(parent).ok())
                .any(|text| {
                    let lines: Vec<&str> = text.lines().collect();
                    let at = lines.iter().position(|line| line.ends_with(&declaration));
                    at.is_some_and(|at| {
                        let attributes = lines[..at].iter().rev();
                        attributes
                            .take_while(|line| line.starts_with("#["))
                            .any(|line| keeps_away(line))
                    })
                })
        })
}

/// Programs for Windows and macOS are made of the same files: what they do not have is kept from them, in
/// few places.
#[test]
fn what_some_systems_lack_is_kept_from_them() {
    let own = [
        "#[cfg(unix)]",
        "fn a() {",
        "    libc::a();",
        "}",
        "fn b() {",
    ];
    assert!(is_kept_away(&own, 2) && !is_kept_away(&own, 4));
    let mut wrong = Vec::new();
    let mut places = Vec::new();
    for path in sources() {
        if is_for_tests(&path) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines: Vec<&str> = code.lines().collect();
        let uses = |line: &str| {
            let line = line.trim_start();
            !line.starts_with("//") && OF_SOME_SYSTEMS.iter().any(|name| line.contains(name))
        };
        let found = (0..lines.len()).filter(|at| uses(lines[*at]));
        let found: Vec<usize> = found.collect();
        if found.is_empty() || is_declared_away(&path) {
            continue;
        }
        let open = found.iter().filter(|at| !is_kept_away(&lines, **at));
        wrong.extend(open.map(|at| format!("{}:{}: {}", path.display(), at + 1, lines[*at])));
        places.push(path);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        places.len() <= 20,
        "differences between systems are in {} files: {places:#?}",
        places.len()
    );
}
