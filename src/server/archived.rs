//! The archives of the stores that a run records to, as searches and details ask for them.
//!
//! In: URLs of stores. Out: rows and items of the reels there. Never: an archive that is listed anew for
//! each question; what was listed counts for [`FRESH`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::search::{Newest, Part, Place, Wanted};
use super::{delivered, indexed};
use crate::deliver::Delivery;
use crate::investigate::{Archive, Browse, Cache, Reading, moment, moment_of};

/// How long a listing counts.
const FRESH: Duration = Duration::from_secs(30);

/// Time that one archive is searched for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Items of one page of an archive.
const PAGE: usize = 200;

/// Opens the archive of a store, see [`super::Run::archive`].
pub type OpenArchive = dyn Fn(&str) -> Result<Option<Archive>, String> + Send + Sync;

/// Opens the cache of what archives hold; `None` where there is no place for one.
pub type OpenCache = dyn Fn() -> Option<Arc<Cache>> + Send + Sync;

/// Archives by the URL of their store.
pub struct Archived {
    open: Box<OpenArchive>,
    reading: Reading,
    open_cache: Box<OpenCache>,
    cache: OnceLock<Option<Arc<Cache>>>,
    opened: Mutex<BTreeMap<String, (Instant, Arc<Browse>)>>,
}

impl Archived {
    /// Opens archives and their cache when they are asked for.
    pub fn new(open: Box<OpenArchive>, reading: Reading, open_cache: Box<OpenCache>) -> Archived {
        Archived {
            open,
            reading,
            open_cache,
            cache: OnceLock::new(),
            opened: Mutex::default(),
        }
    }

    /// The archive of a store; `None` while it holds no reels.
    ///
    /// # Errors
    /// One sentence: it cannot be reached.
    pub fn browse(&self, store: &str) -> Result<Option<Arc<Browse>>, String> {
        let opened = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let known = opened().get(store).cloned();
        if let Some((at, browse)) = &known
            && at.elapsed() < FRESH
        {
            return Ok(Some(browse.clone()));
        }
        let Some(archive) = (self.open)(store)? else {
            return Ok(None);
        };
        let cache = self.cache.get_or_init(|| (self.open_cache)());
        let browse = Browse::new(archive, self.reading.clone(), cache.clone());
        let browse = Arc::new(match &known {
            Some((_, known)) => browse.after(known),
            None => browse,
        });
        opened().insert(store.to_owned(), (Instant::now(), browse.clone()));
        Ok(Some(browse))
    }

    /// What the archive of a store has of what is wanted.
    pub fn search(&self, store: &str, delivery: &Delivery<'_>, wanted: &Wanted) -> Part {
        if !wanted.asks(store) {
            return Part::default();
        }
        match self.browse(store) {
            Ok(None) => Part::default(),
            Ok(Some(browse)) => of_archive(&browse, store, delivery, wanted),
            Err(why) => Part::missing(store, &why),
        }
    }

    /// An item by the worker and the rest of its id, of the first store that has it.
    pub fn item(
        &self,
        stores: &[String],
        worker: &str,
        id: &str,
        delivery: &Delivery<'_>,
    ) -> Option<Json> {
        stores.iter().find_map(|store| {
            let browse = self.browse(store).ok()??;
            indexed::item_by_id(&browse, worker, id, delivery).ok()?
        })
    }
}

/// What an archive has of what is wanted; its rows are from `store`.
pub(super) fn of_archive(
    browse: &Browse,
    store: &str,
    delivery: &Delivery<'_>,
    wanted: &Wanted,
) -> Part {
    if !wanted.asks(store) {
        return Part::default();
    }
    let until = Instant::now() + PATIENCE;
    let mut newest = Newest::new(wanted);
    let mut part = Part::default();
    // All of the cursor's millisecond: the order within it is ours.
    let mut before = wanted.before.as_ref().map(|place| {
        let next = place.at.saturating_add(1);
        moment(next.saturating_mul(1_000_000))
    });
    let reached = loop {
        let left = until.saturating_duration_since(Instant::now());
        let query = delivery.query().clone();
        let page = match browse.page(query, delivery.now(), before, PAGE, left) {
            Ok(page) => page,
            Err(error) => {
                part.missing = Part::missing(store, &error.to_string()).missing;
                break None;
            }
        };
        part.looked += page.looked;
        let mut oldest = None;
        for (number, item) in &page.items {
            let at = item.start.millis();
            oldest = Some(at);
            if newest.takes(at) {
                let delivered = delivered::stored_match(delivery, item);
                newest.add_delivered(&delivered, *number, item.node(), store);
            } else {
                newest.leave_out(at);
            }
        }
        before = page.next;
        let is_beyond =
            oldest.is_some_and(|at| wanted.from.is_some_and(|from| at < from) || !newest.takes(at));
        if before.is_none() || is_beyond {
            break None;
        }
        if Instant::now() >= until {
            break oldest.or_else(|| moment_of(before?));
        }
    };
    let (found, floor) = newest.take();
    // What was not reached in time is for the next page, and so is what others have from before it.
    let is_nearer = |at: i64| wanted.before.as_ref().is_none_or(|place| at < place.at);
    match reached {
        Some(at) if is_nearer(at) => {
            let key = String::new();
            part.floor = floor.max(Some(Place { at, key }));
        }
        None => part.floor = floor,
        // A next page would begin where this one did.
        Some(_) => {
            let why = format!("it gave nothing within {} s", PATIENCE.as_secs());
            part.missing = Part::missing(store, &why).missing;
            part.floor = floor;
        }
    }
    part.found = found;
    part
}
