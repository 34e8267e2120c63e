//! What the hub tells workers of the cluster: names and targets, as they travel.
//!
//! In: changes of names at the hub, names and targets at a worker. Out: messages of a
//! bounded size at the hub; names for items and addresses for the source at a worker, which keeps the last
//! ones for its next start (`kept.rs`). Never: a worker that asks the API server itself, or captures what its own
//! configuration leaves out because nobody has told it any targets.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

use super::super::config::Config;
use super::Asked;
use super::aimed::Gate;
use super::cluster::{TARGETS, targets as targets_of};
use super::filters::Filters;
use super::follow::say;
use crate::capture::targets::SharedTargets;
use crate::hub::targeted::Targeted;
use crate::pipeline::NamesOf;
use crate::resolve::{Address, Change, LiveHistory, Names, Update};
use crate::time::{Clock, SystemClock, Timestamp};

mod kept;

use kept::{LastNames, LastTargets, Targets};

/// Bytes after which a message of names ends and the next one begins.
const PART: usize = 1 << 20;

/// Updates as JSON arrays, in parts that a message holds.
pub(super) fn packed(updates: &[Update]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    // An update has strings and numbers only, which JSON can always hold.
    for update in updates.iter().flat_map(serde_json::to_vec) {
        if part.len() > PART {
            part.push(b']');
            parts.push(std::mem::take(&mut part));
        }
        part.push(if part.is_empty() { b'[' } else { b',' });
        part.extend(update);
    }
    if !part.is_empty() {
        part.push(b']');
        parts.push(part);
    }
    parts
}

/// Changes of names that wait to be told; what comes then is told with them at once.
const MAX_CHANGES: usize = 4096;

/// Changes of names that workers are still to be told of: the list of a large cluster brings thousands
/// at once, which make few messages.
#[derive(Default)]
pub(super) struct Changes(Mutex<Vec<Update>>);

impl Changes {
    /// Takes changes up, behind those that wait; `tell` hears of all when they are many.
    pub(super) fn add(&self, updates: &[Update], tell: impl FnMut(&[u8])) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend_from_slice(updates);
        if waiting.len() >= MAX_CHANGES {
            tell_of(&mut waiting, tell);
        }
    }

    /// `tell` hears of all that wait, in parts that a message holds.
    pub(super) fn flush(&self, tell: impl FnMut(&[u8])) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tell_of(&mut waiting, tell);
    }
}

/// Tells of what waits while nobody else can: changes of one address must come in their order.
fn tell_of(waiting: &mut Vec<Update>, mut tell: impl FnMut(&[u8])) {
    let parts = packed(waiting);
    waiting.clear();
    parts.iter().for_each(|part| tell(part));
}

/// What a configuration says of targets.
fn wanted(config: &Config) -> Json {
    let values = TARGETS.iter();
    values
        .map(|key| ((*key).to_owned(), config.any(key)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// File of the targets that the hub told last.
const TARGETS_FILE: &str = "targets.json";

/// File of the names that it told.
const NAMES_FILE: &str = "names.json";

/// Time that the first packets wait for the hub to say which addresses are its own, in the kernel's buffer; and
/// what names there are, where it is known what is captured: in memory, if there is room.
pub(super) const HUB_WORD: Duration = Duration::from_secs(2);

/// Addresses that one telling of all names has at most.
const MAX_NAMED: usize = 500_000;

/// What a worker knows of the cluster.
pub(super) struct Told {
    history: Arc<LiveHistory>,
    addresses: SharedTargets,
    filters: Filters,
    /// The targets in force, for their lists of pods.
    in_force: Mutex<Arc<Targeted>>,
    targets: Mutex<LastTargets>,
    names: Mutex<LastNames>,
    /// What the hub has named since it is connected, until it says that this is all.
    named: Mutex<Option<HashSet<Address>>>,
    gate: Gate,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Told {
    /// Knows nothing yet.
    pub(super) fn new(addresses: SharedTargets, filters: Filters) -> Told {
        Told {
            history: Arc::default(),
            addresses,
            filters,
            in_force: Mutex::default(),
            targets: Mutex::default(),
            names: Mutex::default(),
            named: Mutex::default(),
            gate: Gate::default(),
        }
    }

    /// Begins with the names and targets that `folder` keeps, unless `config` names others by now. Without any
    /// targets, what the configuration lets pass is captured, and where it names pods, nothing before the hub
    /// says which.
    pub(super) fn begin(&self, folder: &Path, config: &Config) {
        let now = SystemClock.now();
        match lock(&self.names).begin(folder.join(NAMES_FILE), now) {
            Ok(names) => self.history.apply(&names, now),
            Err(why) => say(&format!("the names of before are not used: {why}")),
        }
        let targets = lock(&self.targets).begin(folder.join(TARGETS_FILE), wanted(config), now);
        let targets = targets.unwrap_or_else(|why| {
            say(&format!("the targets of before are not used: {why}"));
            None
        });
        match targets {
            Some(targets) if self.aim(&targets) => self.gate.open_within(HUB_WORD),
            // What cannot be used may be replaced by the hub.
            None if targets_of(config).is_ok_and(|targets| targets.is_all()) => {
                self.gate.open_within(HUB_WORD);
            }
            _ => say(
                "which pods are captured is not known on this node yet; packets wait in memory until the hub says it, and those that do not fit (tap.bufferSize) are counted as lost",
            ),
        }
    }

    /// Opens when it is known what is captured.
    pub(super) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Why nothing is captured yet.
    pub(super) fn waits(&self) -> Option<String> {
        (!self.gate.is_known())
            .then(|| "the hub has not said yet which pods are captured, so nothing is".to_owned())
    }

    /// What is wrong as long as no names are there.
    pub(super) fn nameless(&self) -> Option<String> {
        (self.history.size().0 == 0).then(|| {
            "the hub has told no names yet, and none are kept on this node: queries by name match nothing"
                .to_owned()
        })
    }

    /// Addresses that have or had a name.
    pub(super) fn named(&self) -> usize {
        self.history.size().0
    }

    /// Follows a changed configuration. What the hub told counts until it says something else; where it has told
    /// nothing, what targets everything begins.
    pub(super) fn follow(&self, config: &Config) {
        let mut last = lock(&self.targets);
        last.wanted = wanted(config);
        if !last.are_told() && targets_of(config).is_ok_and(|targets| targets.is_all()) {
            self.gate.open();
        }
    }

    /// Writes down what is due by the clock; the hub `is_there`.
    pub(super) fn tick(&self, is_there: bool) {
        let now = SystemClock.now();
        lock(&self.targets).tick(now, is_there);
        if lock(&self.names).is_due(now, is_there) {
            self.keep_names(now);
        }
    }

    /// Writes down what is not yet, for the next start.
    pub(super) fn end(&self, is_there: bool) {
        let now = SystemClock.now();
        lock(&self.targets).end(now, is_there);
        if lock(&self.names).is_due_at_end(is_there) {
            self.keep_names(now);
        }
    }

    fn keep_names(&self, now: Timestamp) {
        let file = lock(&self.names).begin_to_write(now);
        if let Some(file) = file {
            kept::write_names(&file, &self.history.snapshot(now), now);
        }
    }

    /// The names for items.
    pub(super) fn names(&self) -> NamesOf {
        let names = Arc::new(Names::live(self.history.clone()));
        Box::new(move |_| Some(names.clone()))
    }

    /// What scripts and pages ask of the cluster.
    pub(super) fn asked(&self) -> Asked {
        Asked::without_watches(self.history.clone())
    }

    /// Pods inside and outside of the targets.
    pub(super) fn pods(&self) -> Json {
        let in_force = lock(&self.in_force).clone();
        in_force.pods()
    }

    /// A hub is connected, and begins to tell all names.
    pub(super) fn connected(&self) {
        *lock(&self.named) = Some(HashSet::new());
    }

    /// Takes names in, as [`packed`] writes them.
    pub(super) fn learn(&self, part: &[u8]) {
        match serde_json::from_slice::<Vec<Update>>(part) {
            Ok(updates) => {
                self.history.apply(&updates, SystemClock.now());
                let mut named = lock(&self.named);
                if let Some(addresses) = &mut *named {
                    addresses.extend(updates.iter().map(|update| update.address));
                    // A hub of an older version never says that it was all.
                    named.take_if(|addresses| addresses.len() > MAX_NAMED);
                }
                lock(&self.names).change();
            }
            Err(error) => tracing::warn!(%error, "some names of the hub are left out"),
        }
    }

    /// The hub has told all names that are in force: what it did not name lost its name while nobody told.
    pub(super) fn named_all(&self) {
        let Some(named) = lock(&self.named).take() else {
            return;
        };
        let now = SystemClock.now();
        let mut gone = self.history.snapshot(now);
        gone.retain(|known| !named.contains(&known.address));
        for known in &mut gone {
            known.changes = vec![Change {
                from: now.secs(),
                name: None,
            }];
        }
        self.history.apply(&gone, now);
        lock(&self.names).change();
    }

    /// Captures other targets. The hub has told the names that go with them.
    pub(super) fn retarget(&self, told: &Arc<Targeted>) {
        let targets = Targets {
            set: told.set().cloned(),
            bpf: told.bpf().map(str::to_owned),
        };
        if !self.aim(&targets) {
            return;
        }
        *lock(&self.in_force) = told.clone();
        self.gate.open();
        lock(&self.names).are_whole();
        lock(&self.targets).take(targets, SystemClock.now());
    }

    /// Captures these; false when their filter is refused, with which the addresses go.
    fn aim(&self, targets: &Targets) -> bool {
        let bpf = targets.bpf.as_deref();
        // A hub that says nothing of a filter leaves it to the configuration.
        if let Err(sentence) = self.filters.choose(bpf) {
            say(&format!(
                "the hub's targets are not taken, the last ones stay in force: {sentence}"
            ));
        }
        let is_taken = self.filters.is_chosen(bpf);
        if is_taken {
            self.addresses.set(targets.set.clone());
        }
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::capture::targets::TargetSet;
    use crate::packet::Endpoint;
    use crate::resolve::{Address, Change, Name};
    use crate::time::Timestamp;

    fn update(index: u32, name: &str) -> Update {
        let ip = std::net::Ipv4Addr::from(0x0A00_0000 + index).into();
        Update {
            address: Address::Ip(ip),
            changes: vec![Change {
                from: 0,
                name: Some(Name::plain(name, "shop")),
            }],
        }
    }

    #[test]
    fn names_travel_in_parts_and_arrive_whole() {
        let long = "n".repeat(200);
        let updates: Vec<Update> = (0..10_000).map(|index| update(index, &long)).collect();
        let parts = packed(&updates);
        assert!(parts.len() > 1);
        assert!(parts.iter().all(|part| part.len() < 2 * PART));
        let told = Told::new(SharedTargets::default(), Filters::default());
        for part in &parts {
            told.learn(part);
        }
        told.learn(b"[{\"address\": \"nobody\"}]");
        assert_eq!(told.history.size().0, 10_000);
        let names = told.names()(&crate::item::Origin::default()).unwrap();
        let end = Endpoint {
            ip: "10.0.0.7".parse().unwrap(),
            port: 80,
        };
        let found = names.lookup(end, Timestamp::from_secs(5, 0)).unwrap();
        assert_eq!(&*found.name, &*long);
        assert_eq!(packed(&[]), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn changes_of_names_are_told_together_and_in_order() {
        let changes = Changes::default();
        let told = Told::new(SharedTargets::default(), Filters::default());
        let messages = std::cell::Cell::new(0);
        let tell = |part: &[u8]| {
            messages.set(messages.get() + 1);
            told.learn(part);
        };
        for index in 0..100 {
            changes.add(&[update(index, "first")], tell);
        }
        changes.add(&[update(7, "second")], tell);
        assert_eq!((messages.get(), told.history.size().0), (0, 0));
        changes.flush(tell);
        changes.flush(tell);
        assert_eq!((messages.get(), told.history.size().0), (1, 100));
        let names = told.names()(&crate::item::Origin::default()).unwrap();
        let end = Endpoint {
            ip: "10.0.0.7".parse().unwrap(),
            port: 80,
        };
        let found = names.lookup(end, Timestamp::from_secs(5, 0)).unwrap();
        assert_eq!(&*found.name, "second");
        // However many come before anybody looks, few wait.
        let many = u32::try_from(2 * MAX_CHANGES).unwrap();
        for index in 0..many {
            changes.add(&[update(index, "third")], tell);
        }
        assert_eq!(messages.get(), 3);
        assert_eq!(told.history.size().0, 2 * MAX_CHANGES);
    }

    fn targets(set: Option<&TargetSet>, bpf: Option<&str>) -> Arc<Targeted> {
        let pods = json!({"targets": [{"metadata": {"name": "cart-1", "namespace": "shop"}}]});
        Arc::new(Targeted::new(set.cloned(), pods, bpf.map(str::to_owned)).unwrap())
    }

    #[test]
    fn targets_are_captured_and_their_pods_known() {
        let addresses = SharedTargets::default();
        let told = Told::new(addresses.clone(), Filters::default());
        let mut set = TargetSet::default();
        set.ips.insert("10.0.0.7".parse().unwrap());
        assert_eq!(told.pods(), json!({"targets": [], "excluded": []}));
        told.retarget(&targets(Some(&set), None));
        assert_eq!(addresses.get().1.as_deref(), Some(&set));
        assert_eq!(told.pods()["targets"][0]["metadata"]["name"], "cart-1");
        told.retarget(&targets(None, Some("udp")));
        assert_eq!(addresses.get().1, None);
    }

    #[test]
    fn a_worker_begins_with_the_targets_of_before_and_waits_where_it_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let config = |regex: &str| {
            let mut config = Config::of_defaults(&crate::cli::Global::default()).unwrap();
            config.flag("tap.regex", "test", json!(regex));
            config
        };
        let begin = |regex: &str| {
            let addresses = SharedTargets::default();
            let told = Told::new(addresses.clone(), Filters::default());
            told.begin(folder.path(), &config(regex));
            (told, move || addresses.get().1)
        };
        // Without targets there is nothing to wait for.
        assert_eq!(begin("").0.waits(), None);
        for unknown in ["^cart", "cart("] {
            let (told, addresses) = begin(unknown);
            assert!(told.waits().is_some() && addresses().is_none());
            // Nor is there when the configuration names none any more.
            told.follow(&config("^pay"));
            assert!(told.waits().is_some());
            told.follow(&config(""));
            assert_eq!(told.waits(), None);
        }
        let mut set = TargetSet::default();
        set.ips.insert("10.0.0.7".parse().unwrap());
        let (told, addresses) = begin("^cart");
        told.retarget(&targets(Some(&set), None));
        assert_eq!(told.waits(), None);
        assert_eq!(addresses().as_deref(), Some(&set));
        let (again, addresses) = begin("^cart");
        assert_eq!(again.waits(), None);
        assert_eq!(addresses().as_deref(), Some(&set));
        assert_eq!(again.pods(), json!({"targets": [], "excluded": []}));
        // Those of another configuration are none of this one, before the hub has followed it too.
        assert!(begin("^pay").0.waits().is_some());
        again.follow(&config("^pay"));
        again.end(true);
        assert!(begin("^pay").0.waits().is_some());
        again.retarget(&targets(Some(&set), None));
        assert_eq!(begin("^pay").0.waits(), None);
        let file = folder.path().join(TARGETS_FILE);
        for damaged in ["{", r#"{"at": 9e9, "wanted": {}}"#] {
            std::fs::write(&file, damaged).unwrap();
            assert!(begin("^pay").0.waits().is_some());
            assert_eq!(begin("").0.waits(), None);
        }
        // That everything is captured is a word too.
        told.retarget(&targets(None, None));
        let (again, addresses) = begin("^cart");
        assert!(again.waits().is_none() && addresses().is_none());
    }

    #[test]
    fn a_worker_begins_with_the_names_of_before_and_forgets_those_that_the_hub_does_not_tell() {
        let folder = tempfile::tempdir().unwrap();
        let begin = || {
            let told = Told::new(SharedTargets::default(), Filters::default());
            let config = Config::of_defaults(&crate::cli::Global::default()).unwrap();
            told.begin(folder.path(), &config);
            told
        };
        let name = |told: &Told, last: u8| {
            let names = told.names()(&crate::item::Origin::default()).unwrap();
            let ip = std::net::IpAddr::from([10, 0, 0, last]);
            let found = names.lookup(Endpoint { ip, port: 80 }, SystemClock.now());
            found.map(|found| found.name.to_string())
        };
        let tell = |told: &Told, updates: &[Update]| {
            packed(updates).iter().for_each(|part| told.learn(part));
        };
        let told = begin();
        assert!(told.nameless().is_some());
        told.connected();
        tell(&told, &[update(7, "cart"), update(8, "pay")]);
        told.named_all();
        // Before all is told the file is left as it is.
        told.tick(true);
        assert_eq!(begin().named(), 0);
        told.retarget(&targets(None, None));
        told.tick(true);
        let again = begin();
        assert_eq!(again.nameless(), None);
        assert_eq!(name(&again, 7).as_deref(), Some("cart"));
        // The pod of one went while this worker was away, and another one came.
        again.connected();
        tell(&again, &[update(7, "cart"), update(9, "web")]);
        assert_eq!(name(&again, 8).as_deref(), Some("pay"));
        again.named_all();
        let names = [7, 8, 9].map(|last| name(&again, last));
        assert_eq!(names, [Some("cart".into()), None, Some("web".into())]);
        // What nobody tells to be all is not.
        again.named_all();
        tell(&again, &[update(8, "pay")]);
        again.named_all();
        assert_eq!(name(&again, 7).as_deref(), Some("cart"));
        again.retarget(&targets(None, None));
        again.end(true);
        let last = begin();
        assert_eq!(name(&last, 8).as_deref(), Some("pay"));
        assert_eq!(name(&last, 9).as_deref(), Some("web"));
        std::fs::write(folder.path().join(NAMES_FILE), "{").unwrap();
        assert!(begin().nameless().is_some());
    }

    #[cfg(feature = "live")]
    #[test]
    fn a_capture_filter_travels_and_one_that_is_refused_changes_nothing() {
        let (filters, addresses) = (Filters::default(), SharedTargets::default());
        let told = Told::new(addresses.clone(), filters.clone());
        // Without its filter everything would pass.
        let refused = targets(None, Some("udp port"));
        for _ in 0..2 {
            told.retarget(&refused);
            assert!(told.waits().is_some());
        }
        told.retarget(&targets(Some(&TargetSet::default()), None));
        for _ in 0..2 {
            told.retarget(&refused);
            assert!(addresses.get().1.is_some());
        }
        let tell = |bpf: Option<&str>| told.retarget(&targets(None, bpf));
        for (bpf, in_force) in [
            (Some("udp"), "udp"),
            (Some("udp port"), "udp"),
            (Some("tcp"), "tcp"),
            (None, ""),
        ] {
            tell(bpf);
            assert_eq!(filters.in_force().as_deref(), Some(in_force), "{bpf:?}");
        }
        // A hub of an older version tells of none.
        let older = Targeted::read(json!({"set": null, "pods": {}})).unwrap();
        told.retarget(&Arc::new(older));
        assert_eq!(filters.in_force().as_deref(), Some(""));
    }
}
