//! A script within this process.
//!
//! In: what a parent would tell it. Out: nothing; what the script says is read and forgotten. Never: an
//! answer to a host call.

use std::io::Read;

use super::engine::Engine;
use super::link::Link;
use crate::kfl::Schema;
use crate::script::wire::{FromParent, Line, Start, ToChild};

/// One script in this very thread, without a process and a line's other end in between: for
/// measurements of what those cost.
pub struct Alone {
    engine: Engine,
    parent: Line,
}

impl Alone {
    /// Runs the script's top level.
    ///
    /// # Errors
    /// The sentence that says why it cannot be run.
    pub fn load(start: Start, schema: &Schema) -> Result<Alone, String> {
        let made = |error: std::io::Error| error.to_string();
        let (parent, line) = Line::pair().map_err(made)?;
        parent.do_not_wait().map_err(made)?;
        let reader = FromParent::new(line.try_clone().map_err(made)?);
        let path = start.path.clone();
        let loaded = Engine::load(start, Link::new(line, reader), schema);
        let engine = loaded.map_err(|fault| fault.in_file(&path))?;
        Ok(Alone { engine, parent })
    }

    /// Has the script do what a parent would tell it; what it answers is read and forgotten.
    pub fn tell(&mut self, message: ToChild) {
        self.engine.handle(message);
        let mut answer = [0; 4096];
        while matches!((&self.parent).read(&mut answer), Ok(count) if count > 0) {}
    }
}
