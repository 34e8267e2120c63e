//! One reel as a listing tells it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::group::{Place, named_second, reel_stem};
use crate::index;
use crate::store::Entry;

/// Reels that are listed at most, some 600 bytes each: a month of a large cluster.
const MAX_REELS: usize = 1_000_000;

/// The objects of one reel.
#[derive(Debug, Default, Clone)]
pub(super) struct Reel {
    /// What all its keys have in common.
    pub(super) stem: String,
    pub(super) packets: Vec<Entry>,
    pub(super) index: Option<Entry>,
    pub(super) names: Option<Entry>,
    pub(super) manifest: Option<Entry>,
}

impl Reel {
    /// Nanoseconds within which its items lie, as far as its keys tell.
    pub(super) fn span(&self) -> (i64, i64) {
        let nanos = |second: i64| second.saturating_mul(1_000_000_000);
        match self
            .index
            .as_ref()
            .and_then(|entry| index::span_of(&entry.key))
        {
            Some((first, last)) => (nanos(first), nanos(last).saturating_add(999_999_999)),
            // The first packet of a reel is hardly later than its first item.
            None => (named_second(&self.stem).map_or(i64::MIN, nanos), i64::MAX),
        }
    }

    /// Its node, run and recording, and its number in the run.
    pub(super) fn number(&self) -> Option<(String, u64)> {
        let number = self.stem.rsplit('-').next()?.parse().ok()?;
        Some((self.place()?.key, number))
    }

    /// Its node, run and recording.
    pub(super) fn place(&self) -> Option<Place> {
        let entry = self.index.as_ref().or(self.packets.first())?;
        Place::of(&entry.key)
    }

    /// Whether there is anything of items in it: signs of life have none.
    fn has_items(&self) -> bool {
        self.index.is_some() || !self.packets.is_empty()
    }
}

/// Reels while their objects pass by.
#[derive(Default)]
pub(super) struct Gathered(BTreeMap<String, Reel>);

impl Gathered {
    /// Adds an object; answers whether there is room for more.
    pub(super) fn add(&mut self, entry: Entry) -> bool {
        let Gathered(reels) = self;
        let Some(stem) = reel_stem(&entry.key) else {
            return true;
        };
        let reel = reels.entry(stem.to_owned()).or_insert_with(|| Reel {
            stem: stem.to_owned(),
            ..Reel::default()
        });
        let file = entry.key.rsplit('/').next().unwrap_or_default();
        if file.ends_with(index::ENDING) {
            reel.index = Some(entry);
        } else if file.ends_with(".manifest.json") {
            reel.manifest = Some(entry);
        } else if file.ends_with(".names.jsonl") {
            reel.names = Some(entry);
        } else if super::plan::kind_of(file) == Some(super::plan::Kind::Capture) {
            reel.packets.push(entry);
        }
        reels.len() < MAX_REELS
    }

    /// Those with items in them.
    pub(super) fn reels(self) -> Vec<Arc<Reel>> {
        let reels = self.0.into_values().filter(Reel::has_items);
        reels.map(Arc::new).collect()
    }

    /// All, signs of life among them.
    pub(super) fn all(self) -> Vec<Arc<Reel>> {
        self.0.into_values().map(Arc::new).collect()
    }
}
