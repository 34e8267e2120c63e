//! What a run follows while it goes on: the configuration file, the script console.

use std::io::Write;
use std::path::Path;

use super::super::config::{Config, Stamp, Surroundings};
use super::super::{Global, style::Style};
use super::facts::Facts;
use crate::pipeline::Counters;

/// Says a sentence that people should see.
pub(super) fn say(sentence: &str) {
    eprintln!("{}", Style::stderr().yellow(sentence));
}

/// What was printed of console and warnings.
pub(super) struct Printed {
    console: bool,
    quiet: bool,
    next: u64,
    /// Sentences of the counters that were printed.
    warnings: usize,
}

impl Printed {
    /// Prints the console if so, and warnings unless nothing is to be printed at all.
    pub(super) fn new(console: bool, quiet: bool) -> Printed {
        Printed {
            console,
            quiet,
            next: 0,
            warnings: 0,
        }
    }

    pub(super) fn print(&mut self, facts: &Facts, counters: &Counters) {
        if self.quiet {
            return;
        }
        let from = self.next;
        let recent = facts.console.recent().into_iter();
        for line in recent.filter(|line| line.number >= from) {
            self.next = line.number + 1;
            if !self.console {
                continue;
            }
            if line.error {
                eprintln!("{}", Style::stderr().red(&line.text));
            } else {
                // Whoever read the console may go away; the recording goes on.
                let _ = writeln!(std::io::stdout(), "{}", line.text);
            }
        }
        self.print_warnings(facts, counters);
    }

    fn print_warnings(&mut self, facts: &Facts, counters: &Counters) {
        let of_run = counters.warnings_from(self.warnings);
        self.warnings += of_run.len();
        let of_recordings = facts.desk.warnings().into_iter();
        for sentence in of_recordings.chain(facts.outbox.warnings()).chain(of_run) {
            say(&sentence);
        }
    }
}

/// The configuration file, followed by its content, and the mounted env, by the times of its files.
pub(super) struct Followed {
    config: Config,
    mounted: Vec<Stamp>,
    text: String,
    global: Global,
}

impl Followed {
    pub(super) fn new(config: &Config, global: &Global) -> Followed {
        let text = config.file.as_deref().map(read).unwrap_or_default();
        Followed {
            config: config.clone(),
            mounted: config.mounted_since(),
            text,
            global: global.clone(),
        }
    }

    /// The configuration, when the file or the mounted env changed since the last look.
    pub(super) fn changed(&mut self) -> Option<Config> {
        let text = self.config.file.as_deref().map(read).unwrap_or_default();
        let mounted = self.config.mounted_since();
        // Editors empty a file for a moment while they save it.
        let is_same = text == self.text || text.is_empty();
        if is_same && mounted == self.mounted {
            return None;
        }
        if !is_same {
            self.text = text;
        }
        self.mounted = mounted;
        match Config::load(&self.global, &Surroundings::of_process()) {
            Ok(config) => {
                config.warnings.iter().for_each(|warning| say(warning));
                self.config = config.clone();
                Some(config)
            }
            Err(failure) => {
                say(&format!("{}; the settings in force stay", failure.message));
                None
            }
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
