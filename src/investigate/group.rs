//! Which node and run a file is from, by where it lies, and whose names hold for it.
//!
//! In: keys such as `node-a_10.1.2.3_1700000000/1700003600.pcap` and
//! `reels/cluster=c/…/node=n/recording=r/20231114T221320Z-1700000000-000001-0123456789abcdef.pcapng.zst`.
//! Out: groups of files that belong together. Never: a guess presented as known.

use std::io::Read;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use percent_encoding::percent_decode_str;

use super::fetch::Told;
use crate::item::Origin;
use crate::resolve::{History, Names};
use crate::store::{Store, StoreError};

/// File of a drop-in folder that holds its names.
pub(super) const HISTORY: &str = "name_resolution_history.json";

/// Longest history that is read: files of 100 MB are on record.
pub(super) const MAX_HISTORY_BYTES: u64 = 1 << 30;

/// Histories of other nodes that a group without its own looks into; each may hold 100 MB.
pub(super) const MAX_BORROWED: usize = 2;

/// Files of one node and run.
pub(super) struct Group {
    /// Tells groups apart.
    pub(super) key: String,
    /// Node and run; `None` when the place does not say.
    pub(super) origin: Option<Arc<Origin>>,
    /// Recording whose reels these are.
    pub(super) record: Option<Arc<str>>,
    histories: Histories,
    names: OnceLock<Option<Arc<Names>>>,
}

/// Where a group's names are.
#[derive(Clone, Default)]
pub(super) struct Histories {
    /// The group's own.
    pub(super) own: Option<Arc<StoredHistory>>,
    /// Those of others, for a group without its own.
    pub(super) borrowed: Vec<Arc<StoredHistory>>,
}

impl Group {
    /// A group whose names are loaded when it is first read.
    pub(super) fn new(key: String, place: Option<&Place>, histories: Histories) -> Group {
        Group {
            key,
            origin: place.map(Place::origin),
            record: place.and_then(|place| place.recording.as_deref().map(Arc::from)),
            histories,
            names: OnceLock::new(),
        }
    }

    /// A group whose names are at hand.
    pub(super) fn named(key: String, origin: Option<Arc<Origin>>, names: Option<Names>) -> Group {
        Group {
            key,
            origin,
            record: None,
            histories: Histories::default(),
            names: OnceLock::from(names.map(Arc::new)),
        }
    }

    /// The names; the first call loads them and tells what is wrong with them.
    pub(super) fn names(&self, told: &Told) -> Option<Arc<Names>> {
        let load = || {
            let Histories { own, borrowed } = &self.histories;
            if own.is_none() && borrowed.is_empty() {
                return None;
            }
            let mut names = own
                .as_ref()
                .map_or_else(Names::default, |own| Names::of(own.load(told)));
            for other in borrowed {
                names.borrow(other.load(told));
            }
            Some(Arc::new(names))
        };
        self.names.get_or_init(load).clone()
    }
}

/// A name history in a store, loaded once for all who share it.
pub(super) struct StoredHistory {
    store: Arc<dyn Store>,
    key: String,
    hidden: bool,
    loaded: OnceLock<Arc<History>>,
}

impl StoredHistory {
    /// The history under `key`; `hidden` when a delete marker lies over it.
    pub(super) fn new(store: Arc<dyn Store>, key: String, hidden: bool) -> StoredHistory {
        StoredHistory {
            store,
            key,
            hidden,
            loaded: OnceLock::new(),
        }
    }

    fn load(&self, told: &Told) -> Arc<History> {
        let load = || {
            let name = format!("{}/{}", self.store.name(), self.key);
            match self.open() {
                Ok(body) => read_history(body, &name, told),
                Err(error) => {
                    told.warn(format!("names are missing: {error}"));
                    Arc::new(History::new())
                }
            }
        };
        self.loaded.get_or_init(load).clone()
    }

    /// The history is written again and again under one key and only grows: the last one counts,
    /// unless it was deleted.
    fn open(&self) -> Result<Box<dyn Read + Send>, StoreError> {
        if self.hidden {
            self.store.get(&self.key, None, None)
        } else {
            self.store.get_latest(&self.key)
        }
    }
}

/// Reads a history as far as it is good.
pub(super) fn read_history(body: impl Read, name: &str, told: &Told) -> Arc<History> {
    let mut history = History::new();
    if let Err(error) = history.read(body.take(MAX_HISTORY_BYTES)) {
        told.warn(format!("{name}: {error}"));
    }
    Arc::new(history)
}

/// What a key says about where its packets are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Tells nodes and runs apart.
    pub(super) key: String,
    /// Name of the node.
    pub(super) node: String,
    /// Address of the node; empty when the key does not hold it.
    pub(super) ip: String,
    /// Unix second at which the run began.
    pub(super) run: Option<u64>,
    /// Recording, for reels.
    pub(super) recording: Option<String>,
}

impl Place {
    /// Of a key: a drop-in folder, or a reel.
    pub(super) fn of(key: &str) -> Option<Place> {
        let (folder, file) = key.rsplit_once('/')?;
        Place::of_reel(folder, file).or_else(|| Place::of_folder(folder))
    }

    /// `<node>_<ip>` or `<node>_<ip>_<run>`, below any other folders.
    pub(super) fn of_folder(folder: &str) -> Option<Place> {
        let name = folder.rsplit('/').next()?;
        let (rest, last) = name.rsplit_once('_')?;
        let (node, ip, run) = match (last.parse::<IpAddr>(), last.parse::<u64>()) {
            (Ok(_), _) => (rest, last, None),
            (_, Ok(run)) => {
                let (node, ip) = rest.rsplit_once('_')?;
                ip.parse::<IpAddr>().ok()?;
                (node, ip, Some(run))
            }
            _ => return None,
        };
        Some(Place {
            key: folder.to_owned(),
            node: node.to_owned(),
            ip: ip.to_owned(),
            run,
            recording: None,
        })
    }

    fn of_reel(folder: &str, file: &str) -> Option<Place> {
        let column = |name: &str| {
            let value = folder.split('/').find_map(|part| {
                let (column, value) = part.split_once('=')?;
                (column == name).then_some(value)
            })?;
            Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let node = column("node")?;
        let run = reel_run(file)?;
        let cluster = column("cluster").unwrap_or_default();
        let recording = column("recording")?;
        Some(Place {
            key: format!("{cluster}/{node}/{recording}/{run}"),
            node,
            ip: String::new(),
            run: Some(run),
            recording: Some(recording),
        })
    }

    /// As items show it.
    pub(super) fn origin(&self) -> Arc<Origin> {
        let worker = match self.ip.as_str() {
            "" => self.node.clone(),
            ip => ip.to_owned(),
        };
        Arc::new(Origin {
            node_name: self.node.clone(),
            node_ip: self.ip.clone(),
            worker,
            ..Origin::default()
        })
    }
}

/// The run in `<start>-<run>-<sequence>-<hash>.…`.
fn reel_run(file: &str) -> Option<u64> {
    let mut parts = file.split('-');
    let (_start, run, _sequence) = (parts.next()?, parts.next()?, parts.next()?);
    run.parse().ok()
}

/// What all parts of a reel have in common: the key without hash and ending.
pub(super) fn reel_stem(key: &str) -> Option<&str> {
    let at = key.rfind('/').map_or(0, |slash| slash + 1);
    reel_run(key.get(at..)?)?;
    key.rfind('-')
        .filter(|dash| *dash > at)
        .and_then(|dash| key.get(..dash))
}

/// Second of the start that a file's name holds: `1700003600.pcap`, `kubeshark_1700003600.tar.gz`,
/// `20231114T221320Z-…`.
pub(super) fn named_second(key: &str) -> Option<i64> {
    let file = key.rsplit('/').next()?;
    if let Some(at) = file.get(..16)
        && let Ok(at) = chrono::NaiveDateTime::parse_from_str(at, "%Y%m%dT%H%M%SZ")
    {
        return Some(at.and_utc().timestamp());
    }
    let stem = file.split('.').next()?;
    let digits = stem.rsplit('_').next()?;
    let second: i64 = digits.parse().ok()?;
    // From 2001 to 5138; the twelve digits of a stream's number stay far below.
    (1_000_000_000..100_000_000_000)
        .contains(&second)
        .then_some(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_in_folders_name_node_address_and_run() {
        let place =
            Place::of("x/ip-10-0-0-1_a.internal_10.1.2.3_1700000000/1700003600.pcap").unwrap();
        assert_eq!(place.node, "ip-10-0-0-1_a.internal");
        assert_eq!(place.ip, "10.1.2.3");
        assert_eq!(place.run, Some(1_700_000_000));
        let place = Place::of_folder("n_fd00::1").unwrap();
        assert_eq!(
            (place.node.as_str(), place.ip.as_str(), place.run),
            ("n", "fd00::1", None)
        );
        for other in [
            "a/b.pcap",
            "b.pcap",
            "x_y/b.pcap",
            "n_1.2.3_5/b.pcap",
            "_/b.pcap",
        ] {
            assert_eq!(Place::of(other), None, "{other}");
        }
    }

    #[test]
    fn reels_name_node_and_run() {
        let key = "p/reels/cluster=c/date=2024-02-03/hour=04/node=n%201/recording=r/\
                   20240203T040506Z-1706930000-000007-abababababababab.pcapng.zst";
        let place = Place::of(key).unwrap();
        assert_eq!(place.key, "c/n 1/r/1706930000");
        assert_eq!(place.run, Some(1_706_930_000));
        assert!(
            reel_stem(key)
                .unwrap()
                .ends_with("20240203T040506Z-1706930000-000007")
        );
        assert_eq!(named_second(key), Some(1_706_933_106));
        assert_eq!(reel_stem("node_1.2.3.4_17/1700003600.pcap"), None);
    }

    #[test]
    fn names_hold_times_only_when_they_look_like_one() {
        assert_eq!(named_second("a/1700003600.pcap"), Some(1_700_003_600));
        assert_eq!(
            named_second("kubeshark_1700003600.tar.gz"),
            Some(1_700_003_600)
        );
        assert_eq!(named_second("000000017720.pcap"), None);
        assert_eq!(named_second("tap.pcap"), None);
    }
}
