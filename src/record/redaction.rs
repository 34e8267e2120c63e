//! What is overwritten of a closed reel before it is sealed (design D8a).
//!
//! In: the folder of a closed reel with a rule. Out: a second file of its packets, each at the same
//! place, with what the rule names overwritten. Never: the first file sealed when there is a rule;
//! more than one stream in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ahash::RandomState;

use super::reel::Closed;
use super::seal::in_order;
use crate::packet::{Direction, StreamId};
use crate::private;
use crate::redact::{Captured, Protocols, Redactor, Rule};
use crate::spool::{self, Entry};

/// Bytes of packets of one stream that are in memory at a time; what a stream has beyond them is
/// overwritten as a piece of its own.
const MAX_STREAM_BYTES: u64 = 256 << 20;

/// The overwritten packets of a closed reel, once they are whole, and until then.
const DONE: &str = "redacted.pcapng";
const HALF: &str = "redacted.half";

/// The redactors of all recordings, by name.
pub(crate) struct Redactors {
    key: Vec<u8>,
    protocols: Protocols,
    of: HashMap<String, Redactor, RandomState>,
}

impl Redactors {
    /// Redactors that make stand-ins with `key`.
    pub(crate) fn new(key: Vec<u8>, protocols: Protocols) -> Redactors {
        Redactors {
            key,
            protocols,
            of: HashMap::default(),
        }
    }

    /// The file of packets to seal, and whether names of hosts may be sealed with it.
    pub(crate) fn prepare(&mut self, closed: &Closed) -> io::Result<(PathBuf, bool)> {
        let rule = &closed.head.redact;
        if rule.is_empty() {
            return Ok((closed.pair().data(), true));
        }
        let known = self.of.get(&closed.head.recording);
        if known.is_none_or(|known| known.rule() != rule) {
            let new = Redactor::new(rule, &self.key).knowing(&self.protocols);
            self.of.insert(closed.head.recording.clone(), new);
        }
        let done = closed.folder.join(DONE);
        let Some(redactor) = self.of.get_mut(&closed.head.recording) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if !done.exists() {
            let (order, _) = in_order(&mut closed.pair().read_side()?)?;
            let half = closed.folder.join(HALF);
            fs::copy(closed.pair().data(), &half)?;
            // Where streams stand moves on with the file alone: another try begins where this one did.
            let mut moved = redactor.clone();
            rewrite(&half, &order, &mut moved)?;
            fs::rename(&half, &done)?;
            let going_on: HashSet<StreamId, RandomState> =
                closed.going_on.iter().copied().collect();
            moved.forget(|stream| !going_on.contains(&stream));
            *redactor = moved;
        }
        Ok((done, !redactor.hides_names()))
    }

    /// Forgets where the streams of a recording stand, when a reel of it comes out of its order.
    pub(crate) fn forget(&mut self, recording: &str) {
        self.of.remove(recording);
    }
}

/// Deletes what a killed process made of the packets of a reel, which may be more now.
pub(crate) fn discard(folder: &Path) -> io::Result<()> {
    for name in [DONE, HALF] {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Overwrites in the savefile of a pair what the redactor's rule names; `order` lists its packets in
/// capture order.
///
/// # Errors
/// What the system says; the file is then of no use.
pub fn rewrite(data: &Path, order: &[Entry], redactor: &mut Redactor) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(data)?;
    let mut streams: BTreeMap<Option<StreamId>, Vec<&Entry>> = BTreeMap::new();
    for entry in order {
        streams.entry(entry.stream_id()).or_default().push(entry);
    }
    for (stream, entries) in streams {
        let mut rest = entries.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|entry| {
                bytes += u64::from(entry.caplen);
                bytes <= MAX_STREAM_BYTES
            });
            let (piece, later) = rest.split_at(fits.count().max(1).min(rest.len()));
            rest = later;
            let mut packets = read(&file, piece)?;
            match stream {
                Some(stream) => redactor.stream(stream, &mut packets),
                // What is of no stream is nothing that a rule can look into.
                None => packets.iter_mut().for_each(|packet| packet.bytes.fill(0)),
            }
            for (entry, packet) in piece.iter().zip(&packets) {
                file.seek(SeekFrom::Start(spool::bytes_at(entry.position)))?;
                file.write_all(&packet.bytes)?;
            }
        }
    }
    file.sync_data()
}

fn read(file: &File, entries: &[&Entry]) -> io::Result<Vec<Captured>> {
    entries
        .iter()
        .map(|entry| {
            let mut bytes = Vec::new();
            spool::read_packet(file, entry.position, entry.caplen, &mut bytes)?;
            Ok(Captured {
                linktype: entry.linktype,
                len: entry.len,
                direction: entry
                    .stream
                    .map_or(Direction::ToServer, |(_, direction)| direction),
                fragment: entry.fragment,
                bytes,
            })
        })
        .collect()
}

/// The sentence about a rule that a manifest carries; names alone, no values.
pub(crate) fn remark(rule: &Rule) -> Option<String> {
    if rule.is_empty() {
        return None;
    }
    let mut parts = Vec::new();
    let lists = [
        ("headers", &rule.headers),
        ("cookies", &rule.cookies),
        ("query", &rule.query),
        ("json", &rule.json),
    ];
    for (what, list) in lists {
        if !list.is_empty() {
            parts.push(format!("{what} {}", list.join(" ")));
        }
    }
    if rule.addresses {
        parts.push("addresses".to_owned());
    }
    match rule.payload {
        crate::redact::Payload::Full => {}
        crate::redact::Payload::Headers => parts.push("bodies".to_owned()),
        crate::redact::Payload::None => parts.push("payloads".to_owned()),
    }
    Some(format!("overwritten before sealing: {}", parts.join("; ")))
}

/// The key of stand-ins in `path`, made when it is missing; its user's alone.
pub(crate) fn key(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Ok(key) if key.len() == 32 => return Ok(key),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut key = vec![0; 32];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let mut options = private::options();
    options.write(true).create(true).truncate(true);
    let mut file = options.open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}
