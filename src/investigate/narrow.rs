//! Which files a time range needs, by their names alone.
//!
//! In: files in the order in which they are read, and times that are wanted. Out: the files that may
//! hold packets of them. Never: a file left out whose name does not tell its time.
//!
//! A stream may begin before what is wanted of it, and an exchange end behind it: files within
//! [`AROUND`] of a range stay.

use std::sync::Arc;
use std::time::Duration;

use super::group::named_second;
use super::plan::{Kind, Planned};
use super::reels::Archive;
use super::span::Span;
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

/// How far outside of a range a file may lie and still be read.
const AROUND: Duration = Duration::from_secs(3600);

/// Seconds from the first packet of a reel, look-back included, to its last.
const LONGEST_REEL: i64 = 24 * 3600;

/// The prefixes below `prefix` that are listed: where nothing but reels is below it, their days.
pub(super) fn prefixes(
    store: &Arc<dyn Store>,
    prefix: &str,
    spans: &[Span],
) -> Result<Vec<String>, StoreError> {
    let all = || Ok(vec![prefix.to_owned()]);
    if spans.is_empty() {
        return all();
    }
    let Some(archive) = Archive::of(store.clone(), prefix)? else {
        return all();
    };
    if !archive.is_alone()? {
        return all();
    }
    let mut days = Vec::new();
    for span in spans {
        days.extend(archive.partitions(&wider(span))?);
    }
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

fn wider(span: &Span) -> Span {
    Span {
        from: span.from.map(|from| from - AROUND),
        to: span.to.map(|to| to + AROUND),
    }
}

/// Takes out what lies outside of all `spans`.
pub(super) fn narrow(files: &mut Vec<Planned>, spans: &[Span]) {
    if spans.is_empty() {
        return;
    }
    let times: Vec<(i64, i64)> = (0..files.len()).map(|at| time_of(files, at)).collect();
    let mut times = times.into_iter();
    files.retain(|_| {
        let (first, last) = times.next().unwrap_or((i64::MIN, i64::MAX));
        spans.iter().any(|span| wider(span).touches(first, last))
    });
}

/// Nanoseconds within which the packets of a file lie, as far as names tell.
fn time_of(files: &[Planned], at: usize) -> (i64, i64) {
    let nanos = |second: i64| Timestamp::from_secs(second, 0).nanos();
    let Some(file) = files.get(at) else {
        return (i64::MIN, i64::MAX);
    };
    let known = named_second(&file.key).filter(|_| file.kind != Kind::Archive);
    let Some(first) = known else {
        return (i64::MIN, i64::MAX);
    };
    let last = match file.group.record {
        // Its index tells; without one, no reel goes on for longer.
        Some(_) => Some(file.last.unwrap_or(first + LONGEST_REEL)),
        // A file of a drop-in folder ends where the next one of its node and run begins.
        None => files
            .get(at + 1)
            .filter(|next| file.group.origin.is_some() && next.group.key == file.group.key)
            .and_then(|next| named_second(&next.key)),
    };
    // Within its last second.
    let last = last.map_or(i64::MAX, |last| nanos(last).saturating_add(999_999_999));
    (nanos(first), last)
}
