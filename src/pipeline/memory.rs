//! What is given up before memory runs out (design D9).
//!
//! In: what the control group of this process may have and has; scripts are in it too. Out: rows of the
//! dashboard let go, a word to the workers. Never: packets, spool or recordings given up; anything where
//! nothing limits memory.
//!
//! ```text
//! from 70 %   rows of the dashboard: the older half
//! from 80 %   what is open in the half of the streams that was silent longest; they are read anew from
//!             their next packet on
//! from 90 %   the reading of such streams and of those that begin, until it is 80 % again
//! ```
//!
//! That is of the limit; page cache does not count, since the kernel takes it back before it kills. Which
//! processes it kills first is said where scripts are started.
//! Sources: cgroups(7), and of the kernel's documentation cgroup-v2.rst and cgroup-v1/memory.rst.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::{Counters, Rows};

/// Time between two looks: what a busy capture can take meanwhile is far from a tenth of any limit.
const LOOK: Duration = Duration::from_millis(100);

/// Percent of the limit from which rows, open messages and reading are given up.
const ROWS: u64 = 70;
const STREAMS: u64 = 80;
const READING: u64 = 90;

/// Looks after which freed memory is handed back to the system once more.
const TRIM: u32 = 10;

/// From here on a limit is none: without one, version 1 tells the largest number of pages.
const NONE: u64 = 1 << 60;

/// How memory stands, and what was given up for it.
#[derive(Debug, Default)]
pub(super) struct Relief {
    /// Counts the requests to give up what is open in streams.
    asked: AtomicU64,
    is_short: AtomicBool,
    pub(super) streams: AtomicU64,
    pub(super) packets: AtomicU64,
    pub(super) used: AtomicU64,
    pub(super) limit: AtomicU64,
}

impl Relief {
    /// How often workers were asked to give up what is open.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Asks workers to give up what is open; answers how often that was before.
    pub(super) fn ask(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed)
    }

    /// Says whether nothing new is to be read.
    pub(super) fn set_short(&self, is_short: bool) {
        self.is_short.store(is_short, Ordering::Relaxed);
    }

    /// Whether nothing new is to be read.
    pub(super) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }
}

/// Gives up what it must until it is dropped.
pub struct Relieving(#[expect(dead_code, reason = "its end is the message")] Sender<()>);

/// Watches over the memory of this process for a run; `None` where nothing limits it. `tell` takes the one
/// sentence that is said of it, with what is `given_up`.
///
/// # Errors
/// When the system has no thread.
pub fn relieve(
    rows: &Arc<Rows>,
    counters: &Arc<Counters>,
    given_up: &'static str,
    tell: Box<dyn Fn(String) + Send>,
) -> io::Result<Option<Relieving>> {
    let Some(group) = Group::of_this_process() else {
        return Ok(None);
    };
    let (stop, stopped) = bounded(0);
    let mut watch = Watch {
        rows: rows.clone(),
        counters: counters.clone(),
        given_up,
        tell,
        lowest: 0,
        looks: 0,
    };
    std::thread::Builder::new()
        .name("memory".to_owned())
        .spawn(move || {
            while matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
                if let Some((used, limit)) = group.look() {
                    watch.follow(used, limit);
                }
            }
        })?;
    Ok(Some(Relieving(stop)))
}

struct Watch {
    rows: Arc<Rows>,
    counters: Arc<Counters>,
    given_up: &'static str,
    tell: Box<dyn Fn(String) + Send>,
    /// The least that was used since something was given up last. Not all that is freed goes back to the
    /// system, so only what goes beyond it is more.
    lowest: u64,
    looks: u32,
}

impl Watch {
    fn follow(&mut self, used: u64, limit: u64) {
        let relief = &self.counters.relief;
        relief.used.store(used, Ordering::Relaxed);
        relief.limit.store(limit, Ordering::Relaxed);
        let percent = used.saturating_mul(100) / limit.max(1);
        let was_short = relief.is_short();
        let is_short = percent >= if was_short { STREAMS } else { READING };
        relief.set_short(is_short);
        self.lowest = self.lowest.min(used);
        if percent < ROWS {
            return;
        }
        self.looks += 1;
        if self.looks.is_multiple_of(TRIM) {
            trim();
        }
        if used <= self.lowest.saturating_add(limit / 100) {
            return;
        }
        self.lowest = used;
        self.rows.let_go();
        if percent >= STREAMS && relief.ask() == 0 {
            (self.tell)(format!(
                "memory is short: {} of {} MiB are used, so {}",
                used >> 20,
                limit >> 20,
                self.given_up
            ));
        }
    }
}

/// Hands memory that was freed back to the system, where the allocator keeps it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    #[expect(unsafe_code, reason = "the allocator has no safe wrapper for it")]
    // SAFETY: it takes a number alone, may be called by any thread at any time, and moves nothing.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Nothing: this allocator does so by itself.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

/// Where a control group tells its memory.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    folder: PathBuf,
    files: &'static Files,
}

/// What a version of control groups calls it.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    limit: &'static str,
    used: &'static str,
    /// Members of `memory.stat` that are page cache.
    cache: [&'static str; 2],
}

const SECOND: Files = Files {
    limit: "memory.max",
    used: "memory.current",
    cache: ["active_file", "inactive_file"],
};

const FIRST: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: ["total_active_file", "total_inactive_file"],
};

impl Group {
    fn of_this_process() -> Option<Group> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        Group::find(Path::new("/sys/fs/cgroup"), &groups)
    }

    /// The group that limits a process which is in `groups`, or one around it.
    fn find(mount: &Path, groups: &str) -> Option<Group> {
        let mut lines = groups.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':')
        });
        let first = lines
            .clone()
            .find(|(names, _)| names.split(',').any(|name| name == "memory"));
        let (root, files, path) = match first {
            Some((_, path)) => (mount.join("memory"), &FIRST, path),
            None => {
                let (_, path) = lines.find(|(names, _)| names.is_empty())?;
                (mount.to_owned(), &SECOND, path)
            }
        };
        // In a container its own group is mounted at the root, whatever its path is outside.
        let own = root.join(path.trim_start_matches('/'));
        let folders = own
            .ancestors()
            .take_while(|folder| folder.starts_with(&root));
        folders
            .map(|folder| Group {
                folder: folder.to_owned(),
                files,
            })
            .find(|group| group.limit().is_some())
    }

    fn limit(&self) -> Option<u64> {
        self.number(self.files.limit).filter(|limit| *limit < NONE)
    }

    fn number(&self, file: &str) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join(file)).ok()?;
        text.trim().parse().ok()
    }

    /// Bytes that are used and cannot be taken back, and the limit.
    fn look(&self) -> Option<(u64, u64)> {
        let used = self.number(self.files.used)?;
        let stat = fs::read_to_string(self.folder.join("memory.stat")).ok()?;
        let members = stat.lines().filter_map(|line| line.split_once(' '));
        let cache: u64 = members
            .filter(|(name, _)| self.files.cache.contains(name))
            .filter_map(|(_, bytes)| bytes.parse::<u64>().ok())
            .sum();
        Some((used.saturating_sub(cache), self.limit()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_group_that_limits_is_found_in_both_versions_and_in_containers() {
        let mount = tempfile::tempdir().unwrap();
        let pod = mount.path().join("kubepods/pod1");
        write(&pod, &[("memory.max", "2147483648\n")]);
        write(
            &pod.join("worker"),
            &[
                ("memory.max", "max\n"),
                ("memory.current", "900\n"),
                (
                    "memory.stat",
                    "anon 500\nactive_file 100\ninactive_file 200\n",
                ),
            ],
        );
        write(
            &pod,
            &[
                ("memory.current", "1900"),
                ("memory.stat", "inactive_file 900\n"),
            ],
        );
        let found = Group::find(mount.path(), "0::/kubepods/pod1/worker\n").unwrap();
        assert_eq!(found.folder, pod);
        assert_eq!(found.look(), Some((1000, 2 << 30)));
        assert_eq!(Group::find(mount.path(), "0::/user\n"), None);
        // Version 1 beside version 2, in a container whose own group is the root of the mount.
        let first = mount.path().join("memory");
        write(
            &first,
            &[
                ("memory.limit_in_bytes", "1073741824"),
                ("memory.usage_in_bytes", "800"),
                (
                    "memory.stat",
                    "cache 300\ntotal_active_file 100\ntotal_inactive_file 200\n",
                ),
            ],
        );
        let groups = "5:cpu,cpuacct:/x\n4:memory:/kubepods/pod9\n0::/\n";
        let found = Group::find(mount.path(), groups).unwrap();
        assert_eq!(found.look(), Some((500, 1 << 30)));
        write(&first, &[("memory.limit_in_bytes", "9223372036854771712")]);
        assert_eq!(Group::find(mount.path(), groups), None);
    }

    #[test]
    fn rows_go_first_then_what_is_open_then_reading_and_each_only_for_more() {
        let counters: Arc<Counters> = Arc::default();
        let said = counters.clone();
        let mut watch = Watch {
            rows: Arc::new(Rows::new(1 << 20, 1000)),
            counters: counters.clone(),
            given_up: "this and that is given up",
            tell: Box::new(move |sentence| said.warn(vec![sentence])),
            lowest: 0,
            looks: 0,
        };
        let mut at = |percent: u64| {
            watch.follow(percent * 10, 1000);
            (counters.relief.asked(), counters.relief.is_short())
        };
        assert_eq!(at(60), (0, false));
        assert_eq!(at(75), (0, false));
        assert_eq!(at(81), (1, false));
        assert_eq!(at(81), (1, false), "what was freed is with the allocator");
        assert_eq!(at(83), (2, false));
        assert_eq!(at(91), (3, true));
        assert_eq!(at(85), (3, true), "until it is far enough below");
        assert_eq!(at(79), (3, false));
        assert_eq!(at(82), (4, false));
        assert_eq!(
            counters.now().warnings,
            ["memory is short: 0 of 0 MiB are used, so this and that is given up"]
        );
        assert_eq!(counters.now().memory_used, 820);
    }
}
