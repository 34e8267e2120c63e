//! The live source, and the rights that go with it.
//!
//! In: the configuration, and the variables in which sudo names its caller. Out: an open interface, in
//! a process that runs for that caller. Never: an interface opened again, which the rights left behind
//! would not allow.

use std::net::IpAddr;

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::filters::Filters;
#[cfg(feature = "live")]
use crate::capture::CaptureError;
use crate::capture::Source;
use crate::capture::own::OwnSockets;
#[cfg(target_os = "linux")]
use crate::capture::rights::{self, Caller};
use crate::capture::targets::SharedTargets;

/// Opens the interface that the configuration names, and gives the filters that make it follow changes;
/// `own` is where other parts say what is ours, and `targets` where they say which addresses are captured.
#[cfg(feature = "live")]
pub fn open(
    config: &Config,
    own: &OwnSockets,
    targets: &SharedTargets,
) -> Result<(Box<dyn Source>, Filters), Failure> {
    use crate::capture::live::narrowing::{Narrowing, check_for};
    use crate::capture::live::{LiveOptions, open};
    // Nothing was captured yet, so whatever is wrong is wrong with what was asked for.
    let wrong = |error: CaptureError| Failure::usage(error.to_string());
    let interface = config.text("tap.interface");
    check_for(config.text("tap.bpfOverride"), interface).map_err(wrong)?;
    let narrowing = Narrowing::default();
    let filters = Filters::new(interface, narrowing.clone());
    filters.follow(config);
    let options = LiveOptions {
        interface: interface.to_owned(),
        snaplen: u32::try_from(config.int("tap.snaplen")).unwrap_or(u32::MAX),
        buffer_bytes: u32::try_from(config.bytes("tap.bufferSize")).unwrap_or(u32::MAX),
        threads: usize::try_from(config.int("tap.captureThreads")).unwrap_or_default(),
        capture_self: config.bool("tap.capture.captureSelf"),
        own: own.clone(),
        narrowing,
        targets: targets.clone(),
        ..LiveOptions::default()
    };
    let source = open(&options).map_err(wrong)?;
    Ok((source, filters))
}

/// Addresses of this machine's interfaces; none where the system does not tell them.
#[cfg(feature = "live")]
pub fn own_addresses() -> Vec<IpAddr> {
    let interfaces = crate::capture::live::interfaces().unwrap_or_default();
    let addresses = interfaces.into_iter();
    addresses
        .flat_map(|interface| interface.addresses)
        .collect()
}

/// None: nothing is captured live.
#[cfg(not(feature = "live"))]
pub fn own_addresses() -> Vec<IpAddr> {
    Vec::new()
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
        super::super::print(format_args!(
            "{}.{} [{state}] {} {}",
            index + 1,
            interface.name,
            interface.description,
            addresses.join(" ")
        ));
    }
    Ok(Exit::Done)
}

#[cfg(not(feature = "live"))]
pub fn open(
    _config: &Config,
    _own: &OwnSockets,
    _targets: &SharedTargets,
) -> Result<(Box<dyn Source>, Filters), Failure> {
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

/// The user who called sudo, when this process is root by it.
#[cfg(target_os = "linux")]
fn caller() -> Option<Caller> {
    let text = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let caller = Caller::parse(text("SUDO_UID").as_deref(), text("SUDO_GID").as_deref());
    caller.filter(|_| rustix::process::geteuid().is_root())
}

/// Whether what this process writes would belong to root, in the home of the user who called sudo.
pub fn writes_for_another() -> bool {
    #[cfg(target_os = "linux")]
    return caller().is_some();
    #[cfg(not(target_os = "linux"))]
    false
}

/// Starts the program anew with the home of the user who called sudo, unless it has it.
///
/// Configuration, data folder and the profiles of the AWS SDK all follow `HOME`, which most systems
/// set to root's.
///
/// # Errors
/// When the program cannot be started again.
#[cfg(target_os = "linux")]
pub fn as_caller() -> Result<(), Failure> {
    use std::os::unix::process::CommandExt;
    let Some(home) = caller().and_then(|caller| rights::home(caller.uid)) else {
        return Ok(());
    };
    if std::env::var_os("HOME").is_some_and(|present| present == *home) {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let error = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .env("HOME", &home)
        .exec();
    Err(Failure::failed(format!(
        "tapedeck cannot be started with the home folder {}: {error}",
        home.display()
    )))
}

/// Nothing to do: there is no sudo whose caller would be looked up.
#[cfg(not(target_os = "linux"))]
pub fn as_caller() -> Result<(), Failure> {
    Ok(())
}

/// Becomes the user who called sudo; the interface is open by now and needs no right any more.
///
/// # Errors
/// When the system refuses, or other threads run already.
#[cfg(target_os = "linux")]
pub fn give_up_rights() -> Result<(), Failure> {
    let given_up = match caller() {
        Some(caller) => rights::become_caller(caller).map(|_| ()),
        None if rustix::process::geteuid().is_root() => Ok(()),
        None => rights::drop_capabilities(),
    };
    given_up.map_err(|error| Failure::failed(format!("rights cannot be given up: {error}")))
}

/// Nothing to do: the process stays who it is.
#[cfg(not(target_os = "linux"))]
pub fn give_up_rights() -> Result<(), Failure> {
    Ok(())
}
