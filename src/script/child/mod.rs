//! The child's side: one script in a process of its own, without files, network or rights.
//!
//! In: messages of the parent on a line. Out: messages on the same line. Never: an effect; each is
//! asked of the parent.

mod aliases;
#[cfg(unix)]
mod alone;
pub(crate) mod arguments;
mod clock;
#[cfg(all(test, target_os = "linux"))]
mod confined;
mod data;
mod dates;
mod elapsed;
pub(crate) mod engine;
mod faults;
mod garbage;
mod handles;
#[cfg(any(not(target_os = "linux"), test))]
mod heap;
pub(crate) mod json;
mod layouts;
mod limits;
mod link;
mod lists;
mod pod;
mod shared;
mod shims;
#[cfg(test)]
mod tests;
mod texts;
mod watched;

use std::collections::BTreeSet;
use std::process::ExitCode;

use boa_engine::Context;
use boa_engine::property::PropertyKey;

use self::engine::Engine;
use self::link::Link;
use super::wire::{FromParent, Line, ToParent, WireError};
use crate::kfl::Schema;

#[cfg(unix)]
pub use self::alone::Alone;
pub(crate) use self::clock::Timer;
pub(crate) use self::data::{item_of, pristine};
pub(crate) use self::shims::{define, function, is_global};

/// Runs the hidden subcommand `script-host`: one script, until the parent says so or goes away.
///
/// `schema` is what queries of the script are compiled against. The line is the one that
/// the parent gave.
pub fn main(schema: &Schema) -> ExitCode {
    let Ok(line) = Line::of_process() else {
        return ExitCode::FAILURE;
    };
    match serve_confined(line, schema, limits::apply) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("a script process is started by tapedeck itself, not by hand: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes from this process what reading a script does not need; what the system cannot limit is left.
pub(crate) fn confine(limits: &super::wire::Limits) {
    limits::apply(limits);
}

/// Names on the global object of an engine without anything of ours.
pub(crate) fn builtins() -> BTreeSet<String> {
    let mut context = Context::default();
    let global = context.global_object();
    let keys = global.own_property_keys(&mut context).unwrap_or_default();
    keys.into_iter()
        .filter_map(|key| match key {
            PropertyKey::String(name) => Some(name.to_std_string_lossy()),
            PropertyKey::Symbol(_) | PropertyKey::Index(_) => None,
        })
        .collect()
}

/// Serves one script on `line` in this very thread, without any limit of the system: for tests and
/// measurements.
///
/// # Errors
/// When the parent says something that cannot be read.
pub fn serve(line: Line, schema: &Schema) -> Result<(), WireError> {
    serve_confined(line, schema, |_| Vec::new())
}

/// Serves one script; `confine` is called before any of it is read.
fn serve_confined(
    line: Line,
    schema: &Schema,
    confine: impl FnOnce(&super::wire::Limits) -> Vec<String>,
) -> Result<(), WireError> {
    let mut reader = FromParent::new(line.try_clone()?);
    let Some(start) = reader.start()? else {
        return Ok(());
    };
    let missing = confine(&start.limits);
    let path = start.path.clone();
    let link = Link::new(line.try_clone()?, reader);
    match Engine::load(start, link, schema) {
        Ok(mut engine) => {
            engine.say_ready(missing);
            while let Some(message) = engine.next() {
                if !engine.handle(message) {
                    break;
                }
            }
        }
        Err(fault) => {
            let place = fault.place.as_ref();
            let message = ToParent::LoadFailed {
                message: fault.in_file(&path),
                line: place.map(|place| place.line),
                column: place.map(|place| place.column),
            };
            super::wire::send_to_parent(&line, &message)?;
        }
    }
    Ok(())
}
