//! The index of a reel: its own, else one that is made on first sight.
//!
//! In: a reel. Out: its open index; where that is missing or damaged, one like its recorder would
//! have written, kept in the cache by what it was made of. Never: a part of the archive written.

use std::fs::File;
use std::io::{self, BufWriter};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::packets::{self, PacketsError, Reading};
use super::ranges::{Cache, FileRanges, ObjectRanges};
use super::reel::Reel;
use super::reels::Archive;
use crate::index::{FORMAT, IndexError, Place, Reader, Writer};
use crate::store::Digest;

/// The open index of a reel; `warn` is told when its own is damaged.
///
/// # Errors
/// When neither the index nor the packets can be read.
pub(super) fn open(
    archive: &Archive,
    reel: &Reel,
    reading: &Reading,
    cache: Option<&Arc<Cache>>,
    warn: &dyn Fn(String),
) -> Result<Arc<Reader>, PacketsError> {
    if let Some(reader) = archive.readers.get(&reel.stem) {
        return Ok(reader);
    }
    let own = reel.index.as_ref().map(|entry| {
        let source = ObjectRanges::new(
            archive.store.clone(),
            entry.clone(),
            cache.cloned(),
            archive.used.clone(),
        );
        Reader::open(Arc::new(source))
    });
    let reader = match (own, &reel.index) {
        (Some(Ok(reader)), _) => reader,
        // A damaged index is no reason not to look at the packets.
        (Some(Err(error)), Some(entry)) if !reel.packets.is_empty() => {
            warn(format!("{}: {error}; its packets are read", entry.key));
            made(archive, reel, reading, cache.map(|cache| &**cache))?
        }
        (Some(Err(error)), _) => return Err(error.into()),
        (None, _) => made(archive, reel, reading, cache.map(|cache| &**cache))?,
    };
    let reader = Arc::new(reader);
    archive.readers.keep(&reel.stem, &reader);
    Ok(reader)
}

/// The index of a reel by its packets: from the cache, else made now.
fn made(
    archive: &Archive,
    reel: &Reel,
    reading: &Reading,
    cache: Option<&Cache>,
) -> Result<Reader, PacketsError> {
    let id = id(archive, reel, reading);
    if let Some(file) = cache.and_then(|cache| cache.index(&id))
        && let Ok(reader) = of_file(file)
    {
        return Ok(reader);
    }
    let half = match cache {
        Some(cache) => cache.half()?,
        None => tempfile::NamedTempFile::new()?,
    };
    let recording = reel
        .place()
        .and_then(|place| place.recording)
        .unwrap_or_default();
    let out = BufWriter::new(half.reopen()?);
    let mut writer = Writer::new(out, &recording)?;
    let mut wrong = None;
    packets::items(archive, None, reel, reading, None, &mut |item| {
        let place = Place {
            stream: item.stream,
            packet: Some(item.ordinal),
            frames: None,
        };
        if wrong.is_none() {
            wrong = writer.push(&item, &place).err();
        }
    })?;
    if let Some(error) = wrong {
        return Err(error.into());
    }
    let (_, out) = writer.finish()?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let file = match cache {
        Some(cache) => cache.keep(half, &id)?,
        None => half.into_file(),
    };
    Ok(of_file(file)?)
}

pub(super) fn of_file(file: File) -> Result<Reader, IndexError> {
    Reader::open(Arc::new(FileRanges::new(file)?))
}

/// What the index is made of.
fn id(archive: &Archive, reel: &Reel, reading: &Reading) -> Digest {
    let mut id = Sha256::new();
    let mut part = |text: &str| {
        id.update(text.as_bytes());
        id.update([0]);
    };
    part(env!("CARGO_PKG_VERSION"));
    part(&FORMAT.to_string());
    part(&reading.mark);
    part(&archive.store.name());
    for entry in reel.packets.iter().chain(&reel.names) {
        part(&entry.key);
        part(entry.version.as_deref().unwrap_or_default());
        part(&format!("{} {}", entry.size, entry.modified));
    }
    id.finalize().into()
}
