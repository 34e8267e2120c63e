//! The console of the whole cluster: lines of all nodes and of the hub in the order in which they
//! came.
//!
//! In: lines of each source. Out: all that are kept, numbered anew. Never: the lines of one source
//! pushed out by the flood of another, unless there is no room at all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value as Json, json};

use super::state::ConsoleLine;
use crate::script::console::MAX_LINE_BYTES;

/// Lines of one source that are kept.
const MAX_LINES: usize = 2000;

/// Their bytes.
const MAX_BYTES: usize = 1 << 20;

/// Bytes of the lines of all sources.
const MAX_ALL: usize = 32 << 20;

#[derive(Default)]
struct Ring {
    lines: VecDeque<(u64, ConsoleLine)>,
    bytes: usize,
}

impl Ring {
    fn drop_oldest(&mut self) -> usize {
        let bytes = self.lines.pop_front().map_or(0, |(_, line)| size_of(&line));
        self.bytes -= bytes;
        bytes
    }
}

#[derive(Default)]
struct Inner {
    last: u64,
    bytes: usize,
    rings: BTreeMap<String, Ring>,
}

/// The lines that are kept.
#[derive(Default)]
pub(super) struct Lines(Mutex<Inner>);

fn size_of(line: &ConsoleLine) -> usize {
    line.text.len() + line.title.len() + line.file.len() + line.at.len()
}

impl Lines {
    /// Adds lines of a source.
    pub(super) fn add(&self, source: &str, lines: Vec<ConsoleLine>) {
        if lines.is_empty() {
            return;
        }
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        for mut line in lines {
            for text in [
                &mut line.text,
                &mut line.title,
                &mut line.file,
                &mut line.at,
            ] {
                let end = text.floor_char_boundary(2 * MAX_LINE_BYTES);
                text.truncate(end);
            }
            inner.last += 1;
            let ring = inner.rings.entry(source.to_owned()).or_default();
            let bytes = size_of(&line);
            ring.bytes += bytes;
            inner.bytes += bytes;
            ring.lines.push_back((inner.last, line));
            while ring.lines.len() > MAX_LINES || ring.bytes > MAX_BYTES {
                inner.bytes -= ring.drop_oldest();
            }
        }
        while inner.bytes > MAX_ALL {
            let Some(ring) = inner.rings.values_mut().max_by_key(|ring| ring.bytes) else {
                break;
            };
            // Several at once: the largest is looked for among all.
            let least = ring.bytes / 2;
            while ring.bytes > least {
                inner.bytes -= ring.drop_oldest();
            }
        }
    }

    /// The lines behind the one numbered `after`, as pages get them.
    pub(super) fn since(&self, after: u64) -> Json {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<&(u64, ConsoleLine)> = inner
            .rings
            .values()
            .flat_map(|ring| {
                let from = ring.lines.partition_point(|(n, _)| *n <= after);
                ring.lines.range(from..)
            })
            .collect();
        found.sort_unstable_by_key(|(n, _)| *n);
        let lines: Vec<Json> = found
            .into_iter()
            .map(|(n, line)| {
                json!({"n": n, "at": line.at, "error": line.error, "text": line.text,
                       "title": line.title, "file": line.file})
            })
            .collect();
        json!({"lines": lines})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize, text: &str) -> Vec<ConsoleLine> {
        let line = ConsoleLine {
            n: 1,
            at: "now".into(),
            error: false,
            text: text.into(),
            title: String::new(),
            file: String::new(),
        };
        vec![line; count]
    }

    #[test]
    fn a_flood_of_one_node_leaves_the_lines_of_others() {
        let all = Lines::default();
        all.add("quiet", lines(2, "quiet"));
        all.add("loud", lines(3 * MAX_LINES, "loud"));
        all.add("quiet", lines(1, "later"));
        let told = all.since(0);
        let told = told["lines"].as_array().unwrap();
        assert_eq!(told.len(), MAX_LINES + 3);
        assert_eq!(
            (&told[0]["text"], &told[1]["n"]),
            (&json!("quiet"), &json!(2))
        );
        let last = told.last().unwrap();
        assert_eq!(last["text"], "later");
        let next = all.since(last["n"].as_u64().unwrap());
        assert_eq!(next["lines"], json!([]));
    }

    #[test]
    fn all_nodes_together_have_an_end() {
        let all = Lines::default();
        let long = "x".repeat(1000);
        for node in 0..60 {
            all.add(&format!("node-{node}"), lines(1100, &long));
        }
        let inner = all.0.lock().unwrap();
        assert!(inner.bytes <= MAX_ALL);
        let held: usize = inner.rings.values().map(|ring| ring.bytes).sum();
        assert_eq!(held, inner.bytes);
    }
}
