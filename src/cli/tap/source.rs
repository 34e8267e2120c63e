//! The live source, and the rights that go with it.

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use crate::capture::Source;

/// Opens the interface that the configuration names.
#[cfg(feature = "live")]
pub fn open(config: &Config) -> Result<Box<dyn Source>, Failure> {
    use crate::capture::live::{LiveOptions, open};
    let options = LiveOptions {
        interface: config.text("tap.interface").to_owned(),
        bpf: config.text("tap.bpfOverride").to_owned(),
        snaplen: u32::try_from(config.int("tap.snaplen")).unwrap_or(u32::MAX),
        buffer_bytes: u32::try_from(config.bytes("tap.bufferSize")).unwrap_or(u32::MAX),
        capture_self: config.bool("tap.capture.captureSelf"),
        ..LiveOptions::default()
    };
    // Nothing was captured yet, so whatever is wrong is wrong with what was asked for.
    open(&options).map_err(|error| Failure::usage(error.to_string()))
}

/// Lists the interfaces, one a line.
#[cfg(feature = "live")]
pub fn list_interfaces() -> Result<Exit, Failure> {
    let interfaces =
        crate::capture::live::interfaces().map_err(|error| Failure::failed(error.to_string()))?;
    for (index, interface) in interfaces.iter().enumerate() {
        let addresses: Vec<String> = interface
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        let state = if interface.up { "up" } else { "down" };
        println!(
            "{}.{} [{state}] {} {}",
            index + 1,
            interface.name,
            interface.description,
            addresses.join(" ")
        );
    }
    Ok(Exit::Done)
}

#[cfg(not(feature = "live"))]
pub fn open(_config: &Config) -> Result<Box<dyn Source>, Failure> {
    Err(Failure::usage(
        "this tapedeck was built without live capture; open a recorded source with --pcap SRC",
    ))
}

#[cfg(not(feature = "live"))]
pub fn list_interfaces() -> Result<Exit, Failure> {
    Err(Failure::usage(
        "this tapedeck was built without live capture",
    ))
}

/// Becomes the user who called sudo; the interface is open by now and needs no right any more.
pub fn give_up_rights() -> Result<(), Failure> {
    use crate::capture::rights::{Caller, become_caller, drop_capabilities};
    let text = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let caller = Caller::parse(text("SUDO_UID").as_deref(), text("SUDO_GID").as_deref());
    let given_up = match caller {
        Some(caller) if rustix::process::geteuid().is_root() => become_caller(caller).map(|_| ()),
        _ if rustix::process::geteuid().is_root() => Ok(()),
        _ => drop_capabilities(),
    };
    given_up.map_err(|error| Failure::failed(format!("rights cannot be given up: {error}")))
}
