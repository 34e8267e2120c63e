//! One script in one boa context: loaded once, its hooks, jobs and timers called one after another.
//!
//! In: the script, then what its parent tells and asks. Out: console lines, answers, host calls.
//! Never: an effect of its own; a hook that the script does not define costs nothing.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use boa_engine::builtins::promise::PromiseState;
use boa_engine::context::ContextBuilder;
use boa_engine::module::IdleModuleLoader;
use boa_engine::object::builtins::{JsFunction, JsPromise};
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{
    Context, JsError, JsObject, JsResult, JsString, JsValue, Script, Source, js_string,
};
use serde_json::Value as Json;

use super::clock::ScriptClock;
use super::data::{self, Makers};
use super::faults::{Fault, fault_of};
use super::garbage::{Garbage, Record, Span};
use super::json;
use super::link::Link;
use super::pod;
use super::shared::{Hooks, Jobs};
pub(crate) use super::shared::{Shared, ask};
use super::shims;
use crate::item::Node;
use crate::item::flat::{Flat, records};
use crate::kfl::Schema;
use crate::script::api;
use crate::script::wire::{
    BEAT_EVERY, Batch, Hook, Level, PacketSummary, Small, Spent, Start, Thrown, ToChild, ToParent,
    with_macros,
};
use crate::time::Timestamp;

/// Where a script states which items its hook is told.
const FILTERED: &str = "onItemCaptured.kfl";

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
    makers: Rc<Makers>,
    garbage: Garbage,
    /// When the last call ended, or the message came whose calls are made: the clock is read once a
    /// call.
    at: Instant,
    /// An error after which the engine cannot go on.
    spoilt: Option<Fault>,
}

impl Engine {
    /// Runs the top level of the script; when it fails, so does the whole script.
    pub(crate) fn load(mut start: Start, link: Link, schema: &Schema) -> Result<Engine, Fault> {
        let code = std::mem::take(&mut start.code);
        let clock = Rc::new(ScriptClock::new(start.clock, start.now));
        let schema = with_macros(schema, &start.macros);
        let shared = Rc::new(Shared::new(start, link, clock.clone(), schema));
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
        let makers = Rc::new(Makers::new(&mut context));
        context.insert_data(makers.clone());
        let mut engine = Engine {
            context,
            shared,
            code,
            names: Hook::ALL.map(Names::of).into(),
            told: Stated::default(),
            refused: None,
            timer_at: None,
            makers,
            garbage: Garbage::new(),
            at: Instant::now(),
            spoilt: None,
        };
        if let Err(error) = engine.run_top_level() {
            return Err(engine.fault(error));
        }
        if let Some(fault) = engine.spoilt.take() {
            return Err(fault);
        }
        match engine.filter() {
            Ok(kfl) => {
                let hooks = engine.hooks();
                engine.told = Stated { hooks, kfl };
                Ok(engine)
            }
            Err((_, message)) => Err(Fault::at(message, FILTERED, &engine.code)),
        }
    }

    fn run_top_level(&mut self) -> JsResult<()> {
        let context = &mut self.context;
        shims::install(self.shared.start.habits, context)?;
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
        // The usual way to define a hook, looked at without detours.
        let own = global.borrow().properties().get(&names.name);
        let value = own.as_ref().and_then(PropertyDescriptor::value);
        if let Some(function) = value.and_then(JsValue::as_function) {
            return Some(function);
        }
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
        match &*self.shared.query(&text) {
            Ok(_) => Ok(Some(text)),
            Err(error) => Err((text, format!("{FILTERED} is invalid, {error}"))),
        }
    }

    /// Does what the parent says; false means that it is time to end.
    pub(crate) fn handle(&mut self, message: ToChild) -> bool {
        self.at = Instant::now();
        match message {
            ToChild::Start(_) => return false,
            ToChild::Items(batch) => self.items(&batch),
            ToChild::Packets { last, packets } => self.packets(last, &packets),
            ToChild::Queried {
                call,
                query,
                record,
            } => self.queried(call, &query, &record),
            ToChild::Small(small) => return self.small(small) && self.spoilt.is_none(),
        }
        self.spoilt.is_none()
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
                self.tell(hook, |_| Ok(args), &mut spent);
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
    fn told(&mut self, hook: Hook, args: impl FnOnce(&mut Context) -> JsResult<Vec<JsValue>>) {
        let mut spent = Spent::default();
        self.tell(hook, args, &mut spent);
        self.done(0, spent);
    }

    fn items(&mut self, batch: &Batch) {
        let mut spent = Spent::default();
        let elapsed = self.shared.start.habits.elapsed;
        match batch.records() {
            Ok(bytes) => {
                let bytes = Rc::new(bytes);
                let mut end = 0;
                for record in records(&bytes) {
                    let start = end;
                    end += record.record().len();
                    self.beat(record.number());
                    self.follow_packets(record, &mut spent);
                    let shown = match elapsed.shown(record) {
                        Cow::Borrowed(_) => Span::of(&bytes, start..end),
                        Cow::Owned(record) => Span::whole(record),
                    };
                    self.item(shown, &mut spent);
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

    fn item(&mut self, record: Span, spent: &mut Spent) {
        let record = self.garbage.record(record);
        let mut given = JsValue::undefined();
        let data = |context: &mut Context| {
            given = data::item(&record, context)?;
            Ok([given.clone()])
        };
        self.tell(Hook::OnItemCaptured, data, spent);
        let came_back = self.makers.take_back(given, &mut self.context);
        self.garbage.was_given(record, !came_back);
        self.garbage
            .rest(|| self.makers.take_back_lent(&mut self.context));
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
            let info = |context: &mut Context| Ok([info(packet, context)?]);
            self.tell(Hook::OnPacketCaptured, info, &mut spent);
        }
        self.done(last, spent);
    }

    fn queried(&mut self, call: u64, query: &str, record: &[u8]) {
        let mut spent = Spent::default();
        let elapsed = self.shared.start.habits.elapsed;
        let shown = Flat::new(record).map_or(Cow::Borrowed(record), |item| elapsed.shown(item));
        let owned = Record::new(Span::whole(shown.into_owned()));
        let query = text(query);
        let args = |context: &mut Context| Ok([data::item(&owned, context)?, query]);
        let returned = self.tell(Hook::OnItemQueried, args, &mut spent);
        let object = returned.filter(JsValue::is_object);
        let result = object.map_or(Ok(Json::Null), |object| {
            json::json_of(&object, &mut self.context)
                .map(|item| elapsed.told_json(item))
                .map_err(|error| self.fault(error).into())
        });
        self.answer(call, result, spent);
    }

    fn run_job(&mut self, call: u64, task: u64) {
        let known = self.shared.task(task);
        let mut spent = Spent::default();
        let result = match known {
            None => Err(Thrown::plain("the job's function is not there any more")),
            Some((function, args)) => {
                let this = JsValue::from(function.clone());
                let result = self.timed(&mut spent, |engine| {
                    function.call(&this, &args, &mut engine.context)
                });
                let result = result
                    .map(|_| Json::Null)
                    .map_err(|error| self.fault(error).into());
                self.settle("job");
                result
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
            if self.spoilt.is_some() {
                return;
            }
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
    fn tell<A: AsRef<[JsValue]>>(
        &mut self,
        hook: Hook,
        args: impl FnOnce(&mut Context) -> JsResult<A>,
        spent: &mut Spent,
    ) -> Option<JsValue> {
        if self.spoilt.is_some() {
            return None;
        }
        let function = self.function(hook)?;
        let result = self.timed(spent, |engine| {
            let args = args(&mut engine.context)?;
            function.call(&JsValue::undefined(), args.as_ref(), &mut engine.context)
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
        let result = call(self);
        let host = self.shared.link.borrow().host_time - host_before;
        let began = std::mem::replace(&mut self.at, Instant::now());
        let took = self.at.saturating_duration_since(began);
        let nanos = took.saturating_sub(host).as_nanos();
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
                let fault = self.fault(error);
                // The parent tells what ended the child.
                if self.spoilt.is_none() {
                    self.shared
                        .print(Level::Error, &format!("(hook={place}) {fault}"));
                }
                None
            }
        }
    }

    /// What went wrong. An error of the engine itself leaves values on the engine's stack that nobody
    /// takes away, so that calls fail one after the other later on: it is the last.
    fn fault(&mut self, error: JsError) -> Fault {
        let is_last = error.as_engine().is_some();
        let fault = fault_of(error, &self.code, &mut self.context);
        if is_last {
            self.spoilt.get_or_insert_with(|| fault.clone());
        }
        fault
    }

    /// Runs promise jobs and prints rejections that nobody handled.
    fn settle(&mut self, place: &str) {
        if self.spoilt.is_some() {
            return;
        }
        let result = self.context.run_jobs().map(|()| JsValue::undefined());
        self.report(place, result);
        let rejected = self.shared.take_rejected();
        for promise in rejected {
            let promise = JsPromise::from(promise);
            if let PromiseState::Rejected(reason) = promise.state() {
                self.report(place, Err(JsError::from_opaque(reason)));
            }
        }
    }

    fn beat(&self, at: u64) {
        let mut link = self.shared.link.borrow_mut();
        if link.silence(self.at) > BEAT_EVERY {
            link.say(&ToParent::Beat { at });
        }
    }

    fn done(&mut self, last: u64, spent: Spent) {
        if self.is_over() {
            return;
        }
        // Looking for hooks may run a script's getters: it belongs to the call that is open.
        self.say_changes();
        self.say(&ToParent::Done { last, spent });
    }

    fn answer(&mut self, call: u64, result: Result<Json, Thrown>, spent: Spent) {
        if self.is_over() {
            return;
        }
        self.say_changes();
        self.say(&ToParent::Answered {
            call,
            result,
            spent,
        });
    }

    /// Says what ends the child, if something does.
    fn is_over(&self) -> bool {
        let Some(fault) = &self.spoilt else {
            return false;
        };
        let message = fault.to_string();
        self.say(&ToParent::Spoilt { message });
        true
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
