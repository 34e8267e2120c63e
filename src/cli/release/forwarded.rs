//! Ports of this computer that are forwarded.
//!
//! In: the configuration, what other commands of this user forward. Out: a listener, or a port that leads to
//! the release already. Never: a token for a port that somebody else listens on.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::super::config::Config;
use super::super::exit::Failure;
use super::Reach;
use crate::private;
use crate::release::Release;

/// Ports that are tried after the wanted one.
const TRIED: u16 = 20;

/// Addresses for the dashboard, in the order in which they are tried.
///
/// # Errors
/// When the configuration names none.
pub fn ports(config: &Config) -> Result<Vec<SocketAddr>, Failure> {
    let host: IpAddr = match config.text("tap.proxy.host") {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        host => host.parse().map_err(|_| {
            Failure::usage(format!("tap.proxy.host must be an address, not {host}"))
        })?,
    };
    if !host.is_loopback() {
        return Err(Failure::usage(format!(
            "forwarding to {host} would let others on the network in; leave tap.proxy.host at 127.0.0.1"
        )));
    }
    let port = u16::try_from(config.int("tap.proxy.front.port"))
        .map_err(|_| Failure::usage("tap.proxy.front.port must be a port, 0 to 65535"))?;
    let last = port.saturating_add(TRIED);
    Ok((port..=last)
        .map(|port| SocketAddr::new(host, port))
        .collect())
}

/// Listens at the first address that is free.
///
/// # Errors
/// When none is.
pub(super) async fn listen(at: &[SocketAddr]) -> Result<TcpListener, Failure> {
    let mut last = None;
    for address in at {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(format!("port {}: {error}", address.port())),
        }
    }
    Err(Failure::failed(format!(
        "no port of this computer can be forwarded: {}",
        last.unwrap_or_default()
    )))
}

/// Folder of the notes, in the data folder.
const NOTES: &str = "forwards";

/// Bytes of a note that are read.
const MAX_NOTE: u64 = 16 << 10;

/// Where a forwarded port leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Way {
    server: String,
    namespace: String,
    name: String,
    address: SocketAddr,
}

impl Way {
    fn of(reach: &Reach, release: &Release, address: SocketAddr) -> Way {
        Way {
            server: reach.api.server().to_owned(),
            namespace: release.namespace.clone(),
            name: release.name.clone(),
            address,
        }
    }
}

/// The note of a port that this process forwards, for other commands of this user; gone when dropped.
///
/// It is locked for as long as the process lives, so whoever finds the lock knows that the listener is
/// ours: nobody else can have the port, nor make the file.
pub(super) struct Noted {
    path: PathBuf,
    _locked: File,
}

impl Drop for Noted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Notes that the port of `address` leads to `release`; `None` where the note cannot be written, and other
/// commands then forward a port of their own.
pub(super) fn note(
    config: &Config,
    reach: &Reach,
    release: &Release,
    address: SocketAddr,
) -> Option<Noted> {
    let folder = super::super::data_dir(config).ok()?.join(NOTES);
    let noted = write_note(&folder, &Way::of(reach, release, address));
    noted
        .inspect_err(
            |error| tracing::warn!(%error, "other commands do not find the forwarded port"),
        )
        .ok()
}

fn write_note(folder: &Path, way: &Way) -> std::io::Result<Noted> {
    private::make_folder(folder)?;
    let path = folder.join(format!(
        "{}-{}.json",
        std::process::id(),
        way.address.port()
    ));
    let _ = fs::remove_file(&path);
    let mut file = private::options()
        .write(true)
        .create_new(true)
        .open(&path)?;
    file.lock()?;
    file.write_all(&serde_json::to_vec(way)?)?;
    Ok(Noted {
        path,
        _locked: file,
    })
}

/// The first of these addresses that a command of this user forwards to `release`.
pub(super) fn noted(
    config: &Config,
    reach: &Reach,
    release: &Release,
    at: &[SocketAddr],
) -> Option<SocketAddr> {
    let folder = super::super::data_dir(config).ok()?.join(NOTES);
    let there = notes(&folder);
    let leads = |address: &&SocketAddr| there.contains(&Way::of(reach, release, **address));
    at.iter().find(leads).copied()
}

/// Where the ports lead to that living processes have noted; notes of others are removed.
fn notes(folder: &Path) -> Vec<Way> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        let is_held = matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock));
        let mut text = Vec::new();
        if (&file).take(MAX_NOTE).read_to_end(&mut text).is_err() || text.is_empty() {
            // One that is being written.
            continue;
        }
        match is_held {
            true => found.extend(serde_json::from_slice::<Way>(&text)),
            false => drop(fs::remove_file(entry.path())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_while_its_process_holds_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(NOTES);
        assert_eq!(notes(&folder), []);
        let way = Way {
            server: "https://10.0.0.1:6443".to_owned(),
            namespace: "default".to_owned(),
            name: "tapedeck".to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 8899)),
        };
        let noted = write_note(&folder, &way).unwrap();
        assert_eq!(notes(&folder), std::slice::from_ref(&way));
        // What a process that was killed has left behind, and what is none.
        let left = folder.join("1-8899.json");
        fs::write(&left, serde_json::to_vec(&way).unwrap()).unwrap();
        fs::write(folder.join("2-1.json"), "").unwrap();
        assert_eq!(notes(&folder), [way]);
        assert!(!left.exists());
        drop(noted);
        assert_eq!(notes(&folder), []);
    }
}
