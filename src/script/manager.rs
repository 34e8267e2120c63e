//! The manager: which version of which script runs.
//!
//! In: changes of the sources, events of children, orders, the time. Out: children started, swapped
//! and given up; due jobs and timers in live mode. Never: waiting for a child.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::behind::Behind;
use super::environment::Environment;
use super::folder::{
    Change, Folder, LOOK_EVERY, ScriptFile, Side, Watch, hub_index, number_of, role_of,
};
use super::jobs::Owner;
use super::restart::{Failures, Verdict};
use super::runner::{Counts, Desk, Event, Runner, Work, lock};
use super::supervisor::{Posted, ScriptState, Shared, Unsettled};
use super::wire::{ClockMode, Start, macros_of};
use crossbeam_channel::{Receiver, never, select};

/// Longest time between two looks at the children.
const TICK: Duration = Duration::from_millis(50);

/// Shortest time between two looks: what is due but cannot be taken must not keep a processor busy.
const SHORTEST: Duration = Duration::from_millis(1);

/// Events that are taken between two looks.
const MAX_AT_ONCE: usize = 1024;

/// How long children may take to end when everything stops.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// What callers order.
pub(crate) enum Order {
    /// Other values of `scripting.env`.
    SetEnv(Environment),
    /// Switch the script at a path on or off.
    Switch(PathBuf, bool),
    /// End.
    Stop,
}

/// One script over all its versions.
struct Slot {
    /// The version on disk.
    file: Arc<ScriptFile>,
    /// The last version that loaded.
    good: Option<Arc<ScriptFile>>,
    current: Option<Arc<Runner>>,
    loading: Option<Arc<Runner>>,
    failures: Failures,
    restart_at: Option<(Instant, String)>,
    quarantined: Option<String>,
    /// Why the newest version does not run.
    broken: Option<String>,
    restarts: u64,
    /// Why its process ended last before its time.
    stopped: Option<String>,
    counts: Arc<Counts>,
    behind: Behind,
}

impl Slot {
    fn new(file: ScriptFile) -> Slot {
        Slot {
            file: Arc::new(file),
            good: None,
            current: None,
            loading: None,
            failures: Failures::default(),
            restart_at: None,
            quarantined: None,
            broken: None,
            restarts: 0,
            stopped: None,
            counts: Arc::default(),
            behind: Behind::default(),
        }
    }

    /// The query that the version that runs states for its item hook.
    fn stated(&self) -> Option<String> {
        let query = self.current.as_ref()?.filter()?;
        Some(query.text().to_owned())
    }

    fn state(&self) -> ScriptState {
        if self.current.is_some() {
            ScriptState::Running
        } else if let Some(reason) = &self.quarantined {
            ScriptState::Quarantined(reason.clone())
        } else if let Some((_, reason)) = &self.restart_at {
            ScriptState::Restarting(reason.clone())
        } else if self.loading.is_some() {
            ScriptState::Loading
        } else {
            ScriptState::Broken(self.broken.clone().unwrap_or_default())
        }
    }
}

/// Keeps the scripts.
pub(crate) struct Manager {
    shared: Arc<Shared>,
    folder: Folder,
    watch: Option<Watch>,
    looked: Instant,
    slots: BTreeMap<u32, Slot>,
    /// Children whose end was not told yet, by number.
    alive: BTreeMap<u64, Arc<Runner>>,
}

impl Manager {
    /// Keeps the scripts of `folder`, followed by `watch`.
    pub(crate) fn new(shared: Arc<Shared>, folder: Folder, watch: Option<Watch>) -> Manager {
        Manager {
            shared,
            folder,
            watch,
            looked: Instant::now(),
            slots: BTreeMap::new(),
            alive: BTreeMap::new(),
        }
    }

    /// Runs until ordered to stop.
    pub(crate) fn run(mut self, events: &Receiver<Event>, orders: &Receiver<Order>) {
        self.look();
        self.post();
        loop {
            let changed = match &self.watch {
                Some(watch) => watch.events().clone(),
                None => never(),
            };
            select! {
                recv(events) -> event => {
                    if let Ok(event) = event {
                        self.happened(event);
                    }
                }
                recv(orders) -> order => match order {
                    Ok(Order::SetEnv(env)) => self.set_env(env),
                    Ok(Order::Switch(path, on)) => {
                        self.folder.switch(path, on);
                        self.look();
                    }
                    Ok(Order::Stop) | Err(_) => break,
                },
                recv(changed) -> _ => self.look(),
                default(self.pause()) => {}
            }
            // Not without end: a script that never stops asking must not keep the watchdog waiting.
            for event in events.try_iter().take(MAX_AT_ONCE) {
                self.happened(event);
            }
            self.tick();
            self.post();
        }
        self.stop(events);
    }

    /// How long nothing has to be done.
    fn pause(&self) -> Duration {
        let mut pause = TICK;
        if self.shared.options.clock_mode == ClockMode::Wall {
            let now = self.shared.clock.now();
            let timers = self
                .slots
                .values()
                .filter_map(|slot| slot.current.as_ref()?.timer());
            let due = timers.chain(lock(&self.shared.jobs).next_due()).min();
            if let Some(due) = due {
                pause = pause.min(due.since(now)).max(SHORTEST);
            }
        }
        pause
    }

    fn tick(&mut self) {
        for runner in self.alive.values() {
            if let Some(reason) = runner.overrun() {
                runner.kill(reason);
            }
        }
        if self.shared.options.clock_mode == ClockMode::Wall {
            let now = self.shared.clock.now();
            let due = lock(&self.shared.jobs).due(now);
            self.shared.fire(due);
            for runner in self.slots.values().filter_map(|slot| slot.current.as_ref()) {
                if let Some(at) = runner.timer().filter(|at| *at <= now)
                    && runner.hurry(Work::Tick(now))
                {
                    runner.clear_timer(at);
                }
            }
        }
        self.restart_due();
        self.say_drops();
        if self.watch.is_some() && self.looked.elapsed() >= LOOK_EVERY {
            self.look();
        }
    }

    fn restart_due(&mut self) {
        let now = Instant::now();
        let due: Vec<u32> = self
            .slots
            .iter()
            .filter(|(_, slot)| {
                slot.loading.is_none() && slot.restart_at.as_ref().is_some_and(|(at, _)| *at <= now)
            })
            .map(|(index, _)| *index)
            .collect();
        for index in due {
            let Some(slot) = self.slots.get_mut(&index) else {
                continue;
            };
            slot.restarts += 1;
            let file = slot.good.as_ref().unwrap_or(&slot.file).clone();
            self.load(index, file);
        }
    }

    fn say_drops(&mut self) {
        let now = self.shared.clock.now();
        for (index, slot) in &mut self.slots {
            let dropped = slot.counts.dropped.load(Ordering::Relaxed);
            if let Some(lost) = slot.behind.due(dropped, Instant::now()) {
                let line = format!(
                    "{lost} items were not told to this script because it was behind or not running, {dropped} in all"
                );
                self.shared.options.console.error(now, *index, &line);
            }
        }
    }

    /// Looks at the sources and follows what changed.
    fn look(&mut self) {
        self.looked = Instant::now();
        if let Some(watch) = &mut self.watch {
            watch.renew();
        }
        for change in self.folder.look() {
            match change {
                Change::Added(file) | Change::Changed(file) => self.changed(file),
                Change::Removed { index, .. } => {
                    self.remove(index);
                    self.remove(hub_index(index));
                }
                Change::Notice(text) => tracing::warn!("{text}"),
            }
        }
    }

    fn changed(&mut self, file: ScriptFile) {
        let side = self.shared.options.side;
        let at_hub = file.at_hub(self.shared.options.hub);
        let hub = hub_index(file.index);
        match at_hub.filter(|_| side != Side::Worker) {
            Some(file) => self.renew(file),
            // What does not work leaves the last good version alone, so the instance here goes when
            // the new version has loaded: see `take_over`.
            None if side == Side::Hub && self.slots.contains_key(&hub) => self.renew(ScriptFile {
                index: hub,
                ..file.clone()
            }),
            None => {}
        }
        if side != Side::Hub {
            self.renew(file);
        }
    }

    /// Takes the hub's instance of a script away when the version that took over has none.
    fn leave_hub(&mut self, file: &ScriptFile) {
        if file.at_hub(self.shared.options.hub).is_none() {
            self.remove(hub_index(file.index));
        }
    }

    /// Loads an instance of a script anew.
    fn renew(&mut self, file: ScriptFile) {
        let index = file.index;
        let file = match self.slots.get_mut(&index) {
            Some(slot) => {
                slot.file = Arc::new(file);
                slot.failures = Failures::default();
                slot.restart_at = None;
                slot.quarantined = None;
                Arc::clone(&slot.file)
            }
            None => {
                let slot = self.slots.entry(index).or_insert(Slot::new(file));
                Arc::clone(&slot.file)
            }
        };
        self.load(index, file);
    }

    fn remove(&mut self, index: u32) {
        let Some(slot) = self.slots.remove(&index) else {
            return;
        };
        {
            let mut routes = self.shared.routes_to_change();
            routes.retain(|runner| runner.owner.script != index);
            let mut jobs = lock(&self.shared.jobs);
            for runner in slot.current.iter().chain(&slot.loading) {
                jobs.drop_owner(runner.owner);
            }
        }
        if let Some(loading) = slot.loading {
            loading.kill("it was removed".into());
        }
        if let Some(current) = slot.current {
            current.retire();
        }
    }

    fn set_env(&mut self, env: Environment) {
        env.mask(&self.shared.options.console);
        *lock(&self.shared.env) = env;
        // Of two instances of a script one stands for both.
        let files: BTreeMap<u32, ScriptFile> = self
            .slots
            .values()
            .map(|slot| {
                let index = number_of(slot.file.index);
                let file = slot.file.as_ref().clone();
                (index, ScriptFile { index, ..file })
            })
            .collect();
        for file in files.into_values() {
            self.changed(file);
        }
    }

    /// Starts a child with a version; it takes over when it has loaded.
    fn load(&mut self, index: u32, file: Arc<ScriptFile>) {
        let Some(slot) = self.slots.get_mut(&index) else {
            return;
        };
        if let Some(before) = slot.loading.take() {
            lock(&self.shared.jobs).drop_owner(before.owner);
            before.kill("a newer version came".into());
        }
        let owner = Owner {
            script: index,
            child: self.shared.children.fetch_add(1, Ordering::Relaxed),
        };
        let options = &self.shared.options;
        let allowed = options.allowed(&file);
        let start = Start {
            path: file.path.display().to_string(),
            title: file.title.clone(),
            code: file.code.clone(),
            env: lock(&self.shared.env).of(&file),
            index,
            node: options.node.clone(),
            run: options.run,
            role: role_of(index),
            clock: options.clock_mode,
            now: self.shared.clock.now(),
            limits: allowed.limits,
            habits: options.habits,
            macros: macros_of(&options.schema),
        };
        let started = Runner::start(
            &options.program,
            start,
            owner,
            file,
            Arc::clone(&slot.counts),
            allowed.budgets,
            Arc::clone(&self.shared) as Arc<dyn Desk>,
        );
        match started {
            Ok(runner) => {
                slot.loading = Some(Arc::clone(&runner));
                self.alive.insert(owner.child, runner);
            }
            Err(error) => {
                let program = options.program.display().to_string();
                self.failed(index, format!("{program} cannot be started: {error}"));
            }
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Loaded(owner) => self.take_over(owner),
            Event::Broken(owner, message) => self.broken(owner, message),
            Event::Ended(owner, words) => self.ended(owner, words),
            Event::JobDone(firing, result) => {
                let again = self.shared.job_done(&firing, result);
                self.shared.fire(again.into_iter().collect());
            }
            Event::Wake => {}
        }
    }

    /// A version has loaded: route and jobs change in one step.
    fn take_over(&mut self, owner: Owner) {
        let Some(slot) = self.slots.get_mut(&owner.script) else {
            return;
        };
        let Some(runner) = slot.loading.take_if(|loading| loading.owner == owner) else {
            return;
        };
        let old = slot.current.replace(Arc::clone(&runner));
        let firings = {
            let mut routes = self.shared.routes_to_change();
            routes.retain(|other| other.owner.script != owner.script);
            let at = routes.partition_point(|other| other.owner.script < owner.script);
            routes.insert(at, Arc::clone(&runner));
            runner.active.store(true, Ordering::Release);
            let now = self.shared.clock.now();
            lock(&self.shared.jobs).activate(owner, now)
        };
        if let Some(old) = old {
            old.retire();
        }
        slot.restart_at = None;
        slot.quarantined = None;
        // A restart of the last good version does not make the newest one work.
        if runner.file.code == slot.file.code {
            slot.broken = None;
        }
        slot.good = Some(Arc::clone(&runner.file));
        self.shared.fire(firings);
        self.leave_hub(&runner.file);
    }

    /// A version cannot be run; what ran before goes on.
    fn broken(&mut self, owner: Owner, message: String) {
        let Some(slot) = self.slots.get_mut(&owner.script) else {
            return;
        };
        if slot
            .loading
            .take_if(|loading| loading.owner == owner)
            .is_none()
        {
            return;
        }
        lock(&self.shared.jobs).drop_owner(owner);
        slot.restart_at = None;
        let goes_on = if slot.current.is_some() {
            " (the last good version goes on)"
        } else {
            ""
        };
        let now = self.shared.clock.now();
        let line = format!("{message}{goes_on}");
        self.shared.options.console.error(now, owner.script, &line);
        slot.broken = Some(message);
    }

    fn ended(&mut self, owner: Owner, words: String) {
        self.alive.remove(&owner.child);
        let Some(slot) = self.slots.get_mut(&owner.script) else {
            return;
        };
        let was_loading = slot.loading.take_if(|one| one.owner == owner).is_some();
        let was_current = slot.current.take_if(|one| one.owner == owner).is_some();
        if !was_loading && !was_current {
            return;
        }
        {
            let mut routes = self.shared.routes_to_change();
            routes.retain(|runner| runner.owner != owner);
            lock(&self.shared.jobs).drop_owner(owner);
        }
        if was_loading && slot.current.is_some() {
            let path = slot.file.path.display();
            let line = format!("{path}: {words} (the last good version goes on)");
            let now = self.shared.clock.now();
            self.shared.options.console.error(now, owner.script, &line);
            slot.broken = Some(words);
            return;
        }
        self.failed(owner.script, words);
    }

    fn failed(&mut self, index: u32, words: String) {
        let Some(slot) = self.slots.get_mut(&index) else {
            return;
        };
        slot.stopped = Some(words.clone());
        let policy = &self.shared.options.restart;
        let now = Instant::now();
        let path = slot.file.path.display();
        let follows = match slot.failures.failed(policy, now) {
            Verdict::Restart(pause) => {
                slot.restart_at = Some((now + pause, words.clone()));
                format!("it starts again in {} s", pause.as_secs_f32())
            }
            Verdict::Quarantine => {
                slot.restart_at = None;
                slot.quarantined = Some(words.clone());
                "it failed too often and does not start again until it or its environment changes"
                    .to_owned()
            }
        };
        let line = format!("{path} was stopped: {words}; {follows}");
        let now = self.shared.clock.now();
        self.shared.options.console.error(now, index, &line);
    }

    /// Shows the states, and says whether all is settled.
    fn post(&self) {
        let options = &self.shared.options;
        let off = self.folder.inactive();
        let mut board = lock(&self.shared.board);
        board.retain(|index, _| self.slots.contains_key(index));
        for file in off {
            let posted = Posted {
                file: Arc::clone(file),
                state: ScriptState::Off,
                broken: None,
                kfl: None,
                restarts: 0,
                stopped: None,
                counts: Arc::default(),
                runner: None,
                allowed: options.allowed(file),
            };
            board.insert(file.index, posted);
        }
        let mut open = Unsettled {
            loading: 0,
            restarting: 0,
            retiring: 0,
        };
        let is_kept = |runner: &Arc<Runner>| {
            let mut kept = self
                .slots
                .values()
                .flat_map(|slot| slot.current.iter().chain(&slot.loading));
            kept.any(|one| Arc::ptr_eq(one, runner))
        };
        let alive = self.alive.values();
        open.retiring = alive.filter(|runner| !is_kept(runner)).count();
        for (index, slot) in &self.slots {
            let state = slot.state();
            if slot.current.is_none() {
                open.restarting += usize::from(slot.restart_at.is_some());
                open.loading += usize::from(slot.loading.is_some());
            }
            board.insert(
                *index,
                Posted {
                    file: Arc::clone(&slot.file),
                    state,
                    broken: slot.broken.clone(),
                    kfl: slot.stated(),
                    restarts: slot.restarts,
                    stopped: slot.stopped.clone(),
                    counts: Arc::clone(&slot.counts),
                    runner: slot.current.as_ref().or(slot.loading.as_ref()).cloned(),
                    allowed: options.allowed(&slot.file),
                },
            );
        }
        drop(board);
        self.shared.settle(open);
    }

    /// Ends all children: those that behave have a moment for what waits in their queues.
    fn stop(mut self, events: &Receiver<Event>) {
        self.shared.routes_to_change().clear();
        for runner in self.alive.values() {
            runner.retire();
        }
        self.slots.clear();
        let until = Instant::now() + STOP_WITHIN;
        while !self.alive.is_empty() {
            if Instant::now() >= until {
                for runner in self.alive.values() {
                    runner.kill("everything stops".into());
                }
            }
            if let Ok(Event::Ended(owner, _)) = events.recv_timeout(TICK) {
                self.alive.remove(&owner.child);
            }
            for runner in self.alive.values() {
                if let Some(reason) = runner.overrun() {
                    runner.kill(reason);
                }
            }
        }
        self.post();
    }
}
