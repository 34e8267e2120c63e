//! All items of a reel from packets, also those whose request lies in the reel before.
//!
//! In: a reel, and its index where it has one of its own. Out: items. Never: the reel before read when
//! this one gives all that its index has.
//!
//! A stream that goes on from an earlier reel begins with its saved state, so that a reel alone gives
//! its items. Where something is overwritten before sealing there is no state; then the index alone
//! knows of such an exchange, and both reels together have it.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use super::packets::{self, PacketsError, Reading};
use super::reel::Reel;
use super::reels::Archive;
use super::search::kinds;
use crate::index::Reader;
use crate::item::{Item, Origin};
use crate::packet::Endpoint;

/// Items that are held back until it is known whether they are halves of such exchanges; more are
/// given at once.
const MAX_HELD: usize = 4096;

/// What tells one exchange from another: start, elapsed time, kind and both ends.
pub(super) type Exchange = (i64, u64, &'static str, Endpoint, Endpoint);

/// The exchange that an item is.
pub(super) fn exchange(item: &Item) -> Exchange {
    (
        item.start.nanos(),
        item.elapsed_nanos,
        item.protocol.abbr,
        item.src.endpoint,
        item.dst.endpoint,
    )
}

/// Calls `each` for every item of a reel; `reader` is its open index.
pub(super) fn items(
    archive: &Archive,
    reel: &Reel,
    reading: &Reading,
    reader: Option<&Reader>,
    each: &mut dyn FnMut(Item),
) -> Result<(), PacketsError> {
    let Some(reader) = reader.filter(|_| reel.index.is_some()) else {
        return packets::items(archive, None, reel, reading, None, each);
    };
    let mut missing = indexed(reader)?;
    let mut held = Vec::new();
    packets::items(archive, None, reel, reading, None, &mut |item| {
        if take(&mut missing, &item) || held.len() >= MAX_HELD {
            each(item);
        } else {
            held.push(item);
        }
    })?;
    let before = match missing.is_empty() {
        true => None,
        false => archive.beside(reel, -1)?,
    };
    if let Some(before) = before {
        packets::items(archive, Some(&before), reel, reading, None, &mut |item| {
            if take(&mut missing, &item) {
                // Without its other half it looked like something else.
                held.retain(|half| !is_between(half, &item));
                each(item);
            }
        })?;
    }
    held.into_iter().for_each(each);
    Ok(())
}

/// The exchanges of an index, and how often it has each.
fn indexed(reader: &Reader) -> Result<HashMap<Exchange, u32, RandomState>, PacketsError> {
    let (kinds, origin) = (kinds(), Arc::new(Origin::default()));
    let columns = reader.columns(["src.ip", "src.port", "dst.ip", "dst.port"]);
    let mut found: HashMap<Exchange, u32, RandomState> = HashMap::default();
    for group in 0..reader.groups() {
        let block = reader.read(group, &columns)?;
        let rows = (0..block.len()).filter_map(|row| block.item(row, &kinds, &origin));
        for item in rows {
            *found.entry(exchange(&item)).or_default() += 1;
        }
    }
    Ok(found)
}

/// Whether an item is one of those, which it then is no more.
fn take(exchanges: &mut HashMap<Exchange, u32, RandomState>, item: &Item) -> bool {
    let key = exchange(item);
    let Some(left) = exchanges.get_mut(&key) else {
        return false;
    };
    *left -= 1;
    if *left == 0 {
        exchanges.remove(&key);
    }
    true
}

fn is_between(half: &Item, whole: &Item) -> bool {
    let ends = |item: &Item| (item.src.endpoint, item.dst.endpoint);
    let (src, dst) = ends(whole);
    [(src, dst), (dst, src)].contains(&ends(half))
}
