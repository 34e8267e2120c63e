//! List, then watch: how a kind of object is followed.
//!
//! In: pages of a list, then a watch that begins at the list's version. Out: [`Event`]s to one sink,
//! in order; the list is complete before the first event of its watch. Never: a list again while the
//! watch can go on. Source: <https://kubernetes.io/docs/reference/using-api/api-concepts/>.
//!
//! A watch that ends goes on at the last version that was seen, of objects or bookmarks. When the
//! API server does not keep that version any more (410), the kind is listed again. Whatever fails is
//! tried again after a pause that doubles, with a share of chance so that many nodes do not ask at
//! the same moment. What is denied is asked for once a minute: rights may be given later.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;

use super::api::{Api, Events, Refusal, of_status};
use super::kinds::{Kind, SliceApi};
use super::objects::Key;
use super::status::{KindState, Statuses};

/// How often and how long is asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// First pause after a failure.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// Pause after a denial.
    pub denied: Duration,
    /// Time after which the server is asked to end a watch.
    pub watch: Duration,
    /// Silence beyond that after which a watch counts as broken.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            denied: Duration::from_secs(60),
            watch: Duration::from_secs(290),
            grace: Duration::from_secs(20),
        }
    }
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
}

impl Change {
    /// As the API server calls it.
    pub fn name(self) -> &'static str {
        match self {
            Change::Added => "ADDED",
            Change::Modified => "MODIFIED",
            Change::Deleted => "DELETED",
        }
    }
}

/// What lists and watches tell.
#[derive(Debug)]
pub enum Event {
    /// An object of a list: it is there.
    There(Kind, Json),
    /// A list is complete; it holds all of one namespace, or of the cluster.
    Complete(Kind, Option<String>, HashSet<Key>),
    /// Something happened since.
    Changed(Kind, Change, Json),
    /// The kind cannot be had for now.
    Without(Kind),
    /// The kind is not followed in a namespace any more; its objects are there all the same.
    Unwatched(Kind, String),
}

/// Takes events, one after the other.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// Follows kinds.
#[derive(Clone)]
pub(super) struct Watcher {
    pub(super) api: Api,
    pub(super) slices: SliceApi,
    pub(super) pace: Pace,
    pub(super) sink: Sink,
    pub(super) statuses: Arc<Statuses>,
    /// Namespaces to look at where the whole cluster may not be looked at, as they change.
    pub(super) namespaces: Receiver<Vec<String>>,
}

/// A pause that doubles.
struct Pause {
    next: Duration,
    pace: Pace,
}

impl Pause {
    fn new(pace: Pace) -> Pause {
        Pause {
            next: pace.first,
            pace,
        }
    }

    fn reset(&mut self) {
        self.next = self.pace.first;
    }

    async fn wait(&mut self) {
        tokio::time::sleep(with_chance(self.next)).await;
        self.next = (self.next * 2).min(self.pace.longest);
    }
}

/// Half of a time to all of it.
fn with_chance(time: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or_default();
    time / 2 + (time / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

impl Watcher {
    /// Follows a kind in the whole cluster; where that is denied, in each of the namespaces. Does not
    /// end by itself.
    pub(super) async fn follow(self, kind: Kind) {
        loop {
            let denied = self.follow_in(kind, None).await;
            if !kind.is_namespaced() || self.namespaces.borrow().is_empty() {
                self.statuses.set(kind, None, KindState::Denied(denied));
                (self.sink)(Event::Without(kind));
                tokio::time::sleep(self.pace.denied).await;
                continue;
            }
            self.follow_confined(kind, &denied).await;
        }
    }

    /// Follows a kind in each of the namespaces, and in others as they change. Does not end by itself.
    async fn follow_confined(&self, kind: Kind, denied: &str) {
        let mut namespaces = self.namespaces.clone();
        let mut each: BTreeMap<String, JoinSet<()>> = BTreeMap::new();
        loop {
            let now = namespaces.borrow_and_update().clone();
            let state = KindState::Confined(now.join(", "), denied.to_owned());
            self.statuses.set(kind, None, state);
            let gone: Vec<String> = each
                .keys()
                .filter(|namespace| !now.contains(namespace))
                .cloned()
                .collect();
            for namespace in gone {
                if let Some(mut following) = each.remove(&namespace) {
                    // Nothing of it comes later.
                    following.shutdown().await;
                }
                self.statuses.forget(kind, &namespace);
                (self.sink)(Event::Unwatched(kind, namespace));
            }
            for namespace in now {
                each.entry(namespace).or_insert_with_key(|namespace| {
                    let mut following = JoinSet::new();
                    following.spawn(self.clone().follow_within(kind, namespace.clone()));
                    following
                });
            }
            if namespaces.changed().await.is_err() {
                // Nobody changes them any more; all are stopped with this one.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Follows a kind in one namespace; does not end by itself.
    async fn follow_within(self, kind: Kind, namespace: String) {
        loop {
            let denied = self.follow_in(kind, Some(&namespace)).await;
            let state = KindState::Denied(denied);
            self.statuses.set(kind, Some(&namespace), state);
            (self.sink)(Event::Without(kind));
            tokio::time::sleep(self.pace.denied).await;
        }
    }

    /// Lists and watches until that is denied; answers what the API server said then.
    async fn follow_in(&self, kind: Kind, namespace: Option<&str>) -> String {
        let mut pause = Pause::new(self.pace);
        let mut version: Option<String> = None;
        loop {
            let began = Instant::now();
            let result = match &version {
                None => self.list(kind, namespace).await,
                Some(from) => self.watch(kind, namespace, from.clone()).await,
            };
            match result {
                Ok(reached) => {
                    if version.is_none() {
                        self.statuses.set(kind, namespace, KindState::Watching);
                    }
                    // A server that ends watches at once is not asked at once again.
                    let nothing = version.as_ref() == Some(&reached);
                    match nothing && began.elapsed() < self.pace.longest {
                        true => pause.wait().await,
                        false => pause.reset(),
                    }
                    version = Some(reached);
                }
                Err((Refusal::Denied(said), _)) => return said,
                Err((Refusal::Gone, _)) => {
                    self.statuses.count_relist();
                    if version.take().is_none() {
                        pause.wait().await;
                    }
                }
                Err((refusal, reached)) => {
                    self.statuses.count_failure();
                    let state = KindState::Away(refusal.to_string());
                    self.statuses.set(kind, namespace, state);
                    if let Some(reached) = reached {
                        if version.as_ref() != Some(&reached) {
                            pause.reset();
                        }
                        version = Some(reached);
                    }
                    pause.wait().await;
                }
            }
        }
    }

    /// Lists all objects; answers the version of the list.
    async fn list(
        &self,
        kind: Kind,
        namespace: Option<&str>,
    ) -> Result<String, (Refusal, Option<String>)> {
        let path = kind.path(self.slices, namespace);
        let mut there = HashSet::new();
        let mut each = |object: Json| {
            there.extend(Key::of(&object));
            (self.sink)(Event::There(kind, object));
        };
        let listed = self.api.list(&path, kind.selector(), None, &mut each).await;
        let version = listed.map_err(|refusal| (refusal, None))?;
        let namespace = namespace.map(str::to_owned);
        (self.sink)(Event::Complete(kind, namespace, there));
        Ok(version)
    }

    /// Watches from a version on; answers the version that was reached when the server ended it.
    async fn watch(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        from: String,
    ) -> Result<String, (Refusal, Option<String>)> {
        let path = kind.path(self.slices, namespace);
        let seconds = with_chance(self.pace.watch).as_secs().max(1);
        let path = format!(
            "{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={from}{}",
            kind.selector()
        );
        let mut version = from;
        let mut events = match self.api.watch(&path).await {
            Ok(events) => events,
            Err(refusal) => return Err((refusal, Some(version))),
        };
        self.statuses.set(kind, namespace, KindState::Watching);
        loop {
            match self.next(&mut events).await {
                Ok(None) => return Ok(version),
                Ok(Some((change, object))) => {
                    if let Some(seen) = version_of(&object) {
                        version = seen;
                    }
                    if let Some(change) = change {
                        self.statuses.count_event();
                        (self.sink)(Event::Changed(kind, change, object));
                    } else {
                        self.statuses.count_bookmark();
                    }
                }
                Err(refusal) => return Err((refusal, Some(version))),
            }
        }
    }

    /// The next event; a bookmark has no change.
    async fn next(&self, events: &mut Events) -> Result<Option<(Option<Change>, Json)>, Refusal> {
        let longest = self.pace.watch + self.pace.grace;
        let event = match tokio::time::timeout(longest, events.next()).await {
            Ok(event) => event?,
            Err(_) => return Err(Refusal::Away("the watch is silent".to_owned())),
        };
        let Some(event) = event else {
            return Ok(None);
        };
        let change = match event.kind.as_str() {
            "ADDED" => Some(Change::Added),
            "MODIFIED" => Some(Change::Modified),
            "DELETED" => Some(Change::Deleted),
            "ERROR" => return Err(of_status(&event.object)),
            // Bookmarks, and whatever later versions may add.
            _ => None,
        };
        Ok(Some((change, event.object)))
    }
}

fn version_of(object: &Json) -> Option<String> {
    let version = object.get("metadata")?.get("resourceVersion")?.as_str()?;
    Some(version.to_owned()).filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests;
