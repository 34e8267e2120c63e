//! One script in one boa context: loaded once, its hooks, jobs and timers called one after another.
//!
//! In: the script, then what its parent tells and asks. Out: console lines, answers, host calls.
//! Never: an effect of its own; a hook that the script does not define costs nothing.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use boa_engine::builtins::promise::{OperationType, Promise, PromiseState};
use boa_engine::context::{ContextBuilder, HostHooks};
use boa_engine::job::{GenericJob, Job, JobExecutor, PromiseJob};
use boa_engine::module::IdleModuleLoader;
use boa_engine::object::builtins::{JsFunction, JsPromise};
use boa_engine::property::PropertyKey;
use boa_engine::{
    Context, JsError, JsNativeError, JsObject, JsResult, JsString, JsValue, Script, Source,
    js_string,
};
use serde_json::Value as Json;

use super::clock::{ScriptClock, Timers};
use super::data::{self, Makers};
use super::faults::{Fault, fault_of};
use super::json;
use super::link::Link;
use super::pod;
use super::shims;
use crate::item::Node;
use crate::item::flat::{Flat, records};
use crate::kfl::{self, Query, Schema};
use crate::script::api;
use crate::script::host::HostCall;
use crate::script::wire::{
    BEAT_EVERY, Batch, Hook, Level, PacketSummary, Small, Spent, Start, ToChild, ToParent,
};
use crate::time::Timestamp;

/// Compiled queries that are kept: a script has a handful, one that builds them anew a handful each.
const MAX_QUERIES: usize = 256;

/// Queries that are looked through before all others.
const MAX_RECENT: usize = 8;

/// Jobs that a script may have at once, counting those it replaced and the host still knows.
const MAX_TASKS: usize = 4096;

/// Where a script states which items its hook is told.
const FILTERED: &str = "onItemCaptured.kfl";

/// Bytes of one console line that are sent; the console keeps less.
const MAX_LINE: usize = 256 << 10;

/// What natives of one context share.
pub(crate) struct Shared {
    /// The line to the parent.
    pub(crate) link: RefCell<Link>,
    /// The script and its surroundings; the code is taken out.
    pub(crate) start: Start,
    /// The script's clock.
    pub(crate) clock: Rc<ScriptClock>,
    /// Its timers.
    pub(crate) timers: RefCell<Timers>,
    tasks: RefCell<HashMap<u64, (JsFunction, Vec<JsValue>)>>,
    last_task: Cell<u64>,
    schema: Schema,
    queries: RefCell<HashMap<String, Result<Query, String>>>,
    /// Those asked for last, by the texts as scripts hold them.
    recent: RefCell<VecDeque<(JsString, Result<Query, String>)>>,
    rejected: RefCell<Vec<JsObject<Promise>>>,
}

impl Shared {
    /// Of `context`.
    pub(crate) fn of(context: &Context) -> JsResult<Rc<Shared>> {
        context.get_data::<Rc<Shared>>().cloned().ok_or_else(|| {
            JsNativeError::error()
                .with_message("there is no host here")
                .into()
        })
    }

    /// Prints a console line.
    pub(crate) fn print(&self, level: Level, text: &str) {
        let text = text
            .get(..text.floor_char_boundary(MAX_LINE))
            .unwrap_or(text);
        self.link.borrow_mut().say(&ToParent::Console {
            level,
            text: text.to_owned(),
        });
    }

    /// Keeps a job's function and answers its number; `None` when there are too many.
    pub(crate) fn add_task(&self, function: JsFunction, args: Vec<JsValue>) -> Option<u64> {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.len() >= MAX_TASKS {
            return None;
        }
        self.last_task.set(self.last_task.get() + 1);
        tasks.insert(self.last_task.get(), (function, args));
        Some(self.last_task.get())
    }

    /// Lets go of a job's function.
    pub(crate) fn drop_task(&self, task: u64) {
        self.tasks.borrow_mut().remove(&task);
    }

    /// As [`Shared::query`], of a text that a script holds: a literal is found without being copied.
    pub(crate) fn query_of(&self, text: &JsString) -> Result<Query, String> {
        let mut recent = self.recent.borrow_mut();
        if let Some((_, query)) = recent.iter().find(|(known, _)| known == text) {
            return query.clone();
        }
        let query = self.query(&text.to_std_string_lossy());
        recent.truncate(MAX_RECENT - 1);
        recent.push_front((text.clone(), query.clone()));
        query
    }

    /// The compiled query, made once; the error says what is wrong with it.
    pub(crate) fn query(&self, text: &str) -> Result<Query, String> {
        let mut queries = self.queries.borrow_mut();
        if let Some(known) = queries.get(text) {
            return known.clone();
        }
        if queries.len() >= MAX_QUERIES {
            queries.clear();
        }
        let made = kfl::compile(text, &self.schema).map_err(|error| error.to_string());
        queries.insert(text.to_owned(), made.clone());
        made
    }
}

/// Has the host do something; what goes wrong becomes a real `Error`.
pub(crate) fn ask(context: &Context, call: HostCall) -> JsResult<Json> {
    let shared = Shared::of(context)?;
    let result = shared.link.borrow_mut().call(call);
    result.map_err(|message| JsNativeError::error().with_message(message).into())
}

/// What a script states: the hooks that it defines, and the query of its item hook.
#[derive(Debug, Default, Clone, PartialEq)]
struct Stated {
    hooks: Vec<Hook>,
    kfl: Option<String>,
}

/// The names of a hook as the global object has them.
struct Names {
    hook: Hook,
    name: PropertyKey,
    old: Option<PropertyKey>,
}

impl Names {
    fn of(hook: Hook) -> Names {
        let key = |name: &str| PropertyKey::from(JsString::from(name));
        let old = hook.old_name();
        Names {
            hook,
            name: key(hook.name()),
            old: (old != hook.name()).then(|| key(old)),
        }
    }
}

/// A script that is loaded.
pub(crate) struct Engine {
    context: Context,
    shared: Rc<Shared>,
    code: String,
    names: Vec<Names>,
    told: Stated,
    /// A query that is none and was said to be none.
    refused: Option<String>,
    timer_at: Option<Timestamp>,
}

impl Engine {
    /// Runs the top level of the script; when it fails, so does the whole script.
    pub(crate) fn load(mut start: Start, link: Link, schema: &Schema) -> Result<Engine, Fault> {
        let code = std::mem::take(&mut start.code);
        let clock = Rc::new(ScriptClock::new(start.clock, start.now));
        let shared = Rc::new(Shared {
            link: RefCell::new(link),
            start,
            clock: clock.clone(),
            timers: RefCell::default(),
            tasks: RefCell::default(),
            last_task: Cell::new(0),
            schema: schema.clone(),
            queries: RefCell::default(),
            recent: RefCell::default(),
            rejected: RefCell::default(),
        });
        let jobs = Rc::new(Jobs::default());
        let built = ContextBuilder::new()
            .clock(clock)
            .host_hooks(Rc::new(Hooks(shared.clone())))
            .job_executor(jobs)
            // There are no modules; the usual loader would look for the working folder.
            .module_loader(Rc::new(IdleModuleLoader))
            .build();
        let mut context = match built {
            Ok(context) => context,
            Err(error) => return Err(Fault::plain(error.to_string())),
        };
        let limits = context.runtime_limits_mut();
        limits.set_loop_iteration_limit(shared.start.limits.loop_iterations);
        limits.set_recursion_limit(shared.start.limits.recursion);
        context.insert_data(shared.clone());
        let mut engine = Engine {
            context,
            shared,
            code,
            names: Hook::ALL.map(Names::of).into(),
            told: Stated::default(),
            refused: None,
            timer_at: None,
        };
        match engine.run_top_level() {
            Ok(()) => match engine.filter() {
                Ok(kfl) => {
                    let hooks = engine.hooks();
                    engine.told = Stated { hooks, kfl };
                    Ok(engine)
                }
                Err((_, message)) => Err(Fault::at(message, FILTERED, &engine.code)),
            },
            Err(error) => Err(fault_of(error, &engine.code, &mut engine.context)),
        }
    }

    fn run_top_level(&mut self) -> JsResult<()> {
        let context = &mut self.context;
        let makers = Rc::new(Makers::new(context)?);
        context.insert_data(makers);
        shims::install(context)?;
        api::install(&self.shared.start, context)?;
        let source = Source::from_bytes(self.code.as_bytes());
        let path = self.shared.start.path.clone();
        let source = source.with_path(Path::new(&path));
        let script = Script::parse(source, None, context)?;
        script.evaluate(context)?;
        self.settle("load");
        Ok(())
    }

    /// The hooks that the script defines now.
    fn hooks(&mut self) -> Vec<Hook> {
        let mut hooks = Hook::ALL.to_vec();
        hooks.retain(|hook| self.function(*hook).is_some());
        hooks
    }

    /// Looks a hook up on the global, under its old name when the present one is absent.
    fn function(&mut self, hook: Hook) -> Option<JsFunction> {
        let global = self.context.global_object();
        let names = self.names.iter().find(|names| names.hook == hook)?;
        let names = [Some(&names.name), names.old.as_ref()];
        names.into_iter().flatten().find_map(|name| {
            let value = global.get(name.clone(), &mut self.context).ok()?;
            value.as_function()
        })
    }

    /// The query that the script states for its item hook; the error is the query and what is wrong
    /// with it.
    fn filter(&mut self) -> Result<Option<String>, (String, String)> {
        let Some(function) = self.function(Hook::OnItemCaptured) else {
            return Ok(None);
        };
        let stated = function.get(js_string!("kfl"), &mut self.context);
        let Some(stated) = stated.ok().filter(|value| !value.is_null_or_undefined()) else {
            return Ok(None);
        };
        let Some(text) = stated.as_string() else {
            let message = format!("{FILTERED} is a KFL query, a text");
            return Err((stated.display().to_string(), message));
        };
        let text = text.to_std_string_lossy();
        if text.trim().is_empty() {
            return Ok(None);
        }
        match self.shared.query(&text) {
            Ok(_) => Ok(Some(text)),
            Err(error) => Err((text, format!("{FILTERED} is invalid, {error}"))),
        }
    }

    /// Does what the parent says; false means that it is time to end.
    pub(crate) fn handle(&mut self, message: ToChild) -> bool {
        match message {
            ToChild::Start(_) => return false,
            ToChild::Items(batch) => self.items(&batch),
            ToChild::Packets { last, packets } => self.packets(last, &packets),
            ToChild::Queried {
                call,
                query,
                record,
            } => self.queried(call, &query, &record),
            ToChild::Small(small) => return self.small(small),
        }
        true
    }

    fn small(&mut self, small: Small) -> bool {
        match small {
            Small::RunJob { call, task, now } => {
                self.shared.clock.advance(now);
                self.run_job(call, task);
            }
            Small::ForgetTask { task } => self.shared.drop_task(task),
            Small::JobEnded {
                tag,
                cron,
                limit,
                err,
            } => {
                let mut spent = Spent::default();
                let mut args = vec![text(&tag), text(&cron), JsValue::from(limit)];
                let hook = match &err {
                    Some(err) => {
                        args.push(text(err));
                        Hook::OnJobFailed
                    }
                    None => Hook::OnJobPassed,
                };
                self.tell(hook, |_| Ok(args.clone()), &mut spent);
                self.done(0, spent);
            }
            Small::HubAction { action, object } => {
                let args = |context: &mut Context| {
                    Ok(vec![text(&action), JsValue::from_json(&object, context)?])
                };
                self.told(Hook::OnHubAction, args);
            }
            Small::PodEvent { event, pod } => {
                let args =
                    |context: &mut Context| Ok(vec![text(&event), pod::value(&pod, context)?]);
                self.told(Hook::OnPodEvent, args);
            }
            Small::LogCall { level, msg } => {
                self.told(Hook::OnLogCall, |_| Ok(vec![text(&level), text(&msg)]));
            }
            Small::Tick { now } => {
                self.shared.clock.advance(now);
                let mut spent = Spent::default();
                self.run_timers(now, &mut spent);
                self.done(0, spent);
            }
            Small::Drain { call } => self.answer(call, Ok(Json::Null), Spent::default()),
            Small::Stop => return false,
            // An answer that nobody waits for any more.
            Small::Answer { .. } => {}
        }
        true
    }

    /// Calls a hook and says that it is done.
    fn told(&mut self, hook: Hook, args: impl Fn(&mut Context) -> JsResult<Vec<JsValue>>) {
        let mut spent = Spent::default();
        self.tell(hook, args, &mut spent);
        self.done(0, spent);
    }

    fn items(&mut self, batch: &Batch) {
        let mut spent = Spent::default();
        match batch.records() {
            Ok(bytes) => {
                for record in records(&bytes) {
                    self.beat(record.number());
                    self.follow_packets(record, &mut spent);
                    let owned: Rc<[u8]> = Rc::from(record.record());
                    let data =
                        |context: &mut Context| Ok(vec![data::item(owned.clone(), context)?]);
                    self.tell(Hook::OnItemCaptured, data, &mut spent);
                }
            }
            Err(error) => {
                let text = format!("a batch of items cannot be read: {error}");
                self.shared.print(Level::Error, &text);
            }
        }
        self.shared.clock.advance(batch.now);
        self.done(batch.last, spent);
    }

    /// Sets the clock to the end of an item and runs the timers that were due before it.
    fn follow_packets(&mut self, item: Flat<'_>, spent: &mut Spent) {
        if !self.shared.clock.follows_packets() {
            return;
        }
        let millis = |name| item.member(name).and_then(Node::int).unwrap_or_default();
        let at = millis("timestamp").saturating_add(millis("elapsedTime"));
        let at = Timestamp::from_nanos(at.saturating_mul(1_000_000));
        self.shared.clock.advance(at);
        self.run_timers(at, spent);
    }

    fn packets(&mut self, last: u64, packets: &[PacketSummary]) {
        let mut spent = Spent::default();
        for packet in packets {
            self.beat(last);
            self.shared.clock.advance(packet.at);
            let info = |context: &mut Context| Ok(vec![info(packet, context)?]);
            self.tell(Hook::OnPacketCaptured, info, &mut spent);
        }
        self.done(last, spent);
    }

    fn queried(&mut self, call: u64, query: &str, record: &[u8]) {
        let mut spent = Spent::default();
        let owned: Rc<[u8]> = Rc::from(record);
        let query = text(query);
        let args =
            |context: &mut Context| Ok(vec![data::item(owned.clone(), context)?, query.clone()]);
        let returned = self.tell(Hook::OnItemQueried, args, &mut spent);
        let object = returned.filter(JsValue::is_object);
        let result = object.map_or(Ok(Json::Null), |object| {
            json::json_of(&object, &mut self.context)
                .map_err(|error| fault_of(error, &self.code, &mut self.context).to_string())
        });
        self.answer(call, result, spent);
    }

    fn run_job(&mut self, call: u64, task: u64) {
        let known = self.shared.tasks.borrow().get(&task).cloned();
        let mut spent = Spent::default();
        let result = match known {
            None => Err("the job's function is not there any more".to_owned()),
            Some((function, args)) => {
                let this = JsValue::from(function.clone());
                let result = self.timed(&mut spent, |engine| {
                    function.call(&this, &args, &mut engine.context)
                });
                self.settle("job");
                result
                    .map(|_| Json::Null)
                    .map_err(|error| fault_of(error, &self.code, &mut self.context).to_string())
            }
        };
        self.answer(call, result, spent);
    }

    fn run_timers(&mut self, now: Timestamp, spent: &mut Spent) {
        if self
            .shared
            .timers
            .borrow()
            .first()
            .is_none_or(|first| first > now)
        {
            return;
        }
        let due = self.shared.timers.borrow_mut().take_due(now);
        for (id, timer) in due {
            // A callback before this one may have cleared it.
            if timer.every.is_some() && !self.shared.timers.borrow().has(id) {
                continue;
            }
            let this = JsValue::undefined();
            let result = self.timed(spent, |engine| {
                timer.function.call(&this, &timer.args, &mut engine.context)
            });
            self.report("timer", result);
            self.settle("timer");
        }
    }

    /// Calls a hook if it is defined, with the arguments that `args` makes for it.
    fn tell(
        &mut self,
        hook: Hook,
        args: impl Fn(&mut Context) -> JsResult<Vec<JsValue>>,
        spent: &mut Spent,
    ) -> Option<JsValue> {
        let function = self.function(hook)?;
        let result = self.timed(spent, |engine| {
            let args = args(&mut engine.context)?;
            function.call(&JsValue::undefined(), &args, &mut engine.context)
        });
        let returned = self.report(hook.name(), result);
        self.settle(hook.name());
        returned
    }

    fn timed(
        &mut self,
        spent: &mut Spent,
        call: impl FnOnce(&mut Engine) -> JsResult<JsValue>,
    ) -> JsResult<JsValue> {
        let host_before = self.shared.link.borrow().host_time;
        let began = Instant::now();
        let result = call(self);
        let host = self.shared.link.borrow().host_time - host_before;
        let nanos = began.elapsed().saturating_sub(host).as_nanos();
        spent.calls += 1;
        spent.errors += u64::from(result.is_err());
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        spent.nanos = spent.nanos.saturating_add(nanos);
        spent.times.add(nanos);
        result
    }

    /// Prints what went wrong in `place`.
    fn report(&mut self, place: &str, result: JsResult<JsValue>) -> Option<JsValue> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let fault = fault_of(error, &self.code, &mut self.context);
                self.shared
                    .print(Level::Error, &format!("(hook={place}) {fault}"));
                None
            }
        }
    }

    /// Runs promise jobs and prints rejections that nobody handled.
    fn settle(&mut self, place: &str) {
        let result = self.context.run_jobs().map(|()| JsValue::undefined());
        self.report(place, result);
        let rejected = self.shared.rejected.take();
        for promise in rejected {
            let promise = JsPromise::from(promise);
            if let PromiseState::Rejected(reason) = promise.state() {
                self.report(place, Err(JsError::from_opaque(reason)));
            }
        }
    }

    fn beat(&self, at: u64) {
        let mut link = self.shared.link.borrow_mut();
        if link.silence() > BEAT_EVERY {
            link.say(&ToParent::Beat { at });
        }
    }

    fn done(&mut self, last: u64, spent: Spent) {
        // Looking for hooks may run a script's getters: it belongs to the call that is open.
        self.say_changes();
        self.say(&ToParent::Done { last, spent });
    }

    fn answer(&mut self, call: u64, result: Result<Json, String>, spent: Spent) {
        self.say_changes();
        self.say(&ToParent::Answered {
            call,
            result,
            spent,
        });
    }

    /// Tells the parent that the script is ready.
    pub(crate) fn say_ready(&mut self, missing: Vec<String>) {
        let Stated { hooks, kfl } = self.told.clone();
        self.say(&ToParent::Ready {
            hooks,
            kfl,
            missing,
        });
        self.say_changes();
    }

    /// Tells the parent about hooks and timers that changed.
    fn say_changes(&mut self) {
        let hooks = self.hooks();
        let kfl = match self.filter() {
            Ok(kfl) => kfl,
            Err((query, message)) => {
                if self.refused.as_ref() != Some(&query) {
                    self.shared.print(Level::Error, &message);
                    self.refused = Some(query);
                }
                self.told.kfl.clone()
            }
        };
        let stated = Stated { hooks, kfl };
        if stated != self.told {
            self.told.clone_from(&stated);
            let Stated { hooks, kfl } = stated;
            self.say(&ToParent::Hooks { hooks, kfl });
        }
        let at = self.shared.timers.borrow().first();
        if at != self.timer_at {
            self.timer_at = at;
            self.say(&ToParent::TimerAt { at });
        }
    }

    fn say(&self, message: &ToParent) {
        self.shared.link.borrow_mut().say(message);
    }

    /// The next message of the parent.
    pub(crate) fn next(&mut self) -> Option<ToChild> {
        self.shared.link.borrow_mut().next().ok().flatten()
    }
}

fn text(text: &str) -> JsValue {
    JsString::from(text).into()
}

/// The argument of `onPacketCaptured`.
fn info(packet: &PacketSummary, context: &mut Context) -> JsResult<JsValue> {
    let info = JsObject::with_object_proto(context.intrinsics());
    let entries = [
        (js_string!("timestamp"), text(&packet.at.to_string())),
        (js_string!("captureLength"), packet.caplen.into()),
        (js_string!("length"), packet.len.into()),
        (js_string!("truncated"), (packet.caplen < packet.len).into()),
        (js_string!("fragmented"), packet.fragmented.into()),
    ];
    for (key, value) in entries {
        info.create_data_property_or_throw(key, value, context)?;
    }
    Ok(info.into())
}

/// Promise jobs, run in their order after each call.
#[derive(Default)]
struct Jobs(RefCell<VecDeque<Work>>);

enum Work {
    Promise(PromiseJob),
    Generic(GenericJob),
}

impl JobExecutor for Jobs {
    fn enqueue_job(self: Rc<Self>, job: Job, _: &mut Context) {
        let work = match job {
            Job::PromiseJob(job) => Work::Promise(job),
            Job::GenericJob(job) => Work::Generic(job),
            // Timers are our own, and nothing else here is asynchronous.
            _ => return,
        };
        self.0.borrow_mut().push_back(work);
    }

    fn run_jobs(self: Rc<Self>, context: &mut Context) -> JsResult<()> {
        loop {
            let Some(work) = self.0.borrow_mut().pop_front() else {
                return Ok(());
            };
            let result = match work {
                Work::Promise(job) => job.call(context),
                Work::Generic(job) => job.call(context),
            };
            if let Err(error) = result {
                self.0.borrow_mut().clear();
                return Err(error);
            }
        }
    }
}

/// What boa asks of its host.
struct Hooks(Rc<Shared>);

impl HostHooks for Hooks {
    /// Rejections are collected, and taken back when somebody handles them after all.
    fn promise_rejection_tracker(
        &self,
        promise: &JsObject<Promise>,
        operation: OperationType,
        _: &mut Context,
    ) {
        let mut rejected = self.0.rejected.borrow_mut();
        match operation {
            OperationType::Reject => rejected.push(promise.clone()),
            OperationType::Handle => {
                let promise = promise.clone().upcast();
                rejected.retain(|known| !JsObject::equals(&known.clone().upcast(), &promise));
            }
        }
    }

    /// Scripts live in UTC, as cron does: equal output wherever and whenever they run.
    fn local_timezone_offset_seconds(&self, _: i64) -> i32 {
        0
    }
}
