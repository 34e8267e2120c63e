//! One child process: started with one line and nothing else, measured, stopped.
//!
//! In: the program to start. Out: the parent's end of the line, CPU time, the last lines of standard
//! error, how it ended. Never: what is said over the line.

pub(super) mod system;

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::Line;

/// Lines of standard error that are kept: the last words of a process that dies.
const LAST_LINES: usize = 8;

/// Bytes of one such line.
const LAST_LINE_BYTES: u64 = 500;

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
    /// Starts `program script-host` with an empty environment and one end of a line; the other end is
    /// answered.
    pub(crate) fn start(program: &Path) -> io::Result<(Process, Line)> {
        let (ours, theirs) = Line::pair()?;
        let mut command = Command::new(program);
        command.arg("script-host").stderr(Stdio::piped());
        system::bare(&mut command);
        system::apart(&mut command);
        let mut child = theirs.start(command)?;
        system::first_to_go(child.id());
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
        system::cpu_of(self.pid)
    }

    /// Bytes of memory that it holds now; `None` when the system does not tell.
    pub(crate) fn memory(&self) -> Option<u64> {
        system::memory_of(self.pid)
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
        let how = status.map_or_else(|| "it does not end".to_owned(), system::describe);
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_leaves_its_last_words() {
        // `false script-host` stands for a child that fails at once.
        let (process, _socket) = Process::start(Path::new("/bin/false")).unwrap();
        assert_eq!(process.end(Duration::from_secs(20)), "it ended with code 1");
    }
}
