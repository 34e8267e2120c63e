//! An open reel: the packets of a recording that are not sealed yet, in a folder of their own.
//!
//! In: takes and packets. Out: a savefile with its side file and journal, whole up to the last
//! commit whatever happens to the process. Never: sealing itself (see `seal`).
//!
//! ```text
//! <dir>/open/<run>-<sequence>/packets.pcapng, packets.side   a pair of the spool's kind
//!                             takes.journal                  see `journal`
//!                             states                         saved dissector states, whole records
//!                             names.jsonl                    see `names`
//!                             events.jsonl                   what happened that it is for
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::files::{append, open_to_append, sync_folder};
use super::journal::{self, Head, Journal, Journaled, Take};
use super::manifest::Event;
use super::names::{self, NameLog};
use super::redaction;
use super::states::state_record;
use crate::item::Peer;
use crate::packet::{FiveTuple, StreamId, StreamName};
use crate::spool::{self, Entry, Log, Pair};
use crate::time::Timestamp;

/// Uncommitted bytes after which a long look-back is handed to the system.
const COMMIT_BYTES: u64 = 1 << 20;

/// Begins the names of folders whose reel is sealed.
const SEALED: &str = "sealed-";

/// Events of one reel, and the bytes of their lines that are read.
const MAX_EVENTS: usize = 1024;
const MAX_EVENT_BYTES: u64 = 4 << 20;

/// Saved states of one reel together.
pub(crate) const MAX_STATE_BYTES: u64 = 64 << 20;

/// Packets that the disk refused after they were added to a reel.
#[derive(Debug)]
pub(crate) struct NotWritten {
    pub(crate) packets: u64,
    /// Their captured bytes.
    pub(crate) bytes: u64,
    pub(crate) error: io::Error,
}

/// A reel that packets are added to.
#[derive(Debug)]
pub(crate) struct OpenReel {
    folder: PathBuf,
    head: Head,
    log: Log,
    journal: Journal,
    committed_at: u64,
    /// Items seen on its streams.
    pub(crate) items: u64,
    /// Streams taken for it, those carried over apart.
    pub(crate) streams: u64,
    /// Whether streams go on in it from the reel before.
    has_carried: bool,
    /// Captured bytes of its packets.
    pub(crate) captured: u64,
    committed_captured: u64,
    /// When its first packet was added, on the recorder's clock.
    pub(crate) since: Option<Timestamp>,
    names: NameLog,
}

impl OpenReel {
    /// Opens a reel in a folder below `dir`.
    pub(crate) fn create(dir: &Path, head: Head) -> io::Result<OpenReel> {
        let folder = dir.join(head.id());
        fs::create_dir_all(&folder)?;
        let made = OpenReel::fill(&folder, head);
        if made.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        made
    }

    fn fill(folder: &Path, head: Head) -> io::Result<OpenReel> {
        let journal = Journal::create(&folder.join(JOURNAL), &head)?;
        let side = spool::Head {
            run: head.run,
            first: 0,
            number: 0,
        };
        let comment = format!("open reel of the recording {}", head.recording);
        let log = Log::create(pair(folder), side, &comment)?;
        Ok(OpenReel {
            committed_at: log.bytes(),
            folder: folder.to_owned(),
            head,
            log,
            journal,
            items: 0,
            streams: 0,
            has_carried: false,
            captured: 0,
            committed_captured: 0,
            since: None,
            names: NameLog::new(folder),
        })
    }

    /// Writes takes down, before any of their packets is added.
    pub(crate) fn take(&mut self, takes: &[Take]) -> io::Result<()> {
        self.journal.takes(takes.iter())?;
        self.streams += takes.iter().filter(|take| !take.carried).count() as u64;
        self.has_carried |= takes.iter().any(|take| take.carried);
        Ok(())
    }

    /// Keeps the state with which the dissector of a carried stream goes on; false when all states of
    /// the reel have no room for it.
    pub(crate) fn state(&mut self, name: StreamName, state: &[u8]) -> io::Result<bool> {
        let record = state_record(name, state);
        let mut file = open_to_append(&self.folder.join("states"))?;
        let length = u32::try_from(record.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        if file.metadata()?.len() + record.len() as u64 > MAX_STATE_BYTES {
            return Ok(false);
        }
        append(&mut file, &[&length, record.as_slice()].concat())?;
        Ok(true)
    }

    /// Notes something that happened, once.
    pub(crate) fn event(&mut self, event: &Event) -> io::Result<()> {
        let path = self.folder.join(EVENTS);
        let known = read_events(&path)?;
        if known.len() >= MAX_EVENTS || known.contains(event) {
            return Ok(());
        }
        append(&mut open_to_append(&path)?, &journal::line(event)?)
    }

    /// Adds a packet; it is in the files after the next commit.
    pub(crate) fn push(
        &mut self,
        entry: Entry,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), NotWritten> {
        self.since.get_or_insert(now);
        let written = self.log.push(entry, bytes);
        self.captured += u64::from(written.caplen);
        if self.log.bytes() - self.committed_at > COMMIT_BYTES {
            return self.commit();
        }
        Ok(())
    }

    /// Hands what was added to the system; when it is refused, all of it is gone since the last time.
    pub(crate) fn commit(&mut self) -> Result<(), NotWritten> {
        // Names first: no packet is on disk whose name was known and is not.
        let named = self.names.commit();
        let packets = self.log.entries();
        let done = self.log.commit();
        self.committed_at = self.log.bytes();
        let captured = self.captured;
        match done {
            Ok(()) => self.committed_captured = captured,
            Err(_) => self.captured = self.committed_captured,
        }
        done.and(named).map_err(|error| NotWritten {
            packets: packets - self.log.entries(),
            bytes: captured - self.captured,
            error,
        })
    }

    /// Deletes a reel that could not begin.
    pub(crate) fn abandon(self) {
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// Notes the name that a side of an item has at a moment.
    pub(crate) fn name(&mut self, peer: &Peer, at: Timestamp) {
        self.names.note(peer, at);
    }

    /// Whether something of it is overwritten before it is sealed.
    pub(crate) fn is_redacted(&self) -> bool {
        !self.head.redact.is_empty()
    }

    /// Whether streams go on in it from the reel before.
    pub(crate) fn has_carried(&self) -> bool {
        self.has_carried
    }

    /// Whether it holds how streams stand that go on in it.
    pub(crate) fn has_states(&self) -> bool {
        has_states(&self.folder)
    }

    /// Packets in it.
    pub(crate) fn packets(&self) -> u64 {
        self.log.entries()
    }

    /// Bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Ends adding: what sealing needs. One without packets is deleted, and gives nothing, unless
    /// `keep_empty`.
    pub(crate) fn close(mut self, keep_empty: bool) -> Option<Closed> {
        let _ = self.commit();
        if self.packets() == 0 && !keep_empty {
            let _ = fs::remove_dir_all(&self.folder);
            return None;
        }
        Some(Closed {
            folder: self.folder,
            head: self.head,
            items: Some(self.items),
            going_on: Vec::new(),
            linked: Vec::new(),
        })
    }
}

/// A reel that no packet is added to any more, waiting to be sealed.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) folder: PathBuf,
    pub(crate) head: Head,
    /// Items seen on its streams; `None` of a reel that an earlier process left.
    pub(crate) items: Option<u64>,
    /// Streams that go on in the next reel.
    pub(crate) going_on: Vec<StreamId>,
    /// Those with whose state the next reel begins, whether they have packets in this one or not.
    pub(crate) linked: Vec<FiveTuple>,
}

impl Closed {
    /// Its packets.
    pub(crate) fn pair(&self) -> Pair {
        pair(&self.folder)
    }

    /// The names of its addresses.
    pub(crate) fn names(&self) -> io::Result<Vec<names::Line>> {
        names::of_folder(&self.folder)
    }

    /// What happened that it is for; a torn last line is left out.
    pub(crate) fn events(&self) -> io::Result<Vec<Event>> {
        read_events(&self.folder.join(EVENTS))
    }

    /// What was taken for it.
    pub(crate) fn takes(&self) -> io::Result<Vec<Take>> {
        let journal = journal::read(&self.folder.join(JOURNAL))?;
        Ok(journal.map(|journal| journal.takes).unwrap_or_default())
    }

    /// Saved states, each the data of a custom block; a torn tail is left out.
    pub(crate) fn states(&self) -> io::Result<Vec<Vec<u8>>> {
        let file = match File::open(self.folder.join("states")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_STATE_BYTES).read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let mut states = Vec::new();
        while let Some((length, tail)) = rest.split_first_chunk::<4>()
            && let Some((state, tail)) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)
        {
            states.push(state.to_vec());
            rest = tail;
        }
        Ok(states)
    }

    /// Deletes its files, all or none of them for whoever looks after a crash.
    ///
    /// # Errors
    /// When they are still there, and the next start would seal them again.
    pub(crate) fn let_go(&self) -> io::Result<()> {
        let id = self.head.id();
        let gone = self.folder.with_file_name(format!("{SEALED}{id}"));
        fs::rename(&self.folder, &gone)?;
        let _ = gone.parent().map(sync_folder);
        let _ = fs::remove_dir_all(&gone);
        Ok(())
    }

    /// Finds a reel that an earlier process left open, torn tails cut, and adds what the spool
    /// still has of its streams; also the ordinal from which on packets of those belong elsewhere, when
    /// they do. `None` when nothing of it is usable.
    pub(crate) fn adopt(
        folder: &Path,
        spool: Option<&spool::Reader>,
    ) -> io::Result<Option<(Closed, Option<u64>)>> {
        let name = folder.file_name().unwrap_or_default();
        if name.to_string_lossy().starts_with(SEALED) {
            return Ok(None);
        }
        let Some(Journaled { head, takes, end }) = read_journal(folder)? else {
            return Ok(None);
        };
        redaction::discard(folder)?;
        let recovered = spool::recover(&pair(folder), false)?;
        let old = spool.and_then(|spool| spool.of_run(head.run));
        let old = old.filter(|_| !takes.is_empty());
        if recovered.is_none() || old.is_some() {
            // What its streams had open when they went on in it is told by their states alone.
            let has_states = has_states(folder);
            if old.is_none() && !has_states {
                return Ok(None);
            }
            let mut log = match &recovered {
                Some(recovered) => Log::reopen(pair(folder), recovered)?,
                None => Log::create(
                    pair(folder),
                    spool::Head {
                        run: head.run,
                        first: 0,
                        number: 0,
                    },
                    "",
                )?,
            };
            match &old {
                Some(old) => complete(&mut log, &takes, end, old)?,
                None => log.commit()?,
            }
            if log.entries() == 0 && !has_states {
                return Ok(None);
            }
        }
        let closed = Closed {
            folder: folder.to_owned(),
            head,
            items: None,
            going_on: Vec::new(),
            linked: Vec::new(),
        };
        Ok(Some((closed, end)))
    }
}

/// The id of the reel whose folder this is, or was.
pub(crate) fn id_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix(SEALED).unwrap_or(&name).to_owned()
}

fn has_states(folder: &Path) -> bool {
    fs::metadata(folder.join("states")).is_ok_and(|file| file.len() > 0)
}

/// Notes in the folder of a closed reel that packets from `next` on belong elsewhere.
pub(crate) fn end(folder: &Path, next: u64) -> io::Result<()> {
    journal::end(&folder.join(JOURNAL), next)
}

/// File of what was taken.
const JOURNAL: &str = "takes.journal";

/// File of what happened.
const EVENTS: &str = "events.jsonl";

fn read_events(path: &Path) -> io::Result<Vec<Event>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut text = Vec::new();
    file.take(MAX_EVENT_BYTES).read_to_end(&mut text)?;
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let events = lines.map_while(|line| serde_json::from_slice(line).ok());
    Ok(events.take(MAX_EVENTS).collect())
}

fn read_journal(folder: &Path) -> io::Result<Option<Journaled>> {
    match journal::read(&folder.join(JOURNAL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

/// Adds the packets of taken streams, those before `end`, that the spool has and the killed process
/// had not copied yet.
fn complete(
    log: &mut Log,
    takes: &[Take],
    end: Option<u64>,
    old: &spool::Reader,
) -> io::Result<()> {
    let mut have = std::collections::HashSet::with_hasher(ahash::RandomState::new());
    let mut side = log.pair().read_side()?;
    let mut index = 0;
    while let Some(entry) = side.next_entry(index)? {
        have.insert(entry.ordinal);
        index += 1;
    }
    let mut pending = log.bytes();
    for take in takes {
        let Some(name) = take.name() else { continue };
        let packets = old
            .stream(name.stream, end)
            .map_err(io::Error::other)?
            .filter_map(Result::ok);
        for packet in packets {
            if packet.entry.ordinal >= take.ordinal && have.insert(packet.entry.ordinal) {
                log.push(packet.entry, &packet.bytes);
            }
            if log.bytes() - pending > COMMIT_BYTES {
                log.commit()?;
                pending = log.bytes();
            }
        }
    }
    log.commit()
}

fn pair(folder: &Path) -> Pair {
    Pair::new(folder, "packets")
}
