//! `--watch`: runs again from the start whenever the content of a script changes.
//!
//! A run that is still going on is ended first. Every run has a data folder of its own, unless one is
//! named. The watch ends with Ctrl+C.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use super::super::Style;
use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::RunArgs;
use crate::pipeline::Stop;
use crate::script::environment::Environment;
use crate::script::folder::{Change, Folder, LOOK_EVERY, Watch};

/// Time between two looks at whether the watch is to end.
const PACE: Duration = Duration::from_millis(100);

/// Scripts, and what was changed in them since somebody asked.
struct Saves {
    folder: Folder,
    watch: Watch,
    looked: std::time::Instant,
}

impl Saves {
    /// Which scripts were saved, added or removed; waits a moment for that.
    fn wait(&mut self) -> Vec<String> {
        let told = self.watch.events().recv_timeout(PACE).is_ok();
        self.changed(told)
    }

    /// Which scripts were saved, added or removed; does not wait.
    fn now(&mut self) -> Vec<String> {
        let told = self.watch.events().try_recv().is_ok();
        self.changed(told)
    }

    fn changed(&mut self, told: bool) -> Vec<String> {
        if !told && self.looked.elapsed() < LOOK_EVERY {
            return Vec::new();
        }
        self.looked = std::time::Instant::now();
        self.watch.renew();
        let changes = self.folder.look().into_iter();
        let names = changes.filter_map(|change| match change {
            Change::Added(file) | Change::Changed(file) => Some(file.path.display().to_string()),
            Change::Removed { path, .. } => Some(path.display().to_string()),
            Change::Notice(sentence) => {
                eprintln!("{}", Style::stderr().yellow(&sentence));
                None
            }
        });
        names.collect()
    }
}

/// Runs until Ctrl+C.
pub(super) fn run(
    args: &RunArgs,
    config: &Config,
    scripts: &[PathBuf],
    env: &Environment,
    stop: &Stop,
) -> Result<Exit, Failure> {
    if args.pcap.iter().any(|source| source == "-") {
        return Err(Failure::usage(
            "standard input can be read once only; name a file to use --watch",
        ));
    }
    let mut folder = Folder::new(scripts.to_vec(), Vec::new());
    folder.look();
    let saves = RefCell::new(Saves {
        folder,
        watch: Watch::new(scripts),
        looked: std::time::Instant::now(),
    });
    let style = Style::stderr();
    loop {
        let saved = RefCell::new(Vec::new());
        let is_stale = || {
            let mut saved = saved.borrow_mut();
            saved.extend(saves.borrow_mut().now());
            !saved.is_empty()
        };
        let temporary = tempfile::tempdir()?;
        let data = args.data.as_deref().unwrap_or(temporary.path());
        // What goes wrong in one run may be right in the next.
        if let Err(failure) = super::once(args, config, scripts, env, data, stop, &is_stale) {
            eprintln!("{}", style.red(&failure.message));
        }
        let mut saved = saved.into_inner();
        if saved.is_empty() {
            eprintln!(
                "{}",
                style.dim("Waiting for a script to be saved; Ctrl+C ends")
            );
        }
        while saved.is_empty() && !stop.is_asked() {
            saved = saves.borrow_mut().wait();
        }
        if stop.is_asked() {
            return Ok(Exit::Done);
        }
        saved.sort();
        saved.dedup();
        eprintln!("{}", style.bold(&format!("Saved: {}", saved.join(", "))));
    }
}
