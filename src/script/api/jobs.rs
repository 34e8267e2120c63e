//! `jobs`: functions that run on a schedule.

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::script::child::arguments::text;
use crate::script::child::engine::{Shared, ask};
use crate::script::host::HostCall;

pub(super) static GLOBAL: Global = Global {
    name: "jobs",
    doc: "Runs functions on a schedule, in UTC",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "schedule",
        signature: "jobs.schedule(tag, cron, task, limit?, ...args)",
        doc: "Runs the function whenever the cron text says (seconds first), at most `limit` times when that is not 0",
        effect: Effect::Schedule,
        example: "jobs.schedule('hourly', '0 0 * * * *', function () { console.log('tick') })",
        length: 3,
        run: schedule,
    },
    Helper {
        name: "remove",
        signature: "jobs.remove(tag)",
        doc: "Takes away all jobs with the tag",
        effect: Effect::Schedule,
        example: "jobs.remove('hourly')",
        length: 1,
        run: |_, args, context| {
            let tag = text(args, 0, "the job's tag", context)?;
            told(HostCall::JobsRemove { tag }, context)
        },
    },
    Helper {
        name: "removeAll",
        signature: "jobs.removeAll()",
        doc: "Takes away all jobs of all scripts",
        effect: Effect::Schedule,
        example: "jobs.removeAll()",
        length: 0,
        run: |_, _, context| told(HostCall::JobsRemoveAll, context),
    },
    Helper {
        name: "list",
        signature: "jobs.list() -> string[]",
        doc: "The tags of all jobs, those of this script first",
        effect: Effect::None,
        example: "jobs.list().length",
        length: 0,
        run: |_, _, context| JsValue::from_json(&ask(context, HostCall::JobsList)?, context),
    },
    Helper {
        name: "run",
        signature: "jobs.run(tag)",
        doc: "Runs the jobs with the tag now, without waiting for them",
        effect: Effect::Schedule,
        example: "jobs.run('hourly')",
        length: 1,
        run: |_, args, context| {
            let tag = text(args, 0, "the job's tag", context)?;
            told(HostCall::JobsRun { tag }, context)
        },
    },
    Helper {
        name: "runAll",
        signature: "jobs.runAll()",
        doc: "Runs all jobs of all scripts now, without waiting for them",
        effect: Effect::Schedule,
        example: "jobs.runAll()",
        length: 0,
        run: |_, _, context| told(HostCall::JobsRunAll, context),
    },
    Helper {
        name: "scheduler.isRunning",
        signature: "jobs.scheduler.isRunning() -> boolean",
        doc: "Whether the scheduler runs",
        effect: Effect::None,
        example: "jobs.scheduler.isRunning()",
        length: 0,
        run: |_, _, context| {
            JsValue::from_json(&ask(context, HostCall::SchedulerIsRunning)?, context)
        },
    },
    Helper {
        name: "scheduler.start",
        signature: "jobs.scheduler.start()",
        doc: "Lets the scheduler of all scripts go on",
        effect: Effect::Schedule,
        example: "jobs.scheduler.start()",
        length: 0,
        run: |_, _, context| told(HostCall::SchedulerStart, context),
    },
    Helper {
        name: "scheduler.stop",
        signature: "jobs.scheduler.stop()",
        doc: "Halts the scheduler of all scripts",
        effect: Effect::Schedule,
        example: "jobs.scheduler.stop()",
        length: 0,
        run: |_, _, context| told(HostCall::SchedulerStop, context),
    },
];

fn told(call: HostCall, context: &mut Context) -> JsResult<JsValue> {
    ask(context, call)?;
    Ok(JsValue::undefined())
}

fn schedule(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let tag = text(args, 0, "the job's tag", context)?;
    let cron = text(args, 1, "the schedule", context)?;
    let function = args
        .get_or_undefined(2)
        .as_function()
        .ok_or_else(|| JsNativeError::typ().with_message("a job needs a function"))?;
    let limit = args.get_or_undefined(3);
    let limit = if limit.is_null_or_undefined() {
        0
    } else {
        limit.to_length(context)?
    };
    let rest = args.get(4..).unwrap_or_default().to_vec();
    let shared = Shared::of(context)?;
    let task = shared.add_task(function, rest).ok_or_else(|| {
        JsNativeError::range().with_message("there are too many jobs, remove some first")
    })?;
    let call = HostCall::JobsSchedule {
        tag,
        cron,
        limit,
        task,
    };
    told(call, context).inspect_err(|_| shared.drop_task(task))
}
