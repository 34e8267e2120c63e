//! All scripts: loading, telling, watching, restarting, swapping.
//!
//! In: script sources, items and packets, the time. Out: children that are told, console lines,
//! states for people. Never: waiting for a script in live mode; a script that falls behind loses
//! items, counted and said.
//!
//! One thread, the manager, decides: it alone starts, swaps and gives up children, and it never
//! waits for one. What to tell goes to the [`Runner`]s by way of the routes, one for each script
//! that runs. A swap changes route and jobs under one lock: the old child has all up to item N in
//! its queue, the new one gets all from N + 1.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;
use serde_json::Value as Json;

use crate::item::flat;
use crate::kfl::{self, Query, Schema};
use crate::time::{Clock, Timestamp};

use super::console::Console;
use super::environment::Environment;
use super::folder::{Folder, HubInstances, Watch, number_of, role_of, without_comments};
use super::host::{Host, HostCall};
use super::jobs::{Firing, JobInfo, Jobs, Owner};
use super::manager::{Manager, Order};
use super::restart::RestartPolicy;
use super::runner::{Budgets, CallCount, Desk, Event, Offer, Runner, Work, lock};
use super::selection::{Records, Selections};
use super::wire::{ClockMode, Hook, Level, Limits, PacketSummary, Role, Small};

/// Events that wait for the manager.
const MAX_EVENTS: usize = 4096;

/// Timer runs that one step of packet time may make up for, per script.
const MAX_TIMER_STEPS: u32 = 3600;

/// How long a dashboard waits for `onItemQueried` of all scripts.
pub const QUERIED_WITHIN: Duration = Duration::from_millis(500);

/// All that scripts run under.
pub struct Options {
    /// The program that is started as `script-host`: this one, as a rule.
    pub program: PathBuf,
    /// Folders and files, in order.
    pub sources: Vec<PathBuf>,
    /// Titles or file stems of the scripts to run; empty means all.
    pub active: Vec<String>,
    /// Whether changes of the sources are followed.
    pub watch: bool,
    /// What scripts see as `env`.
    pub env: Environment,
    /// What the queries that scripts state are compiled against.
    pub schema: Schema,
    /// Which scripts have an instance at the hub.
    pub hub: HubInstances,
    /// Name of the node.
    pub node: String,
    /// The run: its Unix start second.
    pub run: u64,
    /// Packet time (offline runs) or wall clock (live).
    pub clock_mode: ClockMode,
    /// Whether telling waits for scripts that fall behind (offline runs) or drops (live).
    pub lossless: bool,
    /// What one child may use.
    pub limits: Limits,
    /// Time that calls may take.
    pub budgets: Budgets,
    /// What follows failures.
    pub restart: RestartPolicy,
    /// Where lines go.
    pub console: Arc<Console>,
}

impl Options {
    /// The defaults of live capture, without any script.
    ///
    /// # Errors
    /// When the system does not say which program this is.
    pub fn live(node: &str, run: u64, console: Arc<Console>) -> std::io::Result<Options> {
        Ok(Options {
            program: std::env::current_exe()?,
            sources: Vec::new(),
            active: Vec::new(),
            watch: true,
            env: Environment::default(),
            schema: Schema::empty(),
            hub: HubInstances::default(),
            node: node.to_owned(),
            run,
            clock_mode: ClockMode::Wall,
            lossless: false,
            limits: Limits::default(),
            budgets: Budgets::default(),
            restart: RestartPolicy::default(),
            console,
        })
    }

    /// The defaults of offline runs: packet time, nothing dropped, no watching.
    ///
    /// # Errors
    /// As [`Options::live`].
    pub fn offline(node: &str, run: u64, console: Arc<Console>) -> std::io::Result<Options> {
        Ok(Options {
            watch: false,
            clock_mode: ClockMode::Packet,
            lossless: true,
            ..Options::live(node, run, console)?
        })
    }
}

/// Why scripts cannot be hosted.
#[derive(Debug, thiserror::Error)]
pub enum ScriptsError {
    /// The manager's thread cannot be started.
    #[error("scripts cannot be hosted, no thread can be started: {0}")]
    Thread(std::io::Error),
}

/// What a script does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "camelCase")]
pub enum ScriptState {
    /// Its first version is being loaded.
    Loading,
    /// It is told what happens.
    Running,
    /// It failed and starts again after a pause.
    Restarting(String),
    /// It failed too often; it starts again when it or its environment changes.
    Quarantined(String),
    /// It cannot be run as it is.
    Broken(String),
}

/// A script as shown to people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScriptStatus {
    /// Stable index, the same for both of its instances.
    pub index: u32,
    /// Which instance.
    pub role: Role,
    /// Title.
    pub title: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What it does.
    #[serde(flatten)]
    pub state: ScriptState,
    /// Why the newest version does not run, while the last good one goes on.
    pub broken: Option<String>,
    /// Items told.
    pub told: u64,
    /// The query that it states for its item hook (`onItemCaptured.kfl`).
    pub kfl: Option<String>,
    /// Items not told because that query leaves them out.
    pub filtered: u64,
    /// Items not told because it fell behind or was not running.
    pub dropped: u64,
    /// Packets not told.
    pub packets_dropped: u64,
    /// How often it was started again after a failure.
    pub restarts: u64,
    /// Each kind of call.
    pub calls: Vec<CallCount>,
}

/// The scripts that run.
pub struct Scripts {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    manager: Option<JoinHandle<()>>,
}

/// What manager, children and callers share.
pub(crate) struct Shared {
    /// As given.
    pub options: Options,
    /// Does what scripts ask.
    pub host: Arc<dyn Host>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// All jobs.
    pub jobs: Mutex<Jobs>,
    /// Runners that took over, in index order; locked before `jobs`.
    routes: RwLock<Vec<Arc<Runner>>>,
    /// States for people, by index, kept by the manager.
    pub board: Mutex<BTreeMap<u32, Posted>>,
    /// Scripts that are loading or will be started again, and whoever waits for none.
    unsettled: Mutex<Unsettled>,
    settled: Condvar,
    events: Sender<Event>,
    /// Numbers of children.
    pub children: AtomicU64,
    /// What scripts see as `env` now.
    pub env: Mutex<Environment>,
}

/// What the manager shows of a script.
pub(crate) struct Posted {
    /// The version on disk.
    pub file: Arc<super::folder::ScriptFile>,
    /// What it does.
    pub state: ScriptState,
    /// Why the newest version does not run.
    pub broken: Option<String>,
    /// The query that it states for its item hook.
    pub kfl: Option<String>,
    /// Starts after failures.
    pub restarts: u64,
    /// Counts.
    pub counts: Arc<super::runner::Counts>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Unsettled {
    /// Scripts being loaded that have no version running.
    pub loading: usize,
    /// Scripts that wait for their restart.
    pub restarting: usize,
}

impl Scripts {
    /// Loads the scripts of `options` and keeps them running; returns when each has loaded, or
    /// cannot be.
    ///
    /// In packet mode `clock` should already show the time of the first packet.
    ///
    /// # Errors
    /// When no thread can be started. A script that cannot be run is no error: the console says so.
    pub fn start(
        options: Options,
        host: Arc<dyn Host>,
        clock: Arc<dyn Clock>,
    ) -> Result<Scripts, ScriptsError> {
        options.env.mask(&options.console);
        let (events, happened) = bounded(MAX_EVENTS);
        let (orders, ordered) = bounded(16);
        let shared = Arc::new(Shared {
            jobs: Mutex::new(Jobs::new(clock.now())),
            routes: RwLock::default(),
            board: Mutex::default(),
            unsettled: Mutex::new(Unsettled {
                // Until the manager has looked for the first time.
                loading: 1,
                restarting: 0,
            }),
            settled: Condvar::new(),
            events,
            children: AtomicU64::new(0),
            env: Mutex::new(options.env.clone()),
            options,
            host,
            clock,
        });
        let watch = shared
            .options
            .watch
            .then(|| Watch::new(&shared.options.sources));
        let folder = Folder::new(
            shared.options.sources.clone(),
            shared.options.active.clone(),
        );
        let manager = Manager::new(Arc::clone(&shared), folder, watch);
        let manager = std::thread::Builder::new()
            .name("scripts".into())
            .spawn(move || manager.run(&happened, &ordered))
            .map_err(ScriptsError::Thread)?;
        let scripts = Scripts {
            shared,
            orders,
            manager: Some(manager),
        };
        scripts.shared.wait(|open| open.loading == 0);
        Ok(scripts)
    }

    /// Tells the items of `batch` (flat records, back to back), of which there are `count` and the
    /// last has the number `last`. In packet mode, what came due before `now` runs first.
    ///
    /// Never waits in live mode; whole batches are dropped and counted for scripts that are behind.
    pub fn tell_items(&self, batch: &[u8], count: u32, last: u64, now: Timestamp) {
        self.advance(now);
        let readers = self.shared.readers(Hook::OnItemCaptured);
        if readers.is_empty() || count == 0 {
            self.shared.count_missed(count);
            return;
        }
        let records = Records {
            bytes: batch,
            count,
            last,
            now,
        };
        let mut selections = Selections::new(records, &readers, self.shared.clock.now());
        self.shared
            .give(Hook::OnItemCaptured, &readers, &mut |runner| {
                selections.counted(runner)
            });
        self.shared.count_missed(count);
    }

    /// Tells packets, of which the last has the ordinal `last`.
    pub fn tell_packets(&self, packets: &Arc<Vec<PacketSummary>>, last: u64, now: Timestamp) {
        self.advance(now);
        let readers = self.shared.readers(Hook::OnPacketCaptured);
        self.shared
            .give(Hook::OnPacketCaptured, &readers, &mut |_| {
                Some(Work::Packets(last, Arc::clone(packets)))
            });
    }

    /// Whether any script has `onItemCaptured`, so that items are worth encoding.
    pub fn wants_items(&self) -> bool {
        self.shared.wants(Hook::OnItemCaptured)
    }

    /// Whether any script has `onPacketCaptured`.
    pub fn wants_packets(&self) -> bool {
        self.shared.wants(Hook::OnPacketCaptured)
    }

    /// Whether any script has `onItemQueried`.
    pub fn wants_queried(&self) -> bool {
        self.shared.wants(Hook::OnItemQueried)
    }

    /// Asks `onItemQueried` of all scripts about one item; the last object returned counts.
    pub fn ask_queried(&self, record: &[u8], query: &str) -> Option<Json> {
        let readers = self.shared.readers(Hook::OnItemQueried);
        if readers.is_empty() {
            return None;
        }
        let until = Instant::now() + QUERIED_WITHIN;
        let (reply, answers) = bounded(readers.len());
        let record: Arc<[u8]> = Arc::from(record);
        let query: Arc<str> = Arc::from(query);
        for runner in &readers {
            runner.hurry(Work::Ask {
                record: Arc::clone(&record),
                query: Arc::clone(&query),
                reply: reply.clone(),
            });
        }
        drop(reply);
        let mut best: Option<(u32, Json)> = None;
        while let Ok((script, value)) = answers.recv_deadline(until) {
            if let Some(value) = value
                && best.as_ref().is_none_or(|(before, _)| *before <= script)
            {
                best = Some((script, value));
            }
        }
        best.map(|(_, value)| value)
    }

    /// Asks `onItemQueried` of all scripts about every item of `batch`, and forgets what they return:
    /// for scripts that note what they see. Scripts that are behind lose items, as with
    /// [`Scripts::tell_items`].
    pub fn query_all(&self, batch: &[u8]) {
        let readers = self.shared.readers(Hook::OnItemQueried);
        // Nobody waits for an answer.
        let (reply, _) = bounded(1);
        let query: Arc<str> = Arc::from("");
        for record in flat::records(batch) {
            let record: Arc<[u8]> = Arc::from(record.record());
            self.shared.give(Hook::OnItemQueried, &readers, &mut |_| {
                Some(Work::Ask {
                    record: Arc::clone(&record),
                    query: Arc::clone(&query),
                    reply: reply.clone(),
                })
            });
        }
    }

    /// In packet mode, runs the jobs and timers that came due up to `now`, in order.
    pub fn advance(&self, now: Timestamp) {
        if self.shared.options.lossless {
            self.shared
                .wait(|open| open.loading == 0 && open.restarting == 0);
        }
        if self.shared.options.clock_mode == ClockMode::Packet {
            self.run_timers(now);
            loop {
                let firing = lock(&self.shared.jobs).due_first(now);
                let Some(firing) = firing else { break };
                self.run_and_wait(firing);
            }
        }
    }

    fn run_timers(&self, now: Timestamp) {
        for runner in self.shared.all() {
            let mut steps = 0;
            while let Some(at) = runner.timer().filter(|at| *at <= now) {
                steps += 1;
                let at = if steps < MAX_TIMER_STEPS { at } else { now };
                runner.take_timer();
                let (reply, done) = bounded(1);
                if !runner.push(Work::Tick(at)) || !runner.push(Work::Barrier(reply)) {
                    break;
                }
                if done.recv().is_err() || steps >= MAX_TIMER_STEPS {
                    break;
                }
            }
        }
    }

    fn run_and_wait(&self, firing: Firing) {
        let mut next = Some(firing);
        while let Some(firing) = next.take() {
            let (reply, done) = bounded(1);
            let runner = self.shared.runner(firing.owner);
            let taken =
                runner.is_some_and(|runner| runner.push(Work::Job(firing.clone(), Some(reply))));
            let result = if taken {
                done.recv().unwrap_or_else(|_| Err(GONE.into()))
            } else {
                Err(GONE.into())
            };
            next = self.shared.job_done(&firing, result);
        }
    }

    /// Replaces what scripts see as `env`; every script is loaded again with it.
    pub fn set_env(&self, env: Environment) {
        let _ = self.orders.send(Order::SetEnv(env));
    }

    /// Tells `onPodEvent` of all scripts: `event` is `ADDED`, `MODIFIED` or `DELETED`, `pod` a pod as
    /// core/v1 has it.
    pub fn tell_pod(&self, event: &str, pod: &Json) {
        let small = Small::PodEvent {
            event: event.to_owned(),
            pod: pod.clone(),
        };
        self.shared.tell_all(Hook::OnPodEvent, &small);
    }

    /// Tells `onLogCall` of all scripts: `level` is `info`, `warning` or `error`, `msg` JSON text of a
    /// record of this program's own log.
    pub fn tell_log(&self, level: &str, msg: &str) {
        let small = Small::LogCall {
            level: level.to_owned(),
            msg: msg.to_owned(),
        };
        self.shared.tell_all(Hook::OnLogCall, &small);
    }

    /// Every instance of every script, workers first, in index order.
    pub fn status(&self) -> Vec<ScriptStatus> {
        lock(&self.shared.board)
            .iter()
            .map(|(index, posted)| ScriptStatus {
                index: number_of(*index),
                role: role_of(*index),
                title: posted.file.title.clone(),
                path: posted.file.path.clone(),
                state: posted.state.clone(),
                broken: posted.broken.clone(),
                told: posted.counts.told.load(Ordering::Relaxed),
                kfl: posted.kfl.clone(),
                filtered: posted.counts.filtered.load(Ordering::Relaxed),
                dropped: posted.counts.dropped.load(Ordering::Relaxed),
                packets_dropped: posted.counts.packets_dropped.load(Ordering::Relaxed),
                restarts: posted.restarts,
                calls: posted.counts.calls(),
            })
            .collect()
    }

    /// The console of all scripts.
    pub fn console(&self) -> &Arc<Console> {
        &self.shared.options.console
    }

    /// Every job.
    pub fn jobs(&self) -> Vec<JobInfo> {
        lock(&self.shared.jobs).infos()
    }

    /// Runs all jobs with the tag now.
    ///
    /// # Errors
    /// A sentence when there is none.
    pub fn run_job(&self, tag: &str) -> Result<(), String> {
        let now = self.shared.clock.now();
        let run = lock(&self.shared.jobs).run(tag, None, now);
        let (_, firings) = run.map_err(|error| error.to_string())?;
        self.shared.fire(firings);
        Ok(())
    }

    /// A script that records on its own in the way of 2023 (it reads `RECORDING_KFL` and copies or
    /// merges savefiles), so that the core does not record the same twice; `None` without one, or
    /// when it does not run.
    pub fn foreign_recorder(&self) -> Option<String> {
        let reads = |code: &str| {
            let code = without_comments(code);
            code.contains("RECORDING_KFL")
                && (code.contains("pcap.path") || code.contains("pcap.snapshot"))
        };
        lock(&self.shared.board)
            .values()
            .find(|posted| {
                !matches!(
                    posted.state,
                    ScriptState::Broken(_) | ScriptState::Quarantined(_)
                ) && reads(&posted.file.code)
            })
            .map(|posted| posted.file.path.display().to_string())
    }

    /// Waits until scripts have done all they were told, and runs every job once more if asked to.
    /// They stop when this is dropped.
    pub fn finish(&self, run_jobs_at_end: bool) {
        self.drain();
        if run_jobs_at_end {
            let now = self.shared.clock.now();
            let (_, firings) = lock(&self.shared.jobs).run_all(None, now);
            for firing in firings {
                self.run_and_wait(firing);
            }
            self.drain();
        }
    }

    /// Waits until every script has done what it was told so far, and the hub what it was sent for it.
    pub fn drain(&self) {
        self.drain_once();
        let at_hub = |runner: &Arc<Runner>| runner.id.role == Role::Hub;
        if self.shared.routes().iter().any(at_hub) {
            self.drain_once();
        }
    }

    fn drain_once(&self) {
        self.shared
            .wait(|open| open.loading == 0 && open.restarting == 0);
        let waiting: Vec<Receiver<()>> = self
            .shared
            .all()
            .iter()
            .filter_map(|runner| {
                let (reply, done) = bounded(1);
                runner.push(Work::Barrier(reply)).then_some(done)
            })
            .collect();
        for done in waiting {
            // An error means that the child is gone: the watchdog ends what does not return.
            let _ = done.recv();
        }
    }
}

/// How much work tells, to be counted when nobody takes it.
#[derive(Clone, Copy)]
struct Size {
    items: u64,
    packets: u64,
}

impl Size {
    fn of(work: &Work) -> Size {
        match work {
            Work::Items(_, count, _) => Size {
                items: (*count).into(),
                packets: 0,
            },
            Work::Packets(_, packets) => Size {
                items: 0,
                packets: packets.len() as u64,
            },
            Work::Ask { .. } => Size {
                items: 1,
                packets: 0,
            },
            _ => Size {
                items: 0,
                packets: 0,
            },
        }
    }

    fn count_dropped(self, runner: &Runner) {
        let counts = &runner.counts;
        counts.dropped.fetch_add(self.items, Ordering::Relaxed);
        let packets = &counts.packets_dropped;
        packets.fetch_add(self.packets, Ordering::Relaxed);
    }
}

/// Why a job of a child that is not there failed.
const GONE: &str = "the script's process ended";

impl Drop for Scripts {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(manager) = self.manager.take() {
            let _ = manager.join();
        }
    }
}

impl Shared {
    /// The runners that took over.
    pub(crate) fn routes(&self) -> RwLockReadGuard<'_, Vec<Arc<Runner>>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runners that took over, without holding the lock: whoever waits for one must not.
    fn all(&self) -> Vec<Arc<Runner>> {
        self.routes().clone()
    }

    /// The runners that took over, to be changed.
    pub(crate) fn routes_to_change(&self) -> RwLockWriteGuard<'_, Vec<Arc<Runner>>> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn runner(&self, owner: Owner) -> Option<Arc<Runner>> {
        let routes = self.routes();
        routes.iter().find(|runner| runner.owner == owner).cloned()
    }

    fn wants(&self, hook: Hook) -> bool {
        self.routes().iter().any(|runner| runner.has(hook))
    }

    fn readers(&self, hook: Hook) -> Vec<Arc<Runner>> {
        let routes = self.routes();
        routes
            .iter()
            .filter(|runner| runner.has(hook))
            .cloned()
            .collect()
    }

    /// Gives work to each of `readers`, or to what took the place of one meanwhile.
    /// There may be nothing to tell one of them.
    fn give(
        &self,
        hook: Hook,
        readers: &[Arc<Runner>],
        work: &mut dyn FnMut(&Runner) -> Option<Work>,
    ) {
        for runner in readers {
            let mut to = Arc::clone(runner);
            let Some(mut told) = work(&to) else { continue };
            loop {
                let size = Size::of(&told);
                let taken = if self.options.lossless {
                    to.push(told)
                } else {
                    match to.offer(told) {
                        Offer::Taken => true,
                        Offer::Full => {
                            size.count_dropped(&to);
                            true
                        }
                        Offer::Retired => false,
                    }
                };
                if taken {
                    break;
                }
                let routes = self.routes();
                let newer = routes.iter().find(|newer| {
                    newer.owner.script == to.owner.script
                        && newer.owner.child > to.owner.child
                        && newer.has(hook)
                });
                match newer {
                    Some(newer) => {
                        let newer = Arc::clone(newer);
                        drop(routes);
                        to = newer;
                        match work(&to) {
                            Some(work) => told = work,
                            None => break,
                        }
                    }
                    None => {
                        size.count_dropped(&to);
                        break;
                    }
                }
            }
        }
    }

    /// Counts items that scripts miss because they are being started again.
    fn count_missed(&self, count: u32) {
        for posted in lock(&self.board).values() {
            if matches!(posted.state, ScriptState::Restarting(_)) {
                let dropped = &posted.counts.dropped;
                dropped.fetch_add(count.into(), Ordering::Relaxed);
            }
        }
    }

    /// Says how many scripts are not settled.
    pub(crate) fn settle(&self, open: Unsettled) {
        *lock(&self.unsettled) = open;
        self.settled.notify_all();
    }

    fn wait(&self, enough: impl Fn(Unsettled) -> bool) {
        let mut open = lock(&self.unsettled);
        while !enough(*open) {
            open = self
                .settled
                .wait(open)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends runs of jobs to their children.
    pub(crate) fn fire(&self, firings: Vec<Firing>) {
        let mut waiting = firings;
        while let Some(firing) = waiting.pop() {
            let runner = self.runner(firing.owner);
            let taken = runner.is_some_and(|runner| runner.hurry(Work::Job(firing.clone(), None)));
            if !taken {
                let now = self.clock.now();
                waiting.extend(lock(&self.jobs).finished(firing.job, now));
            }
        }
    }

    /// A run ended: tells all scripts, and answers a run that came due meanwhile.
    pub(crate) fn job_done(&self, firing: &Firing, result: Result<(), String>) -> Option<Firing> {
        let again = {
            let mut jobs = lock(&self.jobs);
            jobs.finished(firing.job, self.clock.now())
        };
        self.forget_tasks();
        let hook = match &result {
            Ok(()) => Hook::OnJobPassed,
            Err(_) => Hook::OnJobFailed,
        };
        let ended = Small::JobEnded {
            tag: firing.tag.clone(),
            cron: firing.cron.clone(),
            limit: firing.limit,
            err: result.err(),
        };
        self.tell_all(hook, &ended);
        again
    }

    /// Tells a hook of all instances that have it; answers how many were too busy to take it.
    fn tell_all(&self, hook: Hook, small: &Small) -> usize {
        self.readers(hook)
            .iter()
            .filter(|runner| !runner.hurry(Work::Told(hook, small.clone())))
            .count()
    }

    /// `hub.action`: a copy for every script at the hub.
    fn hub_action(&self, action: String, object: Json) -> Result<Json, String> {
        let small = Small::HubAction { action, object };
        match self.tell_all(Hook::OnHubAction, &small) {
            0 => Ok(Json::Null),
            busy => Err(format!(
                "{busy} scripts at the hub are behind, the action did not reach them"
            )),
        }
    }

    /// Lets children drop the functions of jobs that are gone.
    pub(crate) fn forget_tasks(&self) {
        let forgotten = lock(&self.jobs).take_forgotten();
        for (owner, task) in forgotten {
            if let Some(runner) = self.runner(owner) {
                runner.hurry(Work::Forget(task));
            }
        }
    }

    fn job_call(&self, runner: &Runner, call: &HostCall) -> Result<Json, String> {
        let now = self.clock.now();
        let owner = runner.owner;
        let script = owner.script;
        let active = runner.active.load(Ordering::Acquire);
        let mut jobs = lock(&self.jobs);
        let mut firings = Vec::new();
        let mut answer = Json::Null;
        let line = match call {
            HostCall::JobsSchedule {
                tag,
                cron,
                limit,
                task,
            } => jobs
                .schedule(owner, active, tag, cron, *limit, *task)
                .map(Some),
            HostCall::JobsRemove { tag } => jobs.remove(tag).map(Some),
            HostCall::JobsRemoveAll => Ok(Some(jobs.remove_all().to_owned())),
            HostCall::JobsList => {
                answer = jobs.list(owner).into();
                Ok(None)
            }
            HostCall::JobsRun { tag } => jobs.run(tag, Some(owner), now).map(|(line, due)| {
                firings = due;
                Some(line)
            }),
            HostCall::JobsRunAll => {
                let (line, due) = jobs.run_all(Some(owner), now);
                firings = due;
                Ok(Some(line.to_owned()))
            }
            HostCall::SchedulerIsRunning => {
                answer = jobs.is_running().into();
                Ok(None)
            }
            HostCall::SchedulerStart => {
                jobs.start(now);
                Ok(None)
            }
            HostCall::SchedulerStop => {
                jobs.stop();
                Ok(None)
            }
            _ => Ok(None),
        };
        drop(jobs);
        if let Some(line) = line.map_err(|error| error.to_string())? {
            self.options.console.log(now, script, &line);
        }
        self.fire(firings);
        self.forget_tasks();
        self.event(Event::Wake);
        Ok(answer)
    }
}

impl Desk for Shared {
    fn call(&self, runner: &Runner, call: HostCall) -> Result<Json, String> {
        match call {
            HostCall::JobsSchedule { .. }
            | HostCall::JobsRemove { .. }
            | HostCall::JobsRemoveAll
            | HostCall::JobsList
            | HostCall::JobsRun { .. }
            | HostCall::JobsRunAll
            | HostCall::SchedulerIsRunning
            | HostCall::SchedulerStart
            | HostCall::SchedulerStop => self.job_call(runner, &call),
            HostCall::HubAction { action, object } => self.hub_action(action, object),
            other => self.host.call(&runner.id, other),
        }
    }

    fn line(&self, runner: &Runner, level: Level, text: &str) {
        let now = self.clock.now();
        let console = &self.options.console;
        match level {
            Level::Log => console.log(now, runner.owner.script, text),
            Level::Error => console.error(now, runner.owner.script, text),
            Level::Clear => console.clear(),
        }
    }

    fn event(&self, event: Event) {
        // An error means that the manager has ended.
        let _ = self.events.send(event);
    }

    fn compile(&self, query: &str) -> Option<Query> {
        kfl::compile(query, &self.options.schema).ok()
    }
}
