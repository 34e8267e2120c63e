//! The child's side: one script in a process of its own, without files, network or rights.
//!
//! In: messages of the parent on standard input, a socket. Out: messages on the same socket. Never:
//! an effect; each is asked of the parent.

mod aliases;
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
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use boa_engine::Context;
use boa_engine::property::PropertyKey;

use self::engine::Engine;
use self::link::Link;
use super::wire::{FromParent, Start, ToChild, ToParent, WireError};
use crate::kfl::Schema;

pub(crate) use self::clock::Timer;
pub(crate) use self::data::{item_of, pristine};
pub(crate) use self::shims::{define, function, is_global};

/// Runs the hidden subcommand `script-host`: one script, until the parent says so or goes away.
///
/// `schema` is what queries of the script are compiled against. Standard input must be the socket
/// that the parent made.
pub fn main(schema: &Schema) -> ExitCode {
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    match serve_confined(UnixStream::from(socket), schema, limits::apply) {
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

/// Serves one script on `socket` in this very thread, without any limit of the system: for tests and
/// measurements.
///
/// # Errors
/// When the parent says something that cannot be read.
pub fn serve(socket: UnixStream, schema: &Schema) -> Result<(), WireError> {
    serve_confined(socket, schema, |_| Vec::new())
}

/// One script in this very thread, without a process and a socket's other end in between: for
/// measurements of what those cost.
pub struct Alone {
    engine: Engine,
    parent: UnixStream,
}

impl Alone {
    /// Runs the script's top level.
    ///
    /// # Errors
    /// The sentence that says why it cannot be run.
    pub fn load(start: Start, schema: &Schema) -> Result<Alone, String> {
        let made = |error: std::io::Error| error.to_string();
        let (parent, socket) = UnixStream::pair().map_err(made)?;
        parent.set_nonblocking(true).map_err(made)?;
        let reader = FromParent::new(socket.try_clone().map_err(made)?);
        let path = start.path.clone();
        let loaded = Engine::load(start, Link::new(socket, reader), schema);
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

/// Serves one script; `confine` is called before any of it is read.
fn serve_confined(
    socket: UnixStream,
    schema: &Schema,
    confine: impl FnOnce(&super::wire::Limits) -> Vec<String>,
) -> Result<(), WireError> {
    let mut reader = FromParent::new(socket.try_clone()?);
    let Some(start) = reader.start()? else {
        return Ok(());
    };
    let missing = confine(&start.limits);
    let path = start.path.clone();
    let link = Link::new(socket.try_clone()?, reader);
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
            super::wire::send_to_parent(&socket, &message)?;
        }
    }
    Ok(())
}
