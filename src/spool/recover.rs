//! What earlier processes left in a spool's folder.
//!
//! In: the folder. Out: the segments that are usable, torn tails cut, and kept pins. Never: trust
//! in what a file says of itself before its checksum holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::SpoolError;
use super::log::{Form, recover};
use super::places::Segments;
use super::ring::{Segment, SegmentKey};
use super::side::Anchors;
use crate::packet::StreamId;

/// Runs read back at start; each is a process start, and the oldest are long recycled.
const MAX_RUNS: usize = 4096;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) segments: BTreeMap<SegmentKey, Segment>,
    /// Where the entries of each are found.
    pub(crate) anchors: BTreeMap<SegmentKey, Anchors>,
    /// Run, stream and bytes of kept pins.
    pub(crate) pins: Vec<(u64, StreamId, u64)>,
    /// Bytes of torn tails that were cut.
    pub(crate) cut: u64,
}

/// Reads a spool's folder.
pub(crate) fn look_through(dir: &Path) -> Result<Found, SpoolError> {
    let mut found = Found::default();
    for (run, path) in runs(dir)? {
        for name in names(&path)? {
            let Some(number) = name.strip_suffix(".side").and_then(|n| n.parse().ok()) else {
                continue;
            };
            let pair = Segments::pair(&path, number, Form::default()).on_disk();
            let recovered = recover(&pair, true)
                .map_err(SpoolError::io("read", &pair.side()))?
                .filter(|recovered| recovered.head.run == run && recovered.head.number == number);
            let Some((recovered, span)) = recovered.and_then(|r| r.span.map(|span| (r, span)))
            else {
                pair.remove()
                    .map_err(SpoolError::io("delete", &pair.data()))?;
                continue;
            };
            found.cut += recovered.cut;
            found.segments.insert(
                (run, number),
                Segment {
                    first: recovered.head.first,
                    count: recovered.entries,
                    bytes: pair.bytes(),
                    captured: recovered.captured,
                    span,
                    form: pair.form(),
                },
            );
            found
                .anchors
                .insert((run, number), Arc::new(recovered.anchors));
        }
        for name in names(&path.join("pins"))? {
            let Some(stream) = name.strip_suffix(".side").and_then(|n| n.parse().ok()) else {
                continue;
            };
            let stream = StreamId(stream);
            let bytes = super::pins::pin_pair(&path, stream).bytes();
            found.pins.push((run, stream, bytes));
        }
    }
    Ok(found)
}

/// A run number that no folder of the spool has yet: `wanted`, or the next free second after it.
pub fn unused_run(dir: &Path, wanted: u64) -> u64 {
    let mut run = wanted;
    while super::ring::run_dir(dir, run).exists() {
        run += 1;
    }
    run
}

fn runs(dir: &Path) -> Result<Vec<(u64, std::path::PathBuf)>, SpoolError> {
    let mut runs: Vec<(u64, std::path::PathBuf)> = names(dir)?
        .into_iter()
        .filter_map(|name| {
            let run = name.strip_prefix("run-")?.parse().ok()?;
            Some((run, dir.join(name)))
        })
        .collect();
    runs.sort();
    let skip = runs.len().saturating_sub(MAX_RUNS);
    Ok(runs.split_off(skip))
}

fn names(dir: &Path) -> Result<Vec<String>, SpoolError> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(SpoolError::io("read", dir)(error)),
        Ok(entries) => Ok(entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()),
    }
}
