//! One child process: started with one socket and nothing else, measured, stopped.
//!
//! In: the program to start. Out: the parent's end of the socket, CPU time, the last lines of
//! standard error, how it ended. Never: what is said over the socket.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines of standard error that are kept: the last words of a process that dies.
const LAST_LINES: usize = 8;

/// Bytes of one such line.
const LAST_LINE_BYTES: u64 = 500;

/// Clock ticks a second in `/proc/<pid>/stat`; `USER_HZ` is 100 in the ABI of every Linux that
/// tapedeck runs on.
const USER_HZ: u64 = 100;

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// A running child.
pub(crate) struct Process {
    child: Mutex<Child>,
    pid: u32,
    last: Arc<Mutex<VecDeque<String>>>,
    listener: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Process {
    /// Starts `program script-host` with an empty environment and one end of a socket pair as its
    /// standard input; the other end is answered.
    pub(crate) fn start(program: &Path) -> io::Result<(Process, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut child = Command::new(program)
            .arg("script-host")
            .env_clear()
            .current_dir("/")
            // A terminal sends Ctrl+C to the whole group; its scripts end when we have sealed.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        // Where memory runs out all the same, scripts go before what records (proc(5)). Other systems have
        // no such thing.
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let listener = child.stderr.take().map(|stderr| {
            let last = Arc::clone(&last);
            thread::spawn(move || listen(stderr, &last))
        });
        let process = Process {
            pid: child.id(),
            child: Mutex::new(child),
            last,
            listener: Mutex::new(listener),
        };
        Ok((process, ours))
    }

    /// CPU time used so far, user and system; `None` when the system does not tell.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        cpu_of(self.pid)
    }

    /// Bytes of memory that it holds now; `None` when the system does not tell.
    pub(crate) fn memory(&self) -> Option<u64> {
        memory_of(self.pid)
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        // An error means that it is gone already.
        let _ = self.lock().kill();
    }

    /// Waits for the end, killing what has not ended `within` that time, and says how it ended
    /// with its last words.
    pub(crate) fn end(&self, within: Duration) -> String {
        let status = self.wait(within).or_else(|| {
            self.kill();
            self.wait(GONE_WITHIN)
        });
        let listener = self
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(listener) = listener {
            let _ = listener.join();
        }
        let how = status.map_or_else(|| "it does not end".to_owned(), describe);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = last.iter().map(String::as_str).collect();
        if words.is_empty() {
            how
        } else {
            format!("{how}: {}", words.join(" | "))
        }
    }

    fn wait(&self, within: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + within;
        loop {
            if let Ok(Some(status)) = self.lock().try_wait() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.wait(GONE_WITHIN);
    }
}

fn listen(stderr: impl Read, last: &Mutex<VecDeque<String>>) {
    let mut input = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match input
            .by_ref()
            .take(LAST_LINE_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        // Advice for programmers is none for people.
        if !text.is_empty() && !text.starts_with("note: ") {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            last.push_back(text);
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
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

fn cpu_of(pid: u32) -> Option<Duration> {
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

/// `VmRSS` of `/proc/<pid>/status`, which is in kibibytes.
fn memory_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let held = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = held.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_process_that_ends_leaves_its_last_words() {
        // `false script-host` stands for a child that fails at once.
        let (process, _socket) = Process::start(Path::new("/bin/false")).unwrap();
        assert_eq!(process.end(Duration::from_secs(20)), "it ended with code 1");
    }
}
