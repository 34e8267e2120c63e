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

mod desk;
mod options;
mod shared;
mod status;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Value as Json, json};

use crate::item::flat;
use crate::time::{Clock, Timestamp};

use super::console::{Console, Line};
use super::environment::Environment;
use super::folder::{Folder, Watch, number_of, without_comments};
use super::host::Host;
use super::jobs::{Firing, JobInfo, JobsAct, Owner};
use super::manager::{Manager, Order};
use super::runner::{Event, Runner, Work, lock};
use super::selection::{Records, Selections};
use super::wire::{ClockMode, Hook, PacketSummary, Role, Small};

pub use self::options::{Allowed, Options, Own, ScriptsError};
pub(crate) use self::shared::{Shared, Unsettled};
pub(crate) use self::status::Posted;
pub use self::status::{CallStatus, ScriptState, ScriptStatus};

/// Events that wait for the manager.
const MAX_EVENTS: usize = 4096;

/// Timer runs that one step of packet time may make up for, per script.
const MAX_TIMER_STEPS: u32 = 3600;

/// Runs of one job that follow each other at once in packet time because it was triggered while it
/// ran: a job that triggers itself must not hold up a run for ever.
const MAX_RERUNS: u32 = 100;

/// How long the end waits for threads that are still in a helper.
const LET_GO_WITHIN: Duration = Duration::from_secs(1);

/// How long a dashboard waits for `onItemQueried` of all scripts.
pub const QUERIED_WITHIN: Duration = Duration::from_millis(500);

/// A script was asked and has not answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered;

/// The scripts that run.
pub struct Scripts {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    manager: Option<JoinHandle<()>>,
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
        let shared = Arc::new(Shared::new(options, host, clock, events));
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
        self.asked(record, query).0
    }

    /// The same for whoever must not show an item that a script would have altered.
    ///
    /// # Errors
    /// When a script has not answered within [`QUERIED_WITHIN`].
    pub fn ask_each_queried(&self, record: &[u8], query: &str) -> Result<Option<Json>, Unanswered> {
        match self.asked(record, query) {
            (answer, 0) => Ok(answer),
            _ => Err(Unanswered),
        }
    }

    /// The answer, and how many scripts have not answered.
    fn asked(&self, record: &[u8], query: &str) -> (Option<Json>, usize) {
        let readers = self.shared.readers(Hook::OnItemQueried);
        if readers.is_empty() {
            return (None, 0);
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
        let mut missing = readers.len();
        let mut best: Option<(u32, Json)> = None;
        while let Ok((script, value)) = answers.recv_deadline(until) {
            missing = missing.saturating_sub(1);
            if let Some(value) = value
                && best.as_ref().is_none_or(|(before, _)| *before <= script)
            {
                best = Some((script, value));
            }
        }
        (best.map(|(_, value)| value), missing)
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
            let mut steps = BTreeMap::new();
            loop {
                let timer = self.next_timer(now, &steps);
                let until = timer.as_ref().map_or(now, |(at, _)| *at);
                let firing = lock(&self.shared.jobs).due_first(until, now);
                match (firing, timer) {
                    (Some(firing), _) => self.run_and_wait(firing),
                    (None, Some((at, runner))) => {
                        let steps = steps.entry(runner.owner).or_insert(0);
                        *steps += 1;
                        let at = if *steps < MAX_TIMER_STEPS { at } else { now };
                        self.tick(&runner, at);
                    }
                    (None, None) => break,
                }
            }
        }
    }

    /// The timer that is due first up to `now`, of those who had fewer than [`MAX_TIMER_STEPS`].
    fn next_timer(
        &self,
        now: Timestamp,
        steps: &BTreeMap<Owner, u32>,
    ) -> Option<(Timestamp, Arc<Runner>)> {
        let is_due = |runner: &Arc<Runner>| {
            let had = steps.get(&runner.owner).copied().unwrap_or_default();
            runner
                .timer()
                .filter(|at| *at <= now && had < MAX_TIMER_STEPS)
        };
        let routes = self.shared.routes();
        let due = routes
            .iter()
            .filter_map(|runner| Some((is_due(runner)?, Arc::clone(runner))));
        due.min_by_key(|(at, _)| *at)
    }

    fn tick(&self, runner: &Runner, at: Timestamp) {
        runner.take_timer();
        let (reply, done) = bounded(1);
        if runner.push(Work::Tick(at)) && runner.push(Work::Barrier(reply)) {
            // An error means that the child is gone, and its timers with it.
            let _ = done.recv();
        }
    }

    fn run_and_wait(&self, firing: Firing) {
        let mut next = Some(firing);
        for _ in 0..MAX_RERUNS {
            let Some(firing) = next.take() else { return };
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
        if let Some(firing) = next {
            let now = self.shared.clock.now();
            lock(&self.shared.jobs).finished(firing.job, now);
            let line = format!(
                "the job \"{}\" triggers itself without end; it waits for its schedule again",
                firing.tag
            );
            let console = &self.shared.options.console;
            console.error(now, firing.owner.script, &line);
        }
    }

    /// Replaces what scripts see as `env`; every script is loaded again with it.
    pub fn set_env(&self, env: Environment) {
        let _ = self.orders.send(Order::SetEnv(env));
    }

    /// Tells `onHubAction` of all scripts at the hub, as `hub.action` of a script here does.
    ///
    /// # Errors
    /// One sentence when it is too large, or scripts are behind.
    pub fn tell_action(&self, action: &str, object: Json) -> Result<(), String> {
        let told = self.shared.hub_action(action.to_owned(), object);
        told.map(|_| ())
    }

    /// Switches a script on or off until the end of the run, whatever the configuration says.
    ///
    /// # Errors
    /// A sentence when there is none with this path.
    pub fn switch(&self, path: &Path, on: bool) -> Result<(), String> {
        let known = self.status().into_iter().any(|script| script.path == *path);
        if !known {
            return Err(format!("no script {} runs here", path.display()));
        }
        let _ = self.orders.send(Order::Switch(path.to_owned(), on));
        Ok(())
    }

    /// Tells `onPodEvent` of all scripts: `event` is `ADDED`, `MODIFIED` or `DELETED`, `pod` a pod as
    /// core/v1 has it.
    pub fn tell_pod(&self, event: &str, pod: &Json) {
        let small = Small::PodEvent {
            event: event.to_owned(),
            pod: pod.clone(),
        };
        self.shared.tell_all(Hook::OnPodEvent, small);
    }

    /// Tells `onLogCall` of all scripts: `level` is `info`, `warning` or `error`, `msg` JSON text of a
    /// record of this program's own log.
    pub fn tell_log(&self, level: &str, msg: &str) {
        let small = Small::LogCall {
            level: level.to_owned(),
            msg: msg.to_owned(),
        };
        self.shared.tell_all(Hook::OnLogCall, small);
    }

    /// Every instance of every script, workers first, in index order; those that are switched off
    /// too.
    pub fn status(&self) -> Vec<ScriptStatus> {
        lock(&self.shared.board)
            .iter()
            .map(|(index, posted)| posted.status(*index))
            .collect()
    }

    /// How many scripts are in each state, what they lost and how often they were started again.
    pub fn summary(&self) -> Json {
        status::summary(&self.status())
    }

    /// The console of all scripts.
    pub fn console(&self) -> &Arc<Console> {
        &self.shared.options.console
    }

    /// Every job.
    pub fn jobs(&self) -> Vec<JobInfo> {
        lock(&self.shared.jobs).infos()
    }

    /// Every job for people.
    ///
    /// ```text
    /// [{"script","tag","cron","limit","runs","last","next","running"}]
    /// ```
    pub fn jobs_json(&self) -> Json {
        let one = |job: JobInfo| {
            json!({
                "script": job.script, "tag": job.tag, "cron": job.cron, "limit": job.limit, "runs": job.runs,
                "last": job.last.map(|at| at.to_string()), "next": job.next.map(|at| at.to_string()),
                "running": job.running,
            })
        };
        self.jobs().into_iter().map(one).collect()
    }

    /// The lines of the console behind the one numbered `after`, from 1, with the script of each.
    ///
    /// ```text
    /// [{"n","at","error","text","title","file"}]
    /// ```
    pub fn console_lines(&self, after: u64) -> Json {
        let lines = self.console().since(after);
        if lines.is_empty() {
            return json!([]);
        }
        let titles: HashMap<u32, (String, String)> = self
            .status()
            .into_iter()
            .map(|script| {
                let file = script.path.file_name().unwrap_or_default();
                (
                    script.index,
                    (script.title, file.to_string_lossy().into_owned()),
                )
            })
            .collect();
        let one = |line: Line| {
            let (title, file) = titles
                .get(&number_of(line.script))
                .cloned()
                .unwrap_or_default();
            json!({"n": line.number + 1, "at": line.at.to_string(), "error": line.error, "text": line.text, "title": title, "file": file})
        };
        lines.into_iter().map(one).collect()
    }

    /// Runs all jobs with the tag now.
    ///
    /// # Errors
    /// A sentence when there is none.
    pub fn run_job(&self, tag: &str) -> Result<(), String> {
        self.jobs_do(&JobsAct::Run(tag.to_owned()))
    }

    /// Does something about jobs, as a script does with the helper of that name.
    ///
    /// # Errors
    /// A sentence when no job has the tag.
    pub fn jobs_do(&self, act: &JobsAct) -> Result<(), String> {
        let now = self.shared.clock.now();
        let firings = {
            let mut jobs = lock(&self.shared.jobs);
            match act {
                JobsAct::Run(tag) => jobs.run(tag, None, now).map(|(_, firings)| firings),
                JobsAct::RunAll => Ok(jobs.run_all(None, now).1),
                JobsAct::Remove(tag) => jobs.remove(tag).map(|_| Vec::new()),
                JobsAct::RemoveAll => {
                    jobs.remove_all();
                    Ok(Vec::new())
                }
                JobsAct::Start => {
                    jobs.start(now);
                    Ok(Vec::new())
                }
                JobsAct::Stop => {
                    jobs.stop();
                    Ok(Vec::new())
                }
            }
        };
        self.shared
            .fire(firings.map_err(|error| error.to_string())?);
        self.shared.forget_tasks();
        // An error means that the manager has ended.
        let _ = self.shared.events.send(Event::Wake);
        Ok(())
    }

    /// Whether the scheduler runs.
    pub fn jobs_run(&self) -> bool {
        lock(&self.shared.jobs).is_running()
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
                    ScriptState::Broken(_) | ScriptState::Quarantined(_) | ScriptState::Off
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
        loop {
            self.shared
                .wait(|open| open.loading == 0 && open.restarting == 0 && open.retiring == 0);
            let runners = self.shared.all();
            let waiting: Vec<Option<Receiver<()>>> = runners
                .iter()
                .map(|runner| {
                    let (reply, done) = bounded(1);
                    runner.push(Work::Barrier(reply)).then_some(done)
                })
                .collect();
            // Without an answer the child is gone: the watchdog ends what does not return.
            let is_gone = |done: Option<Receiver<()>>| done.is_none_or(|done| done.recv().is_err());
            let gone: Vec<Owner> = runners
                .iter()
                .zip(waiting)
                .filter_map(|(runner, done)| is_gone(done).then_some(runner.owner))
                .collect();
            if gone.is_empty() {
                return;
            }
            // What starts again in its place, or why nothing does, is not known before.
            self.shared.wait(|_| {
                gone.iter()
                    .all(|owner| self.shared.runner(*owner).is_none())
            });
        }
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
        // The threads of a child let go a moment after its end was told: the host must be free for
        // whoever drops it next, since it writes its last points then.
        let until = Instant::now() + LET_GO_WITHIN;
        while Arc::strong_count(&self.shared) > 1 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
