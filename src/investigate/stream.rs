//! One stream of an archive from its packets: a whole item, or a savefile.
//!
//! In: a row of an index. Out: what the packets of its stream say. Never: other frames of a reel
//! than those that hold the stream, where its manifest and its index tell them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;

use ahash::RandomState;

use super::packets::{self, PacketsError, Part, Reading};
use super::reel::Reel;
use super::reels::Archive;
use super::straddling::exchange;
use crate::capture::file::FileSource;
use crate::flow::Limits;
use crate::index;
use crate::item::Item;
use crate::packet::{Decoded, FiveTuple, StreamId};
use crate::pipeline::extract::{self, Again, Met};
use crate::time::Timestamp;

/// The item of a row with its bodies.
///
/// # Errors
/// Why the packets do not give it.
pub(super) fn whole_item(
    archive: &Archive,
    reading: &Reading,
    reel: &Arc<Reel>,
    place: &index::Place,
    item: &Item,
) -> Result<Item, PacketsError> {
    let alone = in_packets(archive, reading, None, reel, place.frames, item);
    let found = match alone {
        // Where the request lies in the reel before, both together have it.
        Ok(None) => match archive.beside(reel, -1)? {
            Some(before) => in_packets(archive, reading, Some(&before), reel, None, item)?,
            None => None,
        },
        alone => alone?,
    };
    let whole = found.ok_or_else(|| io::Error::other("its packets do not give it"))?;
    Ok(Item {
        index: item.index,
        stream: item.stream,
        asked_here: item.asked_here,
        ..whole
    })
}

fn in_packets(
    archive: &Archive,
    reading: &Reading,
    before: Option<&Reel>,
    reel: &Reel,
    frames: Option<(u32, u32)>,
    wanted: &Item,
) -> Result<Option<Item>, PacketsError> {
    let mut whole = None;
    packets::items(archive, before, reel, reading, frames, &mut |item| {
        if whole.is_none() && is_same(&item, wanted) {
            whole = Some(item);
        }
    })?;
    Ok(whole)
}

/// Whether two readings of the traffic mean the same exchange.
pub(super) fn is_same(left: &Item, right: &Item) -> bool {
    exchange(left) == exchange(right)
}

/// Writes the packets of the stream that gave `item` as a classic savefile, out of `parts`; answers
/// how many they are.
///
/// # Errors
/// When the packets cannot be read, none is of the stream, or `out` takes no more.
pub(super) fn savefile(
    archive: &Archive,
    parts: &[Part<'_>],
    limits: Limits,
    item: &Item,
    out: &mut dyn Write,
) -> Result<u64, PacketsError> {
    // Read twice: only the packets of all streams between the two ends tell which is meant.
    let mut kept: Vec<(String, File)> = Vec::new();
    for part in parts {
        for (name, mut body) in packets::bodies(archive, part)? {
            let mut file = tempfile::tempfile()?;
            io::copy(&mut body, &mut file)?;
            kept.push((name, file));
        }
    }
    let tuple = FiveTuple {
        src: item.src.endpoint,
        dst: item.dst.endpoint,
        transport: item.stream.transport,
    };
    let mut begins: HashMap<StreamId, Timestamp, RandomState> = HashMap::default();
    read(&kept, limits, &mut |packet| {
        if let Some(stream) = of(packet, &tuple) {
            begins.entry(stream).or_insert(packet.record.ts);
        }
        Ok(())
    })?;
    // The one that had begun when the request was sent; the first when the clocks disagree.
    let begun = begins.iter().filter(|(_, at)| **at <= item.start);
    let wanted = begun
        .max_by_key(|(stream, at)| (**at, **stream))
        .or_else(|| begins.iter().min_by_key(|(stream, at)| (**at, **stream)));
    let Some(wanted) = wanted.map(|(stream, _)| *stream) else {
        let sentence = format!("no packet of {} is in the reel", item.stream);
        return Err(io::Error::other(sentence).into());
    };
    let mut file = extract::Savefile::new(out);
    read(&kept, limits, &mut |packet| match of(packet, &tuple) {
        Some(stream) if stream == wanted => file.write(packet.record, packet.bytes),
        _ => Ok(()),
    })?;
    Ok(file.packets())
}

/// The stream of a packet that goes from one end to the other, or back.
fn of(packet: &Again<'_>, tuple: &FiveTuple) -> Option<StreamId> {
    let Decoded::Flow(layers) = packet.decoded else {
        return None;
    };
    let found = &layers.tuple;
    let is_same = found.transport == tuple.transport
        && ((found.src == tuple.src && found.dst == tuple.dst)
            || (found.src == tuple.dst && found.dst == tuple.src));
    packet
        .stream
        .filter(|_| is_same)
        .map(|(name, _)| name.stream)
}

fn read(
    kept: &[(String, File)],
    limits: Limits,
    each: &mut dyn FnMut(&Again<'_>) -> Result<(), String>,
) -> Result<(), PacketsError> {
    let mut parts = Vec::new();
    for (name, file) in kept {
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        parts.push(FileSource::new(name.clone(), Box::new(file), 0)?);
    }
    let mut source = packets::in_a_row(parts);
    extract::packets(&mut *source, limits, &mut |met| {
        if let Met::Packet(packet) = met {
            each(&packet)?;
        }
        Ok(true)
    })
    .map_err(|why| io::Error::other(why).into())
}
