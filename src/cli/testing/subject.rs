//! The scripts under test, run over a capture; what came of it as one object.
//!
//! ```text
//! result = {console: [line], errors: [line], items: number,
//!           sent: [{helper, arguments, upload?}], uploads: [{bucket, key, path, bytes, text}],
//!           files: {path: text}, recordings: [{name, kfl, streams, packets, ...}],
//!           tests: {passed: number, failed: number}}
//! ```
//!
//! Lines come without their prefix. `tests` counts the items that `onItemQueried` marked.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value as Json, json};

use super::super::config::Config;
use super::super::exit::Failure;
use super::super::source::{self, S3Args};
use super::super::tap::Asked;
use super::super::tap::session::{Dry, Session, Setup};
use crate::capture::own::OwnSockets;
use crate::item::Item;
use crate::item::flat;
use crate::pipeline::host::{HISTORY, SentLog};
use crate::pipeline::{Consumer, Encoded, Step, Stop};
use crate::script::environment::Environment;
use crate::script::supervisor::Scripts;

/// Files of a data folder that a test sees.
const MAX_FILES: usize = 1000;

/// Bytes of one file that a test sees as text; of a larger one it sees that it is there.
const MAX_TEXT: u64 = 256 * 1024;

/// Folders within folders that are looked through.
const MAX_DEPTH: usize = 16;

/// What is run, and how.
pub(super) struct Subject {
    /// Captures, read one after the other.
    pub(super) pcaps: Vec<String>,
    /// The scripts.
    pub(super) scripts: Vec<PathBuf>,
    /// What they see as `env`.
    pub(super) env: Environment,
    /// Whether jobs run once more at the end.
    pub(super) run_jobs_at_end: bool,
}

impl Subject {
    /// Runs the scripts to the end of the captures.
    pub(super) fn run(&self, config: &Config, s3: &S3Args, stop: &Stop) -> Result<Json, Failure> {
        let opened = source::open(&self.pcaps, s3, config)?;
        let data = tempfile::tempdir()?;
        let sent = Arc::new(SentLog::default());
        let marks = Arc::new(Marks::default());
        let watching = marks.clone();
        let setup = Setup {
            source: opened.source,
            names: Some(source::names_of(opened.names)),
            cluster: Asked::default(),
            is_live: false,
            what: self.pcaps.join(" "),
            data: data.path().to_owned(),
            scripts: self.scripts.clone(),
            env: self.env.clone(),
            own: OwnSockets::default(),
            hub: None,
            dry: Some(Dry {
                sent: sent.clone(),
                quiet: true,
                watcher: Some(Box::new(move |scripts| {
                    Box::new(Asker {
                        scripts,
                        marks: watching,
                    })
                })),
            }),
            stop: stop.clone(),
        };
        let session = Session::start(config, setup)?;
        let facts = session.facts.clone();
        let counters = session.counters.clone();
        let folders: Vec<PathBuf> = self
            .scripts
            .iter()
            .map(|script| session.folder(script))
            .collect();
        let recordings = session.recorded();
        session.finish(self.run_jobs_at_end)?;

        let (mut lines, mut errors) = (Vec::new(), Vec::new());
        for line in facts.console_lines() {
            let text = line.text.split_once("] ").map_or("", |(_, text)| text);
            let list = if line.error { &mut errors } else { &mut lines };
            list.push(text.to_owned());
        }
        errors.extend(facts.failed_scripts());
        let sent = sent.calls();
        let uploads: Vec<_> = sent.iter().filter_map(|call| call.upload.clone()).collect();
        let mut files = Map::new();
        for folder in &folders {
            read_files(folder, folder, 0, &mut files);
        }
        let items: u64 = counters.now().items.values().sum();
        Ok(json!({
            "console": lines,
            "errors": errors,
            "items": items,
            "sent": sent,
            "uploads": uploads,
            "files": files,
            "recordings": recordings,
            "tests": {
                "passed": marks.passed.load(Ordering::Relaxed),
                "failed": marks.failed.load(Ordering::Relaxed),
            },
        }))
    }
}

/// Adds the files below `folder` by their path in `root`; links, which stand for streams, by name alone.
fn read_files(root: &Path, folder: &Path, depth: usize, into: &mut Map<String, Json>) {
    if depth > MAX_DEPTH {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            read_files(root, &path, depth + 1, into);
            continue;
        }
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        if name == HISTORY || into.len() >= MAX_FILES {
            continue;
        }
        let is_small = entry.metadata().is_ok_and(|found| found.len() <= MAX_TEXT);
        let text = (kind.is_file() && is_small)
            .then(|| fs::read_to_string(&path).ok())
            .flatten();
        into.insert(name, text.map_or(Json::Null, Json::String));
    }
}

/// Items that scripts marked with `test.pass` and `test.fail`.
#[derive(Default)]
struct Marks {
    passed: AtomicU64,
    failed: AtomicU64,
}

/// Asks `onItemQueried` about every item, as a dashboard that shows all of them would.
struct Asker {
    scripts: Arc<Scripts>,
    marks: Arc<Marks>,
}

impl Consumer for Asker {
    fn on_step(&mut self, _step: &Step, items: &[Item], encoded: &Encoded<'_>) {
        if items.is_empty() || !self.scripts.wants_queried() {
            return;
        }
        // The answer has half a second, which must not go into what waits in front of it.
        self.scripts.drain();
        for record in flat::records(encoded.records()) {
            let Some(shown) = self.scripts.ask_queried(record.record(), "") else {
                continue;
            };
            for (mark, count) in [
                ("passed", &self.marks.passed),
                ("failed", &self.marks.failed),
            ] {
                if shown.get(mark) == Some(&Json::Bool(true)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}
