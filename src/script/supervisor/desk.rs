//! What children ask that is not their own business: jobs, the hub, the host's helpers, lines.
//!
//! In: calls of one child. Out: answers, and what they set off in other children. Never: trust in
//! sizes; what is kept for others is bounded.

use std::sync::atomic::Ordering;

use serde_json::Value as Json;

use super::super::folder::Side;
use super::super::host::HostCall;
use super::super::runner::{Desk, Event, Runner, lock};
use super::super::wire::{Hook, Level, Small};
use super::shared::{Shared, bytes_of};
use crate::kfl::{self, Query};

/// Bytes of one action for the hub: many of them may wait there.
const MAX_ACTION: usize = 1 << 20;

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
            HostCall::HubAction { action, object } if self.options.side != Side::Worker => {
                self.hub_action(action, object)
            }
            other => self.host.call(&runner.id, other),
        }
    }

    fn line(&self, runner: &Runner, level: Level, text: &str) {
        let now = self.clock.now();
        let console = &self.options.console;
        match level {
            Level::Log => console.log(now, runner.owner.script, text),
            Level::Error => console.error(now, runner.owner.script, text),
            Level::Clear => console.clear(runner.owner.script),
        }
    }

    fn missing(&self, sentences: Vec<String>) {
        for sentence in sentences {
            let is_new = lock(&self.said_missing).insert(sentence.clone());
            if is_new {
                tracing::warn!(sentence, "scripts run with fewer limits on this system");
            }
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

impl Shared {
    /// `hub.action`: a copy for every script at the hub.
    pub(super) fn hub_action(&self, action: String, object: Json) -> Result<Json, String> {
        let small = Small::HubAction { action, object };
        if bytes_of(&small) > MAX_ACTION {
            return Err(format!(
                "what is sent to the hub is too large, at most {MAX_ACTION} bytes can be sent at once"
            ));
        }
        match self.tell_all(Hook::OnHubAction, small) {
            0 => Ok(Json::Null),
            busy => Err(format!(
                "{busy} scripts at the hub are behind, the action did not reach them"
            )),
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
