//! What the natives of one context share, and what boa asks of its host.
//!
//! In: calls of helpers, jobs and rejections of promises. Out: messages to the parent, compiled
//! queries, the functions of jobs. Never: an effect of its own.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use boa_engine::builtins::promise::{OperationType, Promise};
use boa_engine::context::HostHooks;
use boa_engine::job::{GenericJob, Job, JobExecutor, PromiseJob};
use boa_engine::object::builtins::JsFunction;
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsString, JsValue};
use serde_json::Value as Json;

use super::clock::{ScriptClock, Timers};
use super::data;
use super::link::Link;
use crate::kfl::{self, Query, Schema};
use crate::script::host::HostCall;
use crate::script::wire::{Level, Start, ToParent};

/// Compiled queries that are kept: a script has a handful, one that builds them anew a handful each.
const MAX_QUERIES: usize = 256;

/// Queries that are looked through before all others.
const MAX_RECENT: usize = 8;

/// Jobs that a script may have at once, counting those it replaced and the host still knows.
const MAX_TASKS: usize = 4096;

/// Bytes of one console line that are sent; the console keeps less.
const MAX_LINE: usize = 256 << 10;

/// A compiled query, or what is wrong with it.
pub(super) type Asked = Rc<Result<Query, String>>;

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
    queries: RefCell<HashMap<String, Asked>>,
    /// Those asked for last, by the texts as scripts hold them.
    recent: RefCell<VecDeque<(JsString, Asked)>>,
    rejected: RefCell<Vec<JsObject<Promise>>>,
}

impl Shared {
    /// For one context.
    pub(super) fn new(start: Start, link: Link, clock: Rc<ScriptClock>, schema: Schema) -> Shared {
        Shared {
            link: RefCell::new(link),
            start,
            clock,
            timers: RefCell::default(),
            tasks: RefCell::default(),
            last_task: Cell::new(0),
            schema,
            queries: RefCell::default(),
            recent: RefCell::default(),
            rejected: RefCell::default(),
        }
    }

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

    /// A job's function, with what it is called with.
    pub(super) fn task(&self, task: u64) -> Option<(JsFunction, Vec<JsValue>)> {
        self.tasks.borrow().get(&task).cloned()
    }

    /// Promises that were rejected and that nobody handled, once.
    pub(super) fn take_rejected(&self) -> Vec<JsObject<Promise>> {
        self.rejected.take()
    }

    /// Lets go of a job's function.
    pub(crate) fn drop_task(&self, task: u64) {
        self.tasks.borrow_mut().remove(&task);
    }

    /// As [`Shared::query`], of a text that a script holds: a literal is found without being copied.
    pub(crate) fn query_of(&self, text: &JsString) -> Asked {
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
    pub(crate) fn query(&self, text: &str) -> Asked {
        let mut queries = self.queries.borrow_mut();
        if let Some(known) = queries.get(text) {
            return known.clone();
        }
        if queries.len() >= MAX_QUERIES {
            queries.clear();
        }
        let made = kfl::compile(text, &self.schema).map_err(|error| error.to_string());
        let made = Rc::new(made);
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

/// Promise jobs, run in their order after each call.
#[derive(Default)]
pub(super) struct Jobs(RefCell<VecDeque<Work>>);

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
                // What a weak reference was asked for stays to the end of the job, no longer.
                context.clear_kept_objects();
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
pub(super) struct Hooks(pub(super) Rc<Shared>);

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

    /// A private name knows an item without a handle.
    fn ensure_can_add_private_element(&self, object: &JsObject, _: &mut Context) -> JsResult<()> {
        data::marked(object);
        Ok(())
    }

    /// Scripts live in UTC, as cron does: equal output wherever and whenever they run.
    fn local_timezone_offset_seconds(&self, _: i64) -> i32 {
        0
    }
}
