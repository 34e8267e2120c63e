//! Tar archives, read entry by entry without unpacking them to disk.
//!
//! In: an opener, since an archive is read twice: for its name histories, which may lie behind the
//! packets, then for its packets. Out: [`Input`]s, pumped by a thread. Never: a path from the archive
//! used as a path, archives within archives, more than the caps below.
//! Layouts: `<node>_<ip>/<unix>.pcap` with the history beside it; history and pcap at the top; the
//! pcaps and items of a recording; each with or without a folder around it.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::feed::Input;
use super::fetch::Told;
use super::group::{Group, HISTORY, MAX_BORROWED, Place, read_history};
use super::plan::{Kind, folder_of, kind_of};
use crate::capture::CaptureError;
use crate::capture::file::{begins_capture, decompressed};
use crate::item::Origin;
use crate::resolve::{History, Names};

/// Entries looked at; a recording of a week in files of one stream each stays below.
const MAX_ENTRIES: usize = 500_000;

/// Unpacked bytes for each stored one: beyond what deflate can pack (1032), so only a bomb is more.
const MAX_RATIO: u64 = 1100;

/// Unpacked bytes that are always allowed.
const FREE_BYTES: u64 = 64 << 20;

/// Histories kept of one archive: one for each node.
const MAX_HISTORIES: usize = 10_000;

/// Bytes of an entry handed over at a time, and how many such pieces may wait.
const PIECE_BYTES: usize = 64 * 1024;
const PIECES: usize = 16;

/// Opens the stored bytes of an archive.
pub(super) type Opener = Box<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send>;

/// Starts reading an archive called `name`; what it holds comes out of the receiver.
pub(super) fn start(
    name: String,
    open: Opener,
    around: Option<Arc<Origin>>,
    names_around: Option<Arc<Names>>,
    told: Arc<Told>,
) -> Receiver<Result<Input, CaptureError>> {
    let (inputs, out) = bounded(1);
    thread::spawn(move || {
        let reader = Reader {
            name,
            around,
            names_around,
            told,
            inputs,
        };
        if let Err(error) = reader.run(&open) {
            let error = CaptureError::Io {
                path: reader.name.clone(),
                error,
            };
            // Fails only when nobody waits any more.
            let _ = reader.inputs.send(Err(error));
        }
    });
    out
}

struct Reader {
    name: String,
    around: Option<Arc<Origin>>,
    names_around: Option<Arc<Names>>,
    told: Arc<Told>,
    inputs: Sender<Result<Input, CaptureError>>,
}

impl Reader {
    fn run(&self, open: &Opener) -> io::Result<()> {
        let histories = self.histories(open)?;
        let mut groups: BTreeMap<String, Arc<Group>> = BTreeMap::new();
        let bytes = Bounded::new(open()?)?;
        let stored = bytes.stored.clone();
        let mut archive = tar::Archive::new(bytes);
        let mut captures = 0;
        for (number, entry) in archive.entries()?.enumerate() {
            let mut entry = entry?;
            if number == MAX_ENTRIES {
                self.told.warn(format!(
                    "{}: only the first {MAX_ENTRIES} entries are read; unpack it to read all",
                    self.name
                ));
                break;
            }
            let key = key_of(&entry);
            // What a link leads to is an entry of its own.
            let kind = entry.header().entry_type();
            if !(kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse()) {
                continue;
            }
            // Of a file with holes the size is the unpacked one, which costs nothing to claim.
            if kind.is_gnu_sparse() && entry.size() > stored.most() {
                self.told.warn(format!(
                    "{}: {key} unpacks to more than {MAX_RATIO} times the size of the archive and is left out",
                    self.name
                ));
                continue;
            }
            let mut front = Vec::new();
            match kind_of(key.rsplit('/').next().unwrap_or_default()) {
                Some(Kind::Capture) => {}
                Some(_) => {
                    self.told.warn(format!(
                        "{}: {key} is an archive within the archive and is left out; unpack it first",
                        self.name
                    ));
                    continue;
                }
                // Whoever names an archive means every capture in it, whatever it is called.
                None => {
                    let read = entry
                        .by_ref()
                        .take(PIECE_BYTES as u64)
                        .read_to_end(&mut front);
                    if !begins_capture(&front) {
                        read?;
                        continue;
                    }
                }
            }
            captures += 1;
            let folder = folder_of(&key);
            let group = groups
                .entry(folder.to_owned())
                .or_insert_with(|| Arc::new(self.group(folder, &histories)))
                .clone();
            let (pieces, body) = bounded(PIECES);
            let input = Input {
                name: format!("{}: {key}", self.name),
                reader: Box::new(Pieces {
                    body,
                    current: Cursor::new(Vec::new()),
                }),
                group,
                names: None,
                path: None,
            };
            if self.inputs.send(Ok(input)).is_err() {
                return Ok(());
            }
            pump(&mut Cursor::new(front).chain(entry), &pieces, &stored)?;
        }
        if captures == 0 {
            return Err(io::Error::other("the archive holds no capture"));
        }
        // Behind the last entry stands the checksum of what the archive is compressed with.
        io::copy(&mut archive.into_inner(), &mut io::sink())?;
        Ok(())
    }

    /// The histories of the archive, by folder.
    fn histories(&self, open: &Opener) -> io::Result<BTreeMap<String, Arc<History>>> {
        let mut histories = BTreeMap::new();
        let mut archive = tar::Archive::new(Bounded::new(open()?)?);
        for entry in archive.entries()?.take(MAX_ENTRIES) {
            // Damage is told when the packets are read; what lies before it is good.
            let Ok(entry) = entry else { break };
            let key = key_of(&entry);
            if key.rsplit('/').next() == Some(HISTORY) && histories.len() < MAX_HISTORIES {
                let name = format!("{}: {key}", self.name);
                let history = read_history(entry, &name, &self.told);
                histories.insert(folder_of(&key).to_owned(), history);
            }
        }
        Ok(histories)
    }

    fn group(&self, folder: &str, histories: &BTreeMap<String, Arc<History>>) -> Group {
        let place = Place::of_folder(folder);
        let origin = place
            .as_ref()
            .map(Place::origin)
            .or_else(|| self.around.clone());
        // Files of unknown folders without names belong to one capture, as in a plain folder.
        let key = match (&place, histories.contains_key(folder)) {
            (None, false) => self.name.clone(),
            _ => format!("{}\n{folder}", self.name),
        };
        let names = match histories.get(folder) {
            Some(own) => Some(Names::of(own.clone())),
            None if histories.is_empty() => self.names_around.as_deref().cloned(),
            None => {
                let mut names = Names::default();
                for other in histories.values().take(MAX_BORROWED) {
                    names.borrow(other.clone());
                }
                Some(names)
            }
        };
        Group::named(key, origin, names)
    }
}

/// The path of an entry as text without control characters; it is only ever a name.
fn key_of<R: Read>(entry: &tar::Entry<'_, R>) -> String {
    let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    path.trim_start_matches("./")
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

/// Hands an entry over piece by piece; a reader that goes away ends it without an error.
///
/// An archive that is cut off or damaged ends the entry where it is, as a file that is cut off would.
///
/// # Errors
/// When the entry cannot be read on.
fn pump(
    entry: &mut impl Read,
    to: &Sender<io::Result<Vec<u8>>>,
    stored: &Stored,
) -> io::Result<()> {
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match entry
            .by_ref()
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece)
        {
            Ok(0) => return Ok(()),
            Ok(_) => {
                if to.send(Ok(piece)).is_err() {
                    return Ok(());
                }
            }
            Err(error) => {
                // Nobody may wait any more.
                let _ = to.send(Ok(piece));
                if stored.failed.load(Ordering::Relaxed) {
                    let told = io::Error::new(error.kind(), error.to_string());
                    let _ = to.send(Err(told));
                }
                return Err(error);
            }
        }
    }
}

/// The reading end of an entry.
struct Pieces {
    body: Receiver<io::Result<Vec<u8>>>,
    current: Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let taken = self.current.read(into)?;
            if taken > 0 || into.is_empty() {
                return Ok(taken);
            }
            match self.body.recv() {
                Ok(Ok(piece)) => self.current = Cursor::new(piece),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(0),
            }
        }
    }
}

/// Decompressed bytes, refused when they are far more than was stored.
struct Bounded {
    inner: Box<dyn Read + Send>,
    stored: Arc<Stored>,
    given: u64,
}

/// What became of the stored bytes.
#[derive(Debug, Default)]
struct Stored {
    count: AtomicU64,
    /// Whether they could not be read.
    failed: AtomicBool,
}

impl Stored {
    /// Bytes that so much may unpack to.
    fn most(&self) -> u64 {
        let stored = self.count.load(Ordering::Relaxed);
        stored.saturating_mul(MAX_RATIO).saturating_add(FREE_BYTES)
    }
}

impl Bounded {
    fn new(reader: Box<dyn Read + Send>) -> io::Result<Bounded> {
        let stored = Arc::<Stored>::default();
        let (inner, _) = decompressed(Box::new(Tally {
            inner: reader,
            stored: stored.clone(),
        }))?;
        Ok(Bounded {
            inner,
            stored,
            given: 0,
        })
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(into)?;
        self.given = self.given.saturating_add(taken as u64);
        if self.given > self.stored.most() {
            return Err(io::Error::other(format!(
                "the archive unpacks to more than {MAX_RATIO} times its size and is not read on"
            )));
        }
        Ok(taken)
    }
}

struct Tally {
    inner: Box<dyn Read + Send>,
    stored: Arc<Stored>,
}

impl Read for Tally {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(into);
        match &taken {
            Ok(taken) => {
                let taken = *taken as u64;
                self.stored.count.fetch_add(taken, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.stored.failed.store(true, Ordering::Relaxed),
        }
        taken
    }
}
