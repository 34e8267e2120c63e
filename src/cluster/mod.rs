//! Who is who in a Kubernetes cluster.
//!
//! In: lists and watches of pods, services, endpoint slices, nodes and namespaces. Out: names of
//! addresses as of any moment, in a [`LiveHistory`]; the addresses of targeted pods; what becomes of
//! pods, for scripts; what happens to them, for recordings. Never: a write to the cluster, but for a
//! pod that a script cuts off and the files of [`Kept`]; a secret or config map that is not that one.
//!
//! ```text
//! connect ──▶ watch (list, then watch, for each kind) ──events──▶ who ──claims──▶ holders ──updates──▶ history
//!                                                                  ├──▶ targets ──▶ filter of the source
//!                                                                  └──▶ happenings ──▶ recordings
//! ```
//!
//! One set of watches is enough for a cluster: [`Options::on_updates`] hands the changes on, and
//! [`LiveHistory::apply`] takes them in elsewhere.

mod api;
mod connect;
mod happenings;
mod holders;
mod isolate;
mod kept;
mod kinds;
mod meanwhile;
mod objects;
mod status;
mod targets;
mod watch;
mod who;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::sync::watch as watch_channel;
use tokio::task::JoinSet;

use crate::capture::targets::SharedTargets;
use crate::resolve::{LiveHistory, Update};
use crate::time::{Clock, Timestamp};

use api::{Api, Refusal};
use meanwhile::Past;
use status::Statuses;
use watch::Watcher;

pub(crate) use api::{chain, refused, said_in};
#[cfg(test)]
pub(crate) use connect::to_double;
pub use connect::{ConnectError, Connection, Credentials, connect};
pub use happenings::{Ends, Happening, Remembered, What};
pub use kept::{Files, Held, Kept, KeptError, MAX_KEPT};
pub use kinds::{Kind, SliceApi};
pub use objects::{Container, Key, Node, Owner, Pod, Service, Slice, SliceEndpoint};
pub use status::{KindState, WatchCounts};
pub use targets::{Targets, Wanted};
pub use watch::{Change, Event, Pace, Sink};
pub use who::Who;

/// Time between two looks at whether the targets changed.
const LOOK: Duration = Duration::from_millis(100);

/// Time between two looks at whether events are asked for.
const LOOK_FOR_EVENTS: Duration = Duration::from_secs(1);

/// Targeted pods that are named at the start.
const MAX_NAMED: usize = 10;

/// Hears what became of a pod, with the object as core/v1 has it.
pub type PodTeller = Arc<dyn Fn(Change, &Json) + Send + Sync>;

/// Hears which names changed.
pub type UpdateTeller = Arc<dyn Fn(&[Update]) + Send + Sync>;

/// Hears what happened to pods and nodes.
pub type HappeningTeller = Arc<dyn Fn(&Happening) + Send + Sync>;

/// Says whether somebody waits for a kind of happenings.
pub type Wants = Arc<dyn Fn(What) -> bool + Send + Sync>;

/// How to follow a cluster.
#[derive(Clone)]
pub struct Options {
    /// Namespaces to look at where the whole cluster may not be looked at; empty takes that of the
    /// credentials. [`Cluster::set_namespaces`] changes them.
    pub namespaces: Vec<String>,
    /// How often and how long the API server is asked.
    pub pace: Pace,
    /// Where names go.
    pub history: Arc<LiveHistory>,
    /// Where the addresses of targets go.
    pub addresses: SharedTargets,
    /// What is captured.
    pub targets: Targets,
    /// Hears what becomes of pods.
    pub on_pod: Option<PodTeller>,
    /// Hears which names changed, after they are in the history.
    pub on_updates: Option<UpdateTeller>,
    /// Hears what happened to pods and nodes.
    pub on_happening: Option<HappeningTeller>,
    /// Pods that were known before, and when they were known last: what became of them meanwhile is told.
    pub before: Option<(Timestamp, Vec<Remembered>)>,
    /// Whether somebody waits for such happenings. Failed probes take a watch of events, and are asked for
    /// every second until it is so; rollouts take a list of revisions at the start.
    pub wants: Option<Wants>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// A cluster that is followed until this is dropped.
pub struct Cluster {
    shared: Arc<Shared>,
    /// The namespace of the credentials.
    own_namespace: String,
    namespaces: watch_channel::Sender<Vec<String>>,
    handle: tokio::runtime::Handle,
    /// Ends what it holds when it is dropped.
    _tasks: JoinSet<()>,
}

struct Shared {
    who: Mutex<Who>,
    targets: Mutex<Targets>,
    /// Whether the addresses of the targets may be others by now.
    changed: AtomicBool,
    /// Whether it is still to be said which pods are targeted.
    unsaid: AtomicBool,
    /// Whether what tells targets apart was listed once, or may not be.
    are_told_apart: AtomicBool,
    /// When it began.
    since: Timestamp,
    /// What is told once everything is listed: pods that were not known, and those of before.
    past: Mutex<Past>,
    statuses: Arc<Statuses>,
    /// Namespaces to look at where the whole cluster may not be looked at.
    namespaces: watch_channel::Receiver<Vec<String>>,
    api: Api,
    server: String,
    options: Options,
}

impl Cluster {
    /// Begins to follow the cluster, on the runtime that `handle` belongs to.
    pub fn start(
        handle: &tokio::runtime::Handle,
        connection: Connection,
        mut options: Options,
    ) -> Cluster {
        let api = Api::new(connection.client);
        let own_namespace = connection.namespace;
        let wanted = or_own(std::mem::take(&mut options.namespaces), &own_namespace);
        let (namespaces, watched) = watch_channel::channel(wanted);
        let pace = options.pace;
        let wants = options.wants.clone();
        let shared = Arc::new(Shared {
            who: Mutex::new(Who::new()),
            targets: Mutex::new(options.targets.clone()),
            changed: AtomicBool::new(true),
            unsaid: AtomicBool::new(true),
            are_told_apart: AtomicBool::new(false),
            since: options.clock.now(),
            past: Mutex::new(Past::of(options.before.take())),
            statuses: Arc::default(),
            namespaces: watched.clone(),
            api: api.clone(),
            server: connection.server,
            options,
        });
        let sink: Sink = {
            let shared = shared.clone();
            Arc::new(move |event| shared.take(event))
        };
        let statuses = shared.statuses.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn_on(
            async move {
                let slices = slice_api(&api, &statuses, pace).await;
                let watcher = Watcher {
                    api,
                    slices,
                    pace,
                    sink,
                    statuses,
                    namespaces: watched,
                };
                let mut kinds = JoinSet::new();
                for kind in Kind::ALL {
                    kinds.spawn(watcher.clone().follow(kind));
                }
                if let Some(wants) = wants {
                    kinds.spawn(async move {
                        while !wants(What::FailedProbe) {
                            tokio::time::sleep(LOOK_FOR_EVENTS).await;
                        }
                        watcher.follow(Kind::Events).await;
                    });
                }
                kinds.join_all().await;
            },
            handle,
        );
        let looking = shared.clone();
        tasks.spawn_on(
            async move {
                loop {
                    tokio::time::sleep(LOOK).await;
                    looking.look();
                }
            },
            handle,
        );
        let looking = shared.clone();
        tasks.spawn_on(
            async move {
                loop {
                    tokio::time::sleep(LOOK).await;
                    looking.look_back().await;
                }
            },
            handle,
        );
        Cluster {
            shared,
            own_namespace,
            namespaces,
            handle: handle.clone(),
            _tasks: tasks,
        }
    }

    /// The names of its addresses.
    pub fn history(&self) -> Arc<LiveHistory> {
        self.shared.options.history.clone()
    }

    /// Captures other pods from now on.
    pub fn set_targets(&self, targets: Targets) {
        *lock(&self.shared.targets) = targets;
        self.shared.unsaid.store(true, Ordering::Release);
        self.shared.changed.store(true, Ordering::Release);
        self.shared.look();
    }

    /// Looks at these namespaces from now on where the whole cluster may not be looked at; empty takes that of
    /// the credentials.
    pub fn set_namespaces(&self, namespaces: Vec<String>) {
        let wanted = or_own(namespaces, &self.own_namespace);
        self.namespaces.send_if_modified(|now| {
            let is_other = *now != wanted;
            *now = wanted;
            is_other
        });
    }

    /// What is captured now.
    pub fn targets(&self) -> Targets {
        lock(&self.shared.targets).clone()
    }

    /// Whether the addresses of the targets are known: they leave nothing out, or pods and what tells them apart
    /// were listed once, or may not be.
    pub fn are_targets_known(&self) -> bool {
        let shared = &self.shared;
        if lock(&shared.targets).is_all() || shared.are_told_apart.load(Ordering::Acquire) {
            return true;
        }
        let are_listed = shared.are_settled(&OF_TARGETS) && shared.are_pods_known();
        if are_listed {
            // What was listed last may not be among the addresses yet.
            shared.changed.store(true, Ordering::Release);
            shared.look();
            shared.are_told_apart.store(true, Ordering::Release);
        }
        are_listed
    }

    /// Pods inside and outside of the targets: `{"targets": [...], "excluded": [...]}`.
    pub fn targeted(&self) -> Json {
        let targets = lock(&self.shared.targets).clone();
        targets.json(&lock(&self.shared.who))
    }

    /// Cuts a pod off by a network policy and answers with a sentence; waits for the API server, so
    /// not for a thread of the runtime.
    ///
    /// # Errors
    /// One sentence: there is no such pod, or the rights do not suffice.
    pub fn isolate(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl FnOnce() -> Result<String, String> + use<> {
        let (api, handle) = (self.shared.api.clone(), self.handle.clone());
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        move || handle.block_on(isolate::isolate(&api, &namespace, &name))
    }

    /// Looks into the objects.
    pub fn with_who<R>(&self, look: impl FnOnce(&Who) -> R) -> R {
        look(&lock(&self.shared.who))
    }

    /// The pods that are there, to be told as [`Options::before`] another time; `None` while they are not
    /// all known.
    pub fn remembered(&self) -> Option<Vec<Remembered>> {
        let is_told = lock(&self.shared.past).is_told();
        if !self.is_ready() || !is_told {
            return None;
        }
        let who = lock(&self.shared.who);
        Some(who.pods().filter_map(Remembered::of).collect())
    }

    /// Sentences about the watches that were not said yet; each is answered once.
    pub fn sentences(&self) -> Vec<String> {
        self.shared.statuses.take_sentences()
    }

    /// Whether every kind was listed, or may not be.
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready()
    }

    /// What keeps a kind from being listed for the first time or again; `None` when every one was listed, or may
    /// not be.
    pub fn waits_for(&self) -> Option<String> {
        if self.is_ready() {
            return None;
        }
        let states = self.shared.statuses.states();
        let mut away = states.values().filter_map(|state| match state {
            KindState::Away(why) => Some(format!("the API server cannot be asked: {why}")),
            _ => None,
        });
        Some(
            away.next()
                .unwrap_or_else(|| "they are being listed".to_owned()),
        )
    }

    /// Requests and events so far.
    pub fn counts(&self) -> WatchCounts {
        self.shared.statuses.counts(&self.shared.api.requests)
    }

    /// How many lists of each kind are in each state, by the names of both: one list a kind, or one for
    /// each namespace.
    pub fn watched(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        let mut counts = BTreeMap::new();
        for ((kind, _), state) in self.shared.statuses.states() {
            for word in KindState::WORDS {
                let count: &mut u64 = counts.entry((kind.name(), word)).or_default();
                *count += u64::from(state.word() == word);
            }
        }
        counts
    }

    /// How the watches fare, for pages and the support bundle.
    pub fn json(&self) -> Json {
        let who = lock(&self.shared.who);
        let objects: serde_json::Map<_, _> = Kind::ALL
            .iter()
            .map(|kind| (kind.name().to_owned(), who.count(*kind).into()))
            .collect();
        let (claimed, claims) = who.claims();
        drop(who);
        let states = self.shared.statuses.states().into_iter();
        let states = states.map(|((kind, namespace), state)| {
            let (kind, word) = (kind.name(), state.word());
            json!({"kind": kind, "namespace": namespace, "state": word, "why": state.why()})
        });
        let counts = self.counts();
        let (addresses, changes) = self.shared.options.history.size();
        json!({
            "server": self.shared.server,
            "watches": states.collect::<Vec<_>>(),
            "objects": objects,
            "requests": {
                "lists": counts.lists, "watches": counts.watches, "others": counts.others,
                "bytes": counts.bytes, "relists": counts.relists, "failures": counts.failures,
            },
            "events": counts.events,
            "bookmarks": counts.bookmarks,
            "names": {"addresses": addresses, "changes": changes, "claimed": claimed, "claims": claims},
        })
    }
}

/// Kinds that tell which addresses are those of targets.
const OF_TARGETS: [Kind; 4] = [Kind::Pods, Kind::Namespaces, Kind::Nodes, Kind::Services];

impl Shared {
    fn is_ready(&self) -> bool {
        self.are_settled(&Kind::ALL)
    }

    /// Whether each of these kinds was listed, or may not be.
    fn are_settled(&self, kinds: &[Kind]) -> bool {
        let states = self.statuses.states();
        let is_settled = |kind: &Kind| {
            let mut of = states.iter().filter(|((one, _), _)| one == kind).peekable();
            of.peek().is_some()
                && of.all(|(_, state)| !matches!(state, KindState::Listing | KindState::Away(_)))
        };
        kinds.iter().all(is_settled)
    }

    /// Takes in what a watch tells.
    fn take(&self, event: Event) {
        let now = self.options.clock.now();
        let mut told: Vec<(Change, Json)> = Vec::new();
        let mut happened: Vec<Happening> = Vec::new();
        let mut who = lock(&self.who);
        let (kind, updates) = match event {
            Event::There(kind, object) => {
                let key = Key::of(&object);
                let before = key.as_ref().and_then(|key| who.pod(key)).cloned();
                happened.extend(self.happens(kind, None, &object, &who, now));
                let updates = who.apply(kind, &object, now);
                if kind == Kind::Pods && self.options.on_pod.is_some() {
                    let after = key.as_ref().and_then(|key| who.pod(key));
                    match &before {
                        None => told.push((Change::Added, object)),
                        Some(before) if Some(before) != after => {
                            told.push((Change::Modified, object));
                        }
                        Some(_) => {}
                    }
                }
                (kind, updates)
            }
            Event::Changed(kind, change, object) => {
                happened.extend(self.happens(kind, Some(change), &object, &who, now));
                let mut updates = who.apply(kind, &object, now);
                if change == Change::Deleted
                    && let Some(key) = Key::of(&object)
                {
                    updates.extend(who.remove(kind, &key, now));
                }
                if kind == Kind::Pods {
                    told.push((change, object));
                }
                (kind, updates)
            }
            Event::Complete(kind, namespace, there) => {
                let gone: Vec<Pod> = match kind {
                    Kind::Pods => who
                        .pods()
                        .filter(|pod| !there.contains(&pod.key))
                        .cloned()
                        .collect(),
                    _ => Vec::new(),
                };
                let of_gone = gone.iter().map(|pod| happenings::of_gone(pod, &who, now));
                let mut of_gone: Vec<_> = of_gone.collect();
                let (keys, updates) = who.complete(kind, namespace.as_deref(), &there, now);
                // Of another namespace's pods the list says nothing.
                for (pod, happening) in gone.iter().zip(of_gone.iter_mut()) {
                    if keys.contains(&pod.key) {
                        told.push((Change::Deleted, pod.json()));
                        happened.extend(happening.take());
                    }
                }
                (kind, updates)
            }
            Event::Without(kind) => {
                who.give_up(kind);
                (kind, Vec::new())
            }
            // Nothing became of them: nobody is told.
            Event::Unwatched(kind, namespace) => {
                let none = HashSet::new();
                (kind, who.complete(kind, Some(&namespace), &none, now).1)
            }
        };
        // In the order of the changes: the lock on the objects is held until the names are in.
        self.options.history.apply(&updates, now);
        if let Some(tell) = self
            .options
            .on_updates
            .as_ref()
            .filter(|_| !updates.is_empty())
        {
            tell(&updates);
        }
        who.sweep(now);
        drop(who);
        if !matches!(kind, Kind::EndpointSlices | Kind::Events) {
            self.changed.store(true, Ordering::Release);
        }
        if let Some(tell) = &self.options.on_pod {
            for (change, pod) in &told {
                tell(*change, pod);
            }
        }
        if let Some(tell) = &self.options.on_happening {
            happened.iter().for_each(|happening| tell(happening));
        }
    }

    /// Whether the pods of all namespaces that are looked at were told, or may not be.
    fn are_pods_known(&self) -> bool {
        if !self.statuses.is_confined(Kind::Pods) {
            return true;
        }
        let states = self.statuses.states();
        let namespaces = self.namespaces.borrow();
        let mut states_of = namespaces
            .iter()
            .map(|namespace| states.get(&(Kind::Pods, Some(namespace.clone()))));
        states_of.all(|state| state.is_some_and(|state| *state != KindState::Listing))
    }

    /// Hands the addresses of the targets on, where they may have changed.
    fn look(&self) {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return;
        }
        let targets = lock(&self.targets).clone();
        let who = lock(&self.who);
        // Before pods are known, nothing can be told apart, and all is captured.
        if targets.is_all() || !who.is_listed(Kind::Pods) {
            self.options.addresses.set(None);
            return;
        }
        let is_confined = self.statuses.is_confined(Kind::Pods);
        self.options.addresses.set(targets.set(&who, is_confined));
        if self.are_pods_known() && self.unsaid.swap(false, Ordering::AcqRel) {
            self.statuses.say(preview(&targets.running(&who)));
        }
    }
}

/// The namespaces, else the one of the credentials.
fn or_own(namespaces: Vec<String>, own: &str) -> Vec<String> {
    match namespaces.is_empty() {
        true => vec![own.to_owned()],
        false => namespaces,
    }
}

/// What is said of the pods that are targeted.
fn preview(names: &[String]) -> String {
    let named = names
        .get(..MAX_NAMED.min(names.len()))
        .unwrap_or_default()
        .join(", ");
    match names.len() {
        0 => "no pod that runs is targeted; pods that come later are".to_owned(),
        1 => format!("1 pod is targeted: {named}"),
        count if count <= MAX_NAMED => format!("{count} pods are targeted: {named}"),
        count => format!(
            "{count} pods are targeted: {named} and {} more",
            count - MAX_NAMED
        ),
    }
}

/// Asks which objects tie services to pods, until there is an answer.
async fn slice_api(api: &Api, statuses: &Statuses, pace: Pace) -> SliceApi {
    let mut pause = pace.first;
    loop {
        match api.get("/apis/discovery.k8s.io").await {
            Ok(group) => return SliceApi::of_group(Some(&group)),
            // Who may not ask may not list slices either; endpoints are older, and allowed more often.
            Err(Refusal::Missing | Refusal::Denied(_)) => return SliceApi::of_group(None),
            Err(refusal) => {
                statuses.count_failure();
                statuses.set(
                    Kind::EndpointSlices,
                    None,
                    KindState::Away(refusal.to_string()),
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(pace.longest);
            }
        }
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
