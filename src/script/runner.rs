//! One version of one script: its child process and all that is said to it, one thing at a time.
//!
//! In: [`Work`] from bounded queues. Out: calls of the [`Host`](super::host::Host), console lines,
//! [`Event`]s for the supervisor. Never: a decision about restarts.
//!
//! Two threads serve a child. The driver takes work, says it, and waits until the child answers;
//! the reader takes what the child says and does its host calls. The supervisor looks at
//! [`Runner::overrun`] now and then and kills a child whose call does not return.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select, select_biased};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::time::Timestamp;

use super::console::cut;
use super::folder::ScriptFile;
use super::host::{HostCall, ScriptId};
use super::jobs::{Firing, Owner};
use super::process::Process;
use super::times::Times;
use super::wire::{
    self, Batch, FromChild, Hook, Level, PacketSummary, Small, Spent, Start, ToChild, ToParent,
    WireError,
};

/// Batches that wait for one script.
const MAX_BATCHES: usize = 256;

/// Bytes of the batches that wait for one script.
const MAX_QUEUED_BYTES: usize = 32 << 20;

/// Jobs, questions and ticks that wait for one script; they overtake batches.
const MAX_URGENT: usize = 1024;

/// Bytes of the questions, and of what is told, that wait for one script.
const MAX_URGENT_BYTES: usize = 8 << 20;

/// Urgent work that is done one after the other while batches wait; then one of these has its turn:
/// no flood of jobs keeps a script from its items.
const MAX_IN_A_ROW: u32 = 64;

/// Bytes of the text of one fault: it is printed, kept, and told to other scripts.
const MAX_FAULT: usize = 8 << 10;

/// Answers of a child that wait for its driver, which asks one thing at a time.
const MAX_BACK: usize = 4;

/// How long a child that was told to stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// A call may take this many times its budget by the wall clock: on a busy machine a script waits
/// for a processor, and that is not its fault.
const WALL_FACTOR: u32 = 10;

/// Time that calls may take: of the processor, without the host calls in them, but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Budgets {
    /// One call of a hook or timer.
    #[serde(rename = "hookMillis", serialize_with = "millis")]
    pub hook: Duration,
    /// One run of a job.
    #[serde(rename = "jobMillis", serialize_with = "millis")]
    pub job: Duration,
    /// The top level of a script.
    #[serde(rename = "loadMillis", serialize_with = "millis")]
    pub load: Duration,
    /// Within helpers, by the wall clock, in any one of these.
    #[serde(rename = "helperMillis", serialize_with = "millis")]
    pub host: Duration,
}

fn millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Default for Budgets {
    fn default() -> Budgets {
        Budgets {
            // A thousand times what a hook usually takes.
            hook: Duration::from_secs(1),
            job: Duration::from_secs(60),
            load: Duration::from_secs(5),
            // Uploads of large files through slow lines.
            host: Duration::from_secs(600),
        }
    }
}

/// Something for a child to do.
pub(crate) enum Work {
    /// Items; how many, and their bytes.
    Items(Batch, u32, usize),
    /// Packets.
    Packets(u64, Arc<Vec<PacketSummary>>),
    /// A job ended, something was sent to the hub, or a pod changed; the hook that is told, what it
    /// is told, and the bytes of that.
    Told(Hook, Arc<Small>, usize),
    /// Timers are due.
    Tick(Timestamp),
    /// Runs a job; whoever waits for it gets its result, else the supervisor does.
    Job(Firing, Option<Sender<Result<(), String>>>),
    /// A function is not needed any more.
    Forget(u64),
    /// Asks `onItemQueried`.
    Ask {
        /// The item.
        record: Arc<[u8]>,
        /// The client's query.
        query: Arc<str>,
        /// Gets what the hook returned.
        reply: Sender<(u32, Option<Json>)>,
    },
    /// Says when everything before it is done.
    Barrier(Sender<()>),
}

/// What happened to a child.
#[derive(Debug)]
pub(crate) enum Event {
    /// Its top level completed.
    Loaded(Owner),
    /// Its script cannot be run.
    Broken(Owner, String),
    /// Its process is gone, and how.
    Ended(Owner, String),
    /// A run of a job ended.
    JobDone(Firing, Result<(), String>),
    /// A timer or a job changed.
    Wake,
}

/// Who serves the calls of a child that are not its own business.
pub(crate) trait Desk: Send + Sync {
    /// Does a host call.
    fn call(&self, runner: &Runner, call: HostCall) -> Result<Json, String>;
    /// Takes sentences about what the system does not limit.
    fn missing(&self, sentences: Vec<String>);
    /// Prints a line.
    fn line(&self, runner: &Runner, level: Level, text: &str);
    /// Takes an event.
    fn event(&self, event: Event);
}

/// What one kind of call came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CallCount {
    /// Hook, `job`, `timer` or `load`.
    pub name: &'static str,
    /// Calls.
    pub calls: u64,
    /// Calls that ended in an exception.
    pub errors: u64,
    /// Time within them, in nanoseconds, host calls left out.
    pub nanos: u64,
    /// The same, call by call.
    pub times: Times,
}

/// Counts of one script over all its versions.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Items told.
    pub told: AtomicU64,
    /// Items not told because the script fell behind or was not running.
    pub dropped: AtomicU64,
    /// Packets not told.
    pub packets_dropped: AtomicU64,
    calls: Mutex<Vec<CallCount>>,
}

impl Counts {
    /// Each kind of call.
    pub(crate) fn calls(&self) -> Vec<CallCount> {
        lock(&self.calls).clone()
    }

    fn spent(&self, name: &'static str, spent: &Spent) {
        let mut calls = lock(&self.calls);
        let position = calls.iter().position(|count| count.name == name);
        let position = position.unwrap_or_else(|| {
            calls.push(CallCount {
                name,
                ..CallCount::default()
            });
            calls.len() - 1
        });
        if let Some(count) = calls.get_mut(position) {
            count.calls = count.calls.saturating_add(spent.calls);
            count.errors = count.errors.saturating_add(spent.errors);
            count.nanos = count.nanos.saturating_add(spent.nanos);
            count.times.add_all(&spent.times);
        }
    }
}

/// What a child does right now, or did when it died.
struct Call {
    what: String,
    budget: Duration,
    /// Start of the call, or of what came after the child's last sign of life.
    since: Instant,
    /// CPU time of the process when this was first looked at.
    cpu: Option<Duration>,
    /// Helper of the host call that is open, and since when.
    in_host: Option<(&'static str, Instant)>,
    /// Time within host calls that are over, and the helper of the last one.
    host: Duration,
    last_helper: &'static str,
}

/// Whether work was taken.
pub(crate) enum Offer {
    /// It waits in the queue.
    Taken,
    /// The queue is full.
    Full,
    /// The runner takes no more work.
    Retired,
}

/// One child and its queues.
pub(crate) struct Runner {
    /// Which script, which child.
    pub owner: Owner,
    /// The version that runs.
    pub file: Arc<ScriptFile>,
    /// For the host.
    pub id: ScriptId,
    /// Counts of the script.
    pub counts: Arc<Counts>,
    /// Whether it took over.
    pub active: AtomicBool,
    process: Process,
    socket: UnixStream,
    /// Held while a frame is written.
    writing: Mutex<()>,
    queue: Mutex<Option<Sender<Work>>>,
    urgent: Mutex<Option<Sender<Work>>>,
    queued_bytes: AtomicUsize,
    urgent_bytes: AtomicUsize,
    hooks: AtomicU8,
    timer: AtomicI64,
    call: Mutex<Option<Call>>,
    killed: Mutex<Option<String>>,
    budgets: Budgets,
}

impl Runner {
    /// Starts a child and has it load the script; events tell the rest.
    pub(crate) fn start(
        program: &Path,
        start: Start,
        owner: Owner,
        file: Arc<ScriptFile>,
        counts: Arc<Counts>,
        budgets: Budgets,
        desk: Arc<dyn Desk>,
    ) -> io::Result<Arc<Runner>> {
        let (process, socket) = Process::start(program)?;
        let reading = socket.try_clone()?;
        let (queue, work) = bounded(MAX_BATCHES);
        let (urgent, urgent_work) = bounded(MAX_URGENT);
        let (back, answers) = bounded(MAX_BACK);
        let runner = Arc::new(Runner {
            owner,
            id: ScriptId {
                index: owner.script,
                child: owner.child,
                title: file.title.clone(),
                path: file.path.clone(),
                role: start.role,
            },
            file,
            counts,
            active: AtomicBool::new(false),
            process,
            socket,
            writing: Mutex::new(()),
            queue: Mutex::new(Some(queue)),
            urgent: Mutex::new(Some(urgent)),
            queued_bytes: AtomicUsize::new(0),
            urgent_bytes: AtomicUsize::new(0),
            hooks: AtomicU8::new(0),
            timer: AtomicI64::new(i64::MAX),
            call: Mutex::new(None),
            killed: Mutex::new(None),
            budgets,
        });
        let (reader, reader_desk) = (Arc::clone(&runner), Arc::clone(&desk));
        thread::spawn(move || reader.read(reading, &back, reader_desk.as_ref()));
        let driver = Arc::clone(&runner);
        thread::spawn(move || {
            let mut work = Queues {
                queue: work,
                urgent: urgent_work,
                answers,
                question: 0,
                in_a_row: 0,
            };
            driver.drive(start, &mut work, desk.as_ref());
            driver.retire();
            driver.count_lost(&work);
            let words = driver.process.end(STOP_WITHIN);
            let words = match (lock(&driver.killed).clone(), lock(&driver.call).take()) {
                (Some(reason), _) => reason,
                (None, Some(call)) => format!("in {} {words}", call.what),
                (None, None) => words,
            };
            desk.event(Event::Ended(driver.owner, words));
        });
        Ok(runner)
    }

    /// Whether the script defines a hook.
    pub(crate) fn has(&self, hook: Hook) -> bool {
        self.hooks.load(Ordering::Relaxed) & bit(hook) != 0
    }

    /// When its earliest timer is due.
    pub(crate) fn timer(&self) -> Option<Timestamp> {
        match self.timer.load(Ordering::Relaxed) {
            i64::MAX => None,
            at => Some(Timestamp::from_nanos(at)),
        }
    }

    /// Forgets the timer at `at`, unless the child has named another one meanwhile.
    pub(crate) fn clear_timer(&self, at: Timestamp) {
        let (at, none) = (at.nanos(), i64::MAX);
        // An error means that there is another one.
        let _ = self
            .timer
            .compare_exchange(at, none, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Forgets the timer until the child names the next one.
    pub(crate) fn take_timer(&self) {
        self.timer.store(i64::MAX, Ordering::Relaxed);
    }

    /// Queues work behind all that waits, without waiting; what does not fit is not taken.
    pub(crate) fn offer(&self, work: Work) -> Offer {
        let bytes = bytes_of(&work);
        if self.queued_bytes.load(Ordering::Relaxed) + bytes > MAX_QUEUED_BYTES {
            return Offer::Full;
        }
        let queue = lock(&self.queue);
        let Some(queue) = queue.as_ref() else {
            return Offer::Retired;
        };
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        match queue.try_send(work) {
            Ok(()) => Offer::Taken,
            Err(error) => {
                self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                match error {
                    TrySendError::Full(_) => Offer::Full,
                    TrySendError::Disconnected(_) => Offer::Retired,
                }
            }
        }
    }

    /// Queues work behind all that waits, waiting for room; false when the runner takes no more.
    pub(crate) fn push(&self, work: Work) -> bool {
        let Some(queue) = lock(&self.queue).clone() else {
            return false;
        };
        let bytes = bytes_of(&work);
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        queue.send(work).is_ok()
    }

    /// Queues work in front of the batches, without waiting; false when it was not taken.
    pub(crate) fn hurry(&self, work: Work) -> bool {
        let bytes = urgent_bytes_of(&work);
        let waiting = self.urgent_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = waiting + bytes <= MAX_URGENT_BYTES;
        let urgent = lock(&self.urgent);
        let taken = fits
            && urgent
                .as_ref()
                .is_some_and(|urgent| urgent.try_send(work).is_ok());
        if !taken {
            self.urgent_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    /// Takes no more work; the child ends when it has done what waits.
    pub(crate) fn retire(&self) {
        lock(&self.queue).take();
        lock(&self.urgent).take();
    }

    /// Kills the child, with the reason to tell.
    pub(crate) fn kill(&self, reason: String) {
        lock(&self.killed).get_or_insert(reason);
        self.process.kill();
    }

    /// Bytes of memory that the child holds; `None` when the system does not tell.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.process.memory()
    }

    /// Says what does not return, when the present call is over its budget.
    pub(crate) fn overrun(&self) -> Option<String> {
        let mut call = lock(&self.call);
        let call = call.as_mut()?;
        let (helper, open) = match call.in_host {
            Some((helper, since)) => (helper, since.elapsed()),
            None => (call.last_helper, Duration::ZERO),
        };
        let cpu = self.process.cpu();
        let before = *call.cpu.get_or_insert(cpu.unwrap_or_default());
        if call.host + open >= self.budgets.host {
            let budget = self.budgets.host.as_secs_f32();
            return Some(format!(
                "{} spent more than {budget} s in helpers, the last one was {helper}",
                call.what
            ));
        }
        let wall = call.since.elapsed().saturating_sub(open);
        if wall < call.budget {
            return None;
        }
        let used = cpu.map_or(wall, |cpu| cpu.saturating_sub(before));
        // The first look comes a little after the start of the call.
        let slack = call.budget / 20;
        if used + slack >= call.budget {
            let budget = call.budget.as_secs_f32();
            return Some(format!(
                "{} took more than {budget} s of processor time",
                call.what
            ));
        }
        (wall >= call.budget * WALL_FACTOR).then(|| {
            let limit = (call.budget * WALL_FACTOR).as_secs_f32();
            format!("{} did not return within {limit} s", call.what)
        })
    }

    fn drive(&self, start: Start, queues: &mut Queues, desk: &dyn Desk) {
        self.begin("the top level".into(), self.budgets.load);
        if self.send(&ToChild::Start(Box::new(start))).is_err() {
            return;
        }
        let loaded = queues.answers.recv();
        if loaded.is_ok() {
            self.finish_call();
        }
        match loaded {
            // Timers that the top level set are known before the script takes over.
            Ok(Back::Ready) if self.drained(queues) => desk.event(Event::Loaded(self.owner)),
            Ok(Back::Failed(message)) => {
                desk.event(Event::Broken(self.owner, message));
                return;
            }
            Ok(Back::Ready) | Err(_) => return,
            Ok(_) => return self.kill("it answered what was not asked".into()),
        }
        while let Some(work) = queues.next() {
            self.queued_bytes
                .fetch_sub(bytes_of(&work), Ordering::Relaxed);
            self.urgent_bytes
                .fetch_sub(urgent_bytes_of(&work), Ordering::Relaxed);
            if !self.work(work, queues, desk) {
                return;
            }
        }
        let _ = self.send(&ToChild::Small(Small::Stop));
    }

    /// Does one piece of work; false when the child is gone.
    fn work(&self, work: Work, queues: &mut Queues, desk: &dyn Desk) -> bool {
        match work {
            Work::Items(batch, count, _) => {
                let sent = ToChild::Items(batch);
                let done = self.tell(Hook::OnItemCaptured.name(), &sent, queues);
                let counted = match done {
                    Told::Done => &self.counts.told,
                    Told::TooLarge | Told::Gone => &self.counts.dropped,
                };
                counted.fetch_add(count.into(), Ordering::Relaxed);
                !matches!(done, Told::Gone)
            }
            Work::Packets(last, packets) => {
                let packets = Arc::unwrap_or_clone(packets);
                let count = packets.len() as u64;
                let sent = ToChild::Packets { last, packets };
                let done = self.tell(Hook::OnPacketCaptured.name(), &sent, queues);
                if !matches!(done, Told::Done) {
                    let dropped = &self.counts.packets_dropped;
                    dropped.fetch_add(count, Ordering::Relaxed);
                }
                !matches!(done, Told::Gone)
            }
            Work::Told(hook, small, _) => {
                let small = ToChild::Small(Arc::unwrap_or_clone(small));
                let done = self.tell(hook.name(), &small, queues);
                !matches!(done, Told::Gone)
            }
            Work::Tick(now) => {
                let tick = ToChild::Small(Small::Tick { now });
                !matches!(self.tell("timer", &tick, queues), Told::Gone)
            }
            Work::Job(firing, waiting) => self.job(firing, waiting, queues, desk),
            Work::Forget(task) => {
                let forget = ToChild::Small(Small::ForgetTask { task });
                self.send(&forget).is_ok()
            }
            Work::Ask {
                record,
                query,
                reply,
            } => {
                let call = queues.number();
                let asked = ToChild::Queried {
                    call,
                    query: query.as_ref().to_owned(),
                    record: record.to_vec(),
                };
                let hook = Hook::OnItemQueried.name();
                let answer = self.ask(hook, hook.into(), self.budgets.hook, &asked, call, queues);
                let gone = answer.is_none();
                let value = answer.and_then(Result::ok).filter(Json::is_object);
                let _ = reply.send((self.owner.script, value));
                !gone
            }
            Work::Barrier(reply) => {
                // The child answers behind what it says about timers and hooks.
                let drained = self.drained(queues);
                if drained {
                    let _ = reply.send(());
                }
                drained
            }
        }
    }

    /// Whether the child has done all, and all that it had to say has arrived.
    fn drained(&self, queues: &mut Queues) -> bool {
        let call = queues.number();
        let drain = ToChild::Small(Small::Drain { call });
        let budget = self.budgets.hook;
        self.ask("drain", "a timer".into(), budget, &drain, call, queues)
            .is_some()
    }

    fn job(
        &self,
        firing: Firing,
        waiting: Option<Sender<Result<(), String>>>,
        queues: &mut Queues,
        desk: &dyn Desk,
    ) -> bool {
        let call = queues.number();
        let run = ToChild::Small(Small::RunJob {
            call,
            task: firing.task,
            now: firing.at,
        });
        let what = format!("the job \"{}\"", firing.tag);
        let answer = self.ask("job", what, self.budgets.job, &run, call, queues);
        let gone = answer.is_none();
        if let Some(Err(error)) = &answer {
            let line = format!("(job={}) {error}", firing.tag);
            desk.line(self, Level::Error, &line);
        }
        let result = match answer {
            Some(result) => result.map(drop),
            None => Err(lock(&self.killed)
                .clone()
                .unwrap_or_else(|| "the script's process ended".into())),
        };
        match waiting {
            Some(waiting) => {
                let _ = waiting.send(result);
            }
            None => desk.event(Event::JobDone(firing, result)),
        }
        !gone
    }

    /// Says something that is answered by `Done`.
    fn tell(&self, name: &'static str, message: &ToChild, queues: &Queues) -> Told {
        let what = if name == "timer" { "a timer" } else { name };
        self.begin(what.to_owned(), self.budgets.hook);
        let sent = self.send(message);
        let back = match sent {
            Ok(()) => queues.answers.recv().ok(),
            Err(WireError::Size(_)) => {
                self.finish_call();
                return Told::TooLarge;
            }
            Err(_) => None,
        };
        if back.is_some() {
            self.finish_call();
        }
        match back {
            Some(Back::Done(spent)) => {
                self.counts.spent(name, &spent);
                Told::Done
            }
            Some(_) => {
                self.kill("it answered what was not asked".into());
                Told::Gone
            }
            None => Told::Gone,
        }
    }

    /// Says something that is answered by `Answered`; `None` when the child is gone.
    fn ask(
        &self,
        name: &'static str,
        what: String,
        budget: Duration,
        message: &ToChild,
        number: u64,
        queues: &Queues,
    ) -> Option<Result<Json, String>> {
        self.begin(what, budget);
        let back = match self.send(message) {
            Ok(()) => queues.answers.recv().ok(),
            Err(WireError::Size(_)) => {
                self.finish_call();
                return Some(Ok(Json::Null));
            }
            Err(_) => None,
        };
        if back.is_some() {
            self.finish_call();
        }
        match back {
            Some(Back::Answered(call, result, spent)) if call == number => {
                if spent.calls > 0 {
                    self.counts.spent(name, &spent);
                }
                Some(result)
            }
            Some(_) => {
                self.kill("it answered what was not asked".into());
                None
            }
            None => None,
        }
    }

    fn begin(&self, what: String, budget: Duration) {
        *lock(&self.call) = Some(Call {
            what,
            budget,
            since: Instant::now(),
            cpu: None,
            in_host: None,
            host: Duration::ZERO,
            last_helper: "",
        });
    }

    fn finish_call(&self) {
        *lock(&self.call) = None;
    }

    fn send(&self, message: &ToChild) -> Result<(), WireError> {
        let _writing = lock(&self.writing);
        wire::send_to_child(&self.socket, message)
    }

    /// Counts what will never be told.
    fn count_lost(&self, queues: &Queues) {
        for work in queues.queue.try_iter() {
            match work {
                Work::Items(_, count, _) => {
                    let dropped = &self.counts.dropped;
                    dropped.fetch_add(count.into(), Ordering::Relaxed);
                }
                Work::Packets(_, packets) => {
                    let dropped = &self.counts.packets_dropped;
                    dropped.fetch_add(packets.len() as u64, Ordering::Relaxed);
                }
                _ => {}
            }
        }
    }

    fn read(&self, socket: UnixStream, back: &Sender<Back>, desk: &dyn Desk) {
        let mut input = FromChild::new(BufReader::new(socket));
        loop {
            let message = match input.next() {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(error) => {
                    // A process that was killed may leave half a message.
                    if !matches!(error, WireError::Io(_) | WireError::Cut) {
                        self.kill(format!("it said what cannot be read: {error}"));
                    }
                    return;
                }
            };
            let answer = match message {
                ToParent::Ready { hooks, missing } => {
                    self.set_hooks(&hooks);
                    desk.missing(missing);
                    Some(Back::Ready)
                }
                ToParent::LoadFailed { message, .. } => Some(Back::Failed(cut(&message, MAX_FAULT))),
                ToParent::Done { spent, .. } => Some(Back::Done(spent)),
                ToParent::Answered {
                    call,
                    result,
                    spent,
                } => {
                    let result = result.map_err(|error| cut(&error, MAX_FAULT));
                    Some(Back::Answered(call, result, spent))
                }
                ToParent::Hooks { hooks } => {
                    self.set_hooks(&hooks);
                    None
                }
                ToParent::TimerAt { at } => {
                    let at = at.map_or(i64::MAX, Timestamp::nanos);
                    self.timer.store(at, Ordering::Relaxed);
                    desk.event(Event::Wake);
                    None
                }
                ToParent::Console { level, text } => {
                    desk.line(self, level, &text);
                    None
                }
                ToParent::Beat { .. } => {
                    if let Some(call) = lock(&self.call).as_mut() {
                        call.since = Instant::now();
                        call.cpu = None;
                        call.host = Duration::ZERO;
                    }
                    None
                }
                ToParent::Call { call, with } => {
                    self.host_call(call, with, desk);
                    None
                }
            };
            if let Some(answer) = answer
                && back.try_send(answer).is_err()
            {
                self.kill("it answered what was not asked".into());
                return;
            }
        }
    }

    /// Does a host call while the budget stands still.
    fn host_call(&self, number: u64, with: HostCall, desk: &dyn Desk) {
        let started = Instant::now();
        let helper = with.helper();
        if let Some(call) = lock(&self.call).as_mut() {
            call.in_host = Some((helper, started));
        }
        let result = desk.call(self, with);
        if let Some(call) = lock(&self.call).as_mut() {
            let took = started.elapsed();
            call.in_host = None;
            call.last_helper = helper;
            call.host += took;
            call.since += took;
        }
        let answer = |result| {
            ToChild::Small(Small::Answer {
                call: number,
                result,
            })
        };
        if let Err(WireError::Size(size)) = self.send(&answer(result)) {
            let text = format!("the answer of {size} bytes is too large");
            let _ = self.send(&answer(Err(text)));
        }
    }

    fn set_hooks(&self, hooks: &[Hook]) {
        let hooks = hooks.iter().filter(|hook| hook.is_for(self.id.role));
        let bits = hooks.fold(0, |bits, hook| bits | bit(*hook));
        self.hooks.store(bits, Ordering::Relaxed);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// What told work came to.
enum Told {
    Done,
    TooLarge,
    Gone,
}

/// Answers of a child.
enum Back {
    Ready,
    Failed(String),
    Done(Spent),
    Answered(u64, Result<Json, String>, Spent),
}

/// What the driver takes from.
struct Queues {
    queue: Receiver<Work>,
    urgent: Receiver<Work>,
    answers: Receiver<Back>,
    question: u64,
    /// Urgent work that was taken since the last batch.
    in_a_row: u32,
}

impl Queues {
    /// The next work; `None` when there will be none, or the child is gone.
    fn next(&mut self) -> Option<Work> {
        if self.in_a_row >= MAX_IN_A_ROW {
            self.in_a_row = 0;
            if let Ok(work) = self.queue.try_recv() {
                return Some(work);
            }
        }
        // Both queues close together; what waits in them is still done.
        let waiting = select_biased! {
            recv(self.urgent) -> work => work.ok(),
            recv(self.queue) -> work => {
                self.in_a_row = 0;
                return work.ok();
            }
            recv(self.answers) -> _ => return None,
        };
        if waiting.is_some() {
            self.in_a_row += 1;
            return waiting;
        }
        select! {
            recv(self.queue) -> work => work.ok(),
            recv(self.answers) -> _ => None,
        }
    }

    fn number(&mut self) -> u64 {
        self.question += 1;
        self.question
    }
}

fn bytes_of(work: &Work) -> usize {
    match work {
        Work::Items(_, _, bytes) => *bytes,
        Work::Packets(_, packets) => packets.len() * size_of::<PacketSummary>(),
        _ => 0,
    }
}

fn urgent_bytes_of(work: &Work) -> usize {
    match work {
        Work::Told(_, _, bytes) => *bytes,
        Work::Ask { record, query, .. } => record.len() + query.len(),
        _ => 0,
    }
}

fn bit(hook: Hook) -> u8 {
    let position = Hook::ALL.iter().position(|one| *one == hook);
    1 << position.unwrap_or_default()
}

/// Locks; what a panicking thread left is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
