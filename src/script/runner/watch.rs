//! What a child does right now, and whether it takes too long.
//!
//! In: when calls and the host calls in them begin and end. Out: the sentence that says why a child
//! must end. Never: a kill; the supervisor does that.

use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use super::{Runner, lock};

/// A call may take this many times its budget by the wall clock: on a busy machine a script waits
/// for a processor, and that is not its fault. Where the system does not tell processor time, this is
/// the one limit.
const WALL_FACTOR: u32 = 10;

/// Time that calls may take: of the processor and without the host calls in them, but for the last.
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

fn millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// What a child does right now, or did when it died.
pub(super) struct Call {
    pub(super) what: String,
    budget: Duration,
    /// Start of the call, or of what came after the child's last sign of life; moved on by the time
    /// within host calls.
    since: Instant,
    /// CPU time of the process when this was first looked at.
    cpu: Option<Duration>,
    /// The host call that is open, and since when.
    open: Option<(&'static str, Instant)>,
    /// Time within host calls that are over, and the helper of the last one.
    host: Duration,
    last_helper: &'static str,
}

impl Runner {
    /// The child begins a call.
    pub(super) fn begin(&self, what: String, budget: Duration) {
        *lock(&self.call) = Some(Call {
            what,
            budget,
            since: Instant::now(),
            cpu: None,
            open: None,
            host: Duration::ZERO,
            last_helper: "",
        });
    }

    /// The call is over.
    pub(super) fn finish_call(&self) {
        *lock(&self.call) = None;
    }

    /// One of several calls in one message is over.
    pub(super) fn beat(&self) {
        if let Some(call) = lock(&self.call).as_mut() {
            call.since = Instant::now();
            call.cpu = None;
            call.host = Duration::ZERO;
        }
    }

    /// Does `work` for a helper while the budget of the call stands still.
    pub(super) fn in_host<T>(&self, helper: &'static str, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        if let Some(call) = lock(&self.call).as_mut() {
            call.open = Some((helper, started));
        }
        let result = work();
        if let Some(call) = lock(&self.call).as_mut() {
            let took = started.elapsed();
            call.open = None;
            call.last_helper = helper;
            call.host += took;
            call.since += took;
        }
        result
    }

    /// Says what does not return, when the present call is over its budget.
    pub(crate) fn overrun(&self) -> Option<String> {
        let mut call = lock(&self.call);
        let call = call.as_mut()?;
        let (helper, open) = match call.open {
            Some((helper, since)) => (helper, since.elapsed()),
            None => (call.last_helper, Duration::ZERO),
        };
        let cpu = self.process.cpu();
        let before = *call.cpu.get_or_insert(cpu.unwrap_or_default());
        let used = cpu.map(|cpu| cpu.saturating_sub(before));
        if call.host + open >= self.budgets.host {
            let budget = self.budgets.host.as_secs_f32();
            return Some(format!(
                "{} spent more than {budget} s in helpers, {helper} was the last",
                call.what
            ));
        }
        let wall = call.since.elapsed().saturating_sub(open);
        over(&call.what, call.budget, wall, used)
    }
}

/// Says that `what` is over its budget after that time by the wall clock and of the processor.
fn over(what: &str, budget: Duration, wall: Duration, used: Option<Duration>) -> Option<String> {
    if wall < budget {
        return None;
    }
    // The first look comes a little after the start of the call.
    let slack = budget / 20;
    if used.is_some_and(|used| used + slack >= budget) {
        let budget = budget.as_secs_f32();
        return Some(format!(
            "{what} took more than {budget} s of processor time"
        ));
    }
    (wall >= budget * WALL_FACTOR).then(|| {
        let limit = (budget * WALL_FACTOR).as_secs_f32();
        format!("{what} did not return within {limit} s")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_over_its_budget_by_either_clock() {
        let of = |wall, used: Option<u64>| {
            let used = used.map(Duration::from_millis);
            over(
                "a timer",
                Duration::from_secs(1),
                Duration::from_millis(wall),
                used,
            )
        };
        let processor = Some("a timer took more than 1 s of processor time".to_owned());
        let clock = Some("a timer did not return within 10 s".to_owned());
        assert_eq!(of(999, Some(999)), None);
        assert_eq!(of(1001, Some(900)), None);
        assert_eq!(of(1001, Some(960)), processor);
        assert_eq!(of(9_999, Some(100)), None);
        assert_eq!(of(10_000, Some(100)), clock);
        assert_eq!(of(9_999, None), None);
        assert_eq!(of(10_000, None), clock);
    }
}
