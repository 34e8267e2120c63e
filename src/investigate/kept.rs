//! Indexes of sources that are no archives: made while they are dissected, kept for the next time.
//!
//! In: the items of a source, once. Out: an index of all of them, in the cache or beside the source,
//! by what the source is made of. Never: an index of a source that was not read to its end, or in
//! which something was decrypted; a source written.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use sha2::{Digest as _, Sha256};

use super::made::of_file;
use super::packets::{self, PacketsError, Reading};
use super::plan::{Plan, Section};
use super::ranges::Cache;
use super::reels::Archive;
use super::stream::is_same;
use super::{Again, Opened};
use crate::capture::file::FileSource;
use crate::index::{ENDING, FORMAT, IndexError, Place, Reader, Writer};
use crate::item::{Item, Origin};
use crate::packet::{StreamId, StreamName};
use crate::pipeline::{Consumer, Encoded, Step, extract};
use crate::store::{Body, Digest, PutOptions, Store, StoreError, hex};

/// Steps whose items may wait for the index.
const QUEUED: usize = 4;

/// Digits of an id in the name of an index beside its source.
const ID_DIGITS: usize = 16;

/// What a source is made of, and how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceId(pub(super) Digest);

impl Opened {
    /// What it is made of; `None` with standard input.
    pub fn id(&self, reading: &Reading) -> Option<SourceId> {
        let mut id = Sha256::new();
        id.update(format!(
            "{}\0{FORMAT}\0{}\0",
            env!("CARGO_PKG_VERSION"),
            reading.mark
        ));
        for section in &self.again.plan.sections {
            match section {
                Section::Stdin => return None,
                Section::Stored(stored) => {
                    id.update(stored.identity);
                    id.update(stored.files.len().to_le_bytes());
                }
            }
        }
        Some(SourceId(id.finalize().into()))
    }

    /// The index of all its items, when one is kept or lies beside it.
    pub(super) fn known(&self, id: &SourceId, cache: Option<&Cache>) -> Option<Reader> {
        let kept = cache.and_then(|cache| cache.index(&id.0));
        let kept = kept.and_then(|file| of_file(file).ok());
        kept.or_else(|| {
            let (store, key) = beside(&self.again.plan, id)?;
            let body = store.get(&key, None, None).ok()?;
            let mut file = tempfile::tempfile().ok()?;
            io::copy(&mut { body }, &mut file).ok()?;
            of_file(file).ok()
        })
    }
}

/// Where the index of a source of one place lies beside it: the store, and the key.
fn beside(plan: &Plan, id: &SourceId) -> Option<(Arc<dyn Store>, String)> {
    let [Section::Stored(stored)] = plan.sections.as_slice() else {
        return None;
    };
    let mut id = hex(&id.0);
    id.truncate(ID_DIGITS);
    let keys: Vec<&str> = stored.files.iter().map(|file| file.key.as_str()).collect();
    let key = match keys.as_slice() {
        [] => return None,
        [only] => format!("{only}.{id}.{ENDING}"),
        [first, others @ ..] => {
            let others = others.iter().copied();
            let folder = others.fold(folder_of(first), common);
            format!("{folder}index.{id}.{ENDING}")
        }
    };
    Some((stored.store.clone(), key))
}

/// The folder of a key with its closing slash; empty at the top.
fn folder_of(key: &str) -> &str {
    key.rfind('/')
        .and_then(|slash| key.get(..=slash))
        .unwrap_or_default()
}

/// The folder that a folder and a key have in common.
fn common<'f>(folder: &'f str, key: &str) -> &'f str {
    let mut folder = folder;
    while !key.starts_with(folder) {
        folder = folder_of(folder.strip_suffix('/').unwrap_or(folder));
    }
    folder
}

/// An index that is being made.
pub struct Making {
    id: SourceId,
    half: tempfile::NamedTempFile,
    thread: JoinHandle<Result<(), IndexError>>,
}

/// Hands the items of a run to whoever writes their index.
struct Forward(Option<Sender<Vec<Item>>>);

impl Consumer for Forward {
    fn on_step(&mut self, _step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        if let Some(to_index) = &self.0
            && !items.is_empty()
            && to_index.send(items.to_vec()).is_err()
        {
            self.0 = None;
        }
    }

    fn on_end(&mut self) {
        self.0 = None;
    }
}

/// Begins an index of all items that the consumer is given.
///
/// # Errors
/// When no file can be made for it.
pub fn begin_index(id: SourceId, cache: Option<&Cache>) -> io::Result<(Making, Box<dyn Consumer>)> {
    let half = match cache {
        Some(cache) => cache.half()?,
        None => tempfile::NamedTempFile::new()?,
    };
    let out = BufWriter::new(half.reopen()?);
    let (to_index, items) = bounded::<Vec<Item>>(QUEUED);
    let write = move || {
        let mut writer = Writer::new(out, "")?.with_origins();
        for item in items.iter().flatten() {
            let place = Place {
                stream: item.stream,
                packet: Some(item.ordinal),
                frames: None,
            };
            writer.push(&item, &place)?;
        }
        let (_, out) = writer.finish()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(())
    };
    let thread = std::thread::Builder::new()
        .name("source-index".into())
        .spawn(write)?;
    Ok((
        Making { id, half, thread },
        Box::new(Forward(Some(to_index))),
    ))
}

impl Making {
    /// Keeps the index after the run has ended well; with `beside`, beside its source too.
    ///
    /// # Errors
    /// When it could not be written, or not be kept.
    pub(super) fn finish(
        self,
        cache: Option<&Cache>,
        beside: Option<&Again>,
    ) -> Result<Reader, IndexError> {
        let written = self.thread.join();
        written.unwrap_or_else(|_| Err(io::Error::other("writing it ended early").into()))?;
        if let Some(again) = beside {
            put_beside(&again.plan, &self.id, self.half.path().to_owned())
                .map_err(io::Error::other)?;
        }
        let file = match cache {
            Some(cache) => cache.keep(self.half, &self.id.0)?,
            None => self.half.into_file(),
        };
        of_file(file)
    }
}

fn put_beside(plan: &Plan, id: &SourceId, path: PathBuf) -> Result<(), StoreError> {
    let Some((store, key)) = beside(plan, id) else {
        let sentence = "an index is written beside one source; name a single one";
        return Err(StoreError::Refused(sentence.to_owned()));
    };
    let options = PutOptions {
        content_type: "application/vnd.apache.parquet",
        ..PutOptions::default()
    };
    store.put(&key, Body::File(&path), &options).map(|_| ())
}

impl Archive {
    /// A source that is no archive, by the index that an earlier reading of it left; gives the
    /// source back when there is none.
    pub fn known(
        opened: Opened,
        name: &str,
        reading: &Reading,
        cache: Option<&Cache>,
    ) -> Result<Archive, Box<Opened>> {
        let id = opened.id(reading);
        match id.and_then(|id| opened.known(&id, cache)) {
            Some(reader) => {
                let again = Rereading::new(opened.again, reading.clone());
                Ok(Archive::of_index(name, reader, again))
            }
            None => Err(Box::new(opened)),
        }
    }

    /// A source that is no archive, by the index that was made while it was read. It is kept where
    /// there is a cache, and with `beside` put beside the source.
    ///
    /// # Errors
    /// When the index could not be written or kept.
    pub fn made(
        making: Making,
        name: &str,
        again: Again,
        reading: &Reading,
        cache: Option<&Cache>,
        beside: bool,
    ) -> Result<Archive, IndexError> {
        let reader = making.finish(cache, beside.then_some(&again))?;
        let again = Rereading::new(again, reading.clone());
        Ok(Archive::of_index(name, reader, again))
    }
}

/// Reads a source again, or single streams of it, for what its index lacks.
pub(super) struct Rereading {
    again: Mutex<Again>,
    reading: Reading,
}

impl Rereading {
    pub(super) fn new(again: Again, reading: Reading) -> Rereading {
        Rereading {
            again: Mutex::new(again),
            reading,
        }
    }

    /// Calls `each` for every item of the source, with names and bodies.
    pub(super) fn items(&self, each: &mut dyn FnMut(Item)) -> Result<(), PacketsError> {
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let (source, names) = again.reopen_named().map_err(io::Error::other)?;
        let names = Box::new(move |origin: &Origin| names.of(origin));
        packets::named(source, names, &self.reading, each)
    }

    /// An item with its bodies, out of the packets of its stream.
    ///
    /// # Errors
    /// One sentence: why they do not give it.
    pub(super) fn whole(&self, item: &Item) -> Result<Item, String> {
        let said = |error: io::Error| error.to_string();
        let mut file = self.stream(item)?;
        file.seek(SeekFrom::Start(0)).map_err(said)?;
        let source = FileSource::new("stream", Box::new(file), 0);
        let source = source.map_err(|error| error.to_string())?;
        let mut found = None;
        let reading = &self.reading;
        packets::dissect(packets::in_a_row(vec![source]), reading, &mut |whole| {
            if found.is_none() && is_same(&whole, item) {
                found = Some(whole);
            }
        })
        .map_err(|error| error.to_string())?;
        let whole = found.ok_or("its packets do not give it")?;
        // Names and numbers are those of the whole source.
        Ok(Item {
            request: whole.request,
            response: whole.response,
            data: whole.data,
            tunnel: whole.tunnel,
            ..item.clone()
        })
    }

    fn stream(&self, item: &Item) -> Result<File, String> {
        let mut file = tempfile::tempfile().map_err(|error| error.to_string())?;
        // One at a time: each reads the source from its start.
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let source = again.reopen().map_err(|error| error.to_string())?;
        let stream = item.stream.stream;
        let mut out = BufWriter::new(&mut file);
        extract::stream_pcap(source, self.reading.limits, stream, &mut out)?;
        out.into_inner().map_err(|error| error.to_string())?;
        Ok(file)
    }

    /// Writes a stream as a savefile.
    pub(super) fn stream_pcap(
        &self,
        name: StreamName,
        out: &mut dyn io::Write,
    ) -> Result<u64, String> {
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let source = again.reopen().map_err(|error| error.to_string())?;
        extract::stream_pcap(source, self.reading.limits, name.stream, out)
    }

    /// Writes several streams as one savefile.
    pub(super) fn streams_pcap(
        &self,
        names: &[StreamName],
        out: &mut dyn io::Write,
    ) -> Result<u64, String> {
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let source = again.reopen().map_err(|error| error.to_string())?;
        let streams: Vec<StreamId> = names.iter().map(|name| name.stream).collect();
        extract::streams_pcap(source, self.reading.limits, &streams, out)
    }
}
