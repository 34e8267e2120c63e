//! Progress bars on long reads, on terminals only.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::item::Item;
use crate::pipeline::{Consumer, Counters, Encoded, Step};

/// A bar over bytes read.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar on stderr; draws nothing when stderr is no terminal.
    pub fn for_reading() -> Bar {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
        let style = ProgressStyle::with_template(
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Bar(bar)
    }

    /// Moves it.
    pub fn set(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Moves a bar along with a run.
pub struct Follow {
    bar: Option<Bar>,
    items: u64,
    /// Counters to ask in a run whose consumers are given no items.
    counters: Option<Arc<Counters>>,
}

impl Follow {
    /// Follows with `bar` until the run ends.
    pub fn new(bar: Bar) -> Follow {
        Follow {
            bar: Some(bar),
            items: 0,
            counters: None,
        }
    }

    /// Takes the number of items from `counters`.
    pub fn counting(self, counters: Arc<Counters>) -> Follow {
        Follow {
            counters: Some(counters),
            ..self
        }
    }

    fn items(&self) -> u64 {
        match &self.counters {
            Some(counters) => counters.items(),
            None => self.items,
        }
    }
}

impl Consumer for Follow {
    fn on_step(&mut self, step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        self.items += items.len() as u64;
        if let (Some(bar), Some((done, all))) = (&self.bar, step.progress) {
            bar.set(done, all);
            bar.0.set_message(format!("{} items", self.items()));
        }
    }

    fn on_end(&mut self) {
        self.bar = None;
    }
}
