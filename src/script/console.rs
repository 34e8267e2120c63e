//! The console of all scripts: a bounded ring of lines, and viewers that follow it.
//!
//! In: what scripts print and what the host says about them. Out: lines in the known form,
//! `[<node>-<index>] text` and `[<node>-<index>:ERROR] text`. Never: waiting for a viewer, the
//! values of secrets; a script's lines pushed out by the flood of another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::folder::{number_of, role_of};
use super::wire::Role;
use crate::time::Timestamp;

/// Lines that are kept for viewers who come later.
pub const MAX_LINES: usize = 5000;

/// Bytes of all lines that are kept.
pub const MAX_BYTES: usize = 4 << 20;

/// Bytes of one line; what is longer is cut and says so.
pub const MAX_LINE_BYTES: usize = 32 << 10;

/// Lines that wait for one viewer; a viewer that falls further behind misses lines.
const VIEWER_LINES: usize = 1024;

/// Viewers at once.
const MAX_VIEWERS: usize = 64;

/// Shortest secret that is masked: shorter ones would mask ordinary words.
const MIN_SECRET: usize = 6;

/// Parts of names whose values are secrets.
const SECRET_NAMES: &[&str] = &[
    "SECRET",
    "TOKEN",
    "KEY",
    "PASSWORD",
    "PASSWD",
    "CONNECTION_STRING",
    "WEBHOOK",
    "CREDENTIAL",
];

/// Whether values of this name are secrets, which nothing shows.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// One line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Number of the line, from 0.
    pub number: u64,
    /// When it was printed.
    pub at: Timestamp,
    /// The script's index.
    pub script: u32,
    /// Whether it is an error line.
    pub error: bool,
    /// The whole line with its prefix; may hold line breaks.
    pub text: String,
}

/// All lines of all scripts of one node.
#[derive(Debug)]
pub struct Console {
    node: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    bytes: usize,
    /// What is kept of each script.
    kept: BTreeMap<u32, Kept>,
    printed: u64,
    viewers: Vec<Sender<Line>>,
    secrets: Vec<String>,
}

/// Lines and bytes that are kept of one script.
#[derive(Debug, Default, Clone, Copy)]
struct Kept {
    lines: usize,
    bytes: usize,
}

impl Console {
    /// An empty console of the node `node`.
    pub fn new(node: impl Into<String>) -> Console {
        Console {
            node: node.into(),
            state: Mutex::default(),
        }
    }

    /// Prints a line of a script.
    pub fn log(&self, at: Timestamp, script: u32, text: &str) {
        self.print(at, script, false, text);
    }

    /// Prints an error line of a script.
    pub fn error(&self, at: Timestamp, script: u32, text: &str) {
        self.print(at, script, true, text);
    }

    fn print(&self, at: Timestamp, script: u32, error: bool, text: &str) {
        let mut state = self.lock();
        let mut text = cut(text, MAX_LINE_BYTES);
        for secret in &state.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***");
            }
        }
        let mark = if error { ":ERROR" } else { "" };
        let line = Line {
            number: state.printed,
            at,
            script,
            error,
            text: match role_of(script) {
                Role::Worker => format!("[{}-{script}{mark}] {text}", self.node),
                Role::Hub => format!("[hub-{}{mark}] {text}", number_of(script)),
            },
        };
        state.printed += 1;
        state.viewers.retain(|viewer| {
            !matches!(
                viewer.try_send(line.clone()),
                Err(TrySendError::Disconnected(_))
            )
        });
        state.keep(line);
        state.make_room();
    }

    /// `console.clear`: viewers who come later see nothing of what the script printed before. Error
    /// lines stay, and so does what other scripts printed: no script hides what was said about it.
    pub fn clear(&self, script: u32) {
        let mut state = self.lock();
        let lines = std::mem::take(&mut state.lines);
        state.bytes = 0;
        state.kept.clear();
        lines
            .into_iter()
            .filter(|line| line.error || line.script != script)
            .for_each(|line| state.keep(line));
    }

    /// The lines that are kept, oldest first.
    pub fn recent(&self) -> Vec<Line> {
        self.lock().lines.iter().cloned().collect()
    }

    /// The lines that are kept and numbered `first` or higher, oldest first.
    pub fn since(&self, first: u64) -> Vec<Line> {
        let state = self.lock();
        let from = state.lines.partition_point(|line| line.number < first);
        state.lines.range(from..).cloned().collect()
    }

    /// The lines that are kept, and all that follow; `None` when there are too many viewers.
    ///
    /// A viewer that does not keep up misses lines, which their numbers show.
    pub fn follow(&self) -> Option<(Vec<Line>, Receiver<Line>)> {
        let mut state = self.lock();
        if state.viewers.len() >= MAX_VIEWERS {
            return None;
        }
        let (sender, receiver) = bounded(VIEWER_LINES);
        state.viewers.push(sender);
        Some((state.lines.iter().cloned().collect(), receiver))
    }

    /// Masks the values of secret names from now on.
    pub(crate) fn mask<'a>(&self, env: impl Iterator<Item = (&'a String, &'a serde_json::Value)>) {
        self.lock().secrets = secrets(env);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, line: Line) {
        let kept = self.kept.entry(line.script).or_default();
        kept.lines += 1;
        kept.bytes += line.text.len();
        self.bytes += line.text.len();
        self.lines.push_back(line);
    }

    /// Lets go of the oldest lines of whichever script holds most.
    fn make_room(&mut self) {
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let too_many = self.lines.len() > MAX_LINES;
            let held = |kept: &Kept| if too_many { kept.lines } else { kept.bytes };
            let most = self.kept.iter().max_by_key(|(_, kept)| held(kept));
            let most = most.map(|(script, _)| *script);
            let position = self.lines.iter().position(|line| Some(line.script) == most);
            let Some(oldest) = position.and_then(|at| self.lines.remove(at)) else {
                break;
            };
            self.bytes -= oldest.text.len();
            if let Some(kept) = self.kept.get_mut(&oldest.script) {
                kept.lines -= 1;
                kept.bytes -= oldest.text.len();
            }
        }
    }
}

/// Values of an environment that nobody should read, longest first.
fn secrets<'a>(env: impl Iterator<Item = (&'a String, &'a serde_json::Value)>) -> Vec<String> {
    let mut values: Vec<String> = env
        .filter(|(name, _)| is_secret(name))
        .filter_map(|(_, value)| value.as_str())
        .filter(|value| value.len() >= MIN_SECRET)
        .map(str::to_owned)
        .collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values
}

/// The first `most` bytes of a text, about, and how many were cut.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept} ... ({} bytes cut)", text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_secs(1, 0);

    #[test]
    fn lines_have_the_known_form() {
        let console = Console::new("node-a");
        console.log(AT, 0, "hello");
        console.error(AT, 3, "Error: x");
        let lines: Vec<String> = console.recent().into_iter().map(|line| line.text).collect();
        assert_eq!(lines, ["[node-a-0] hello", "[node-a-3:ERROR] Error: x"]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let console = Console::new("n");
        for _ in 0..MAX_LINES + 10 {
            console.log(AT, 0, "x");
        }
        assert_eq!(console.recent().len(), MAX_LINES);
        console.log(AT, 0, &"é".repeat(MAX_LINE_BYTES));
        let last = console.recent().pop().unwrap();
        assert!(last.text.len() < MAX_LINE_BYTES + 60 && last.text.ends_with("bytes cut)"));
    }

    #[test]
    fn a_flood_pushes_out_its_own_lines_only() {
        let console = Console::new("n");
        for number in 0..10 {
            console.log(AT, 1, &format!("quiet {number}"));
        }
        for _ in 0..3 * MAX_LINES {
            console.log(AT, 0, "flood");
        }
        let long = "x".repeat(MAX_LINE_BYTES);
        for _ in 0..2 * MAX_BYTES / MAX_LINE_BYTES {
            console.log(AT, 0, &long);
        }
        let lines = console.recent();
        let quiet = lines.iter().filter(|line| line.script == 1).count();
        assert_eq!(quiet, 10);
        let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
        assert!(bytes <= MAX_BYTES && bytes == console.lock().bytes);
        assert!(lines.is_sorted_by_key(|line| line.number));
    }

    #[test]
    fn a_script_clears_its_own_lines_and_no_error() {
        let console = Console::new("n");
        console.log(AT, 0, "mine");
        console.error(AT, 0, "was stopped");
        console.log(AT, 1, "yours");
        console.clear(0);
        console.log(AT, 0, "new");
        let lines: Vec<String> = console.recent().into_iter().map(|line| line.text).collect();
        assert_eq!(
            lines,
            ["[n-0:ERROR] was stopped", "[n-1] yours", "[n-0] new"]
        );
        let state = console.lock();
        assert_eq!(state.bytes, lines.iter().map(String::len).sum::<usize>());
        let held: usize = state.kept.values().map(|kept| kept.lines).sum();
        assert_eq!(held, 3);
    }

    #[test]
    fn a_viewer_that_does_not_read_stops_nobody() {
        let console = Console::new("n");
        console.log(AT, 0, "before");
        let (before, lines) = console.follow().unwrap();
        assert_eq!(before.len(), 1);
        for _ in 0..VIEWER_LINES + 5 {
            console.log(AT, 0, "x");
        }
        assert_eq!(lines.try_iter().count(), VIEWER_LINES);
        drop(lines);
        console.log(AT, 0, "x");
        assert!(console.lock().viewers.is_empty());
    }

    #[test]
    fn secrets_are_masked() {
        let console = Console::new("n");
        let env = serde_json::json!({"AWS_SECRET_ACCESS_KEY": "abcdef123", "S3_BUCKET": "bucket", "K_TOKEN": "x"});
        console.mask(env.as_object().unwrap().iter());
        console.log(AT, 0, "abcdef123 goes to bucket x");
        assert_eq!(console.recent()[0].text, "[n-0] *** goes to bucket x");
    }
}
