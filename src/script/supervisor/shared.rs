//! What manager, children and callers share: routes, jobs, states.
//!
//! In: work for scripts. Out: the runners that take it now. Never: a child started or given up.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crossbeam_channel::Sender;
use serde_json::Value as Json;

use crate::time::Clock;

use super::super::environment::Environment;
use super::super::host::Host;
use super::super::jobs::{Firing, Jobs, Owner};
use super::super::runner::{Event, Offer, Runner, Work, lock};
use super::super::wire::{Hook, Small};
use super::options::Options;
use super::status::{Posted, ScriptState};

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
    pub(super) events: Sender<Event>,
    /// Numbers of children.
    pub children: AtomicU64,
    /// What scripts see as `env` now.
    pub env: Mutex<Environment>,
    /// What the system does not limit, as far as it was said: it is the same for every script.
    pub(super) said_missing: Mutex<BTreeSet<String>>,
}

/// How many scripts are not as they should be soon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unsettled {
    /// Scripts being loaded that have no version running.
    pub loading: usize,
    /// Scripts that wait for their restart.
    pub restarting: usize,
    /// Earlier versions that have something left to do.
    pub retiring: usize,
}

impl Shared {
    /// Of no script yet.
    pub(super) fn new(
        options: Options,
        host: Arc<dyn Host>,
        clock: Arc<dyn Clock>,
        events: Sender<Event>,
    ) -> Shared {
        Shared {
            jobs: Mutex::new(Jobs::new(clock.now())),
            routes: RwLock::default(),
            board: Mutex::default(),
            unsettled: Mutex::new(Unsettled {
                // Until the manager has looked for the first time.
                loading: 1,
                restarting: 0,
                retiring: 0,
            }),
            settled: Condvar::new(),
            events,
            children: AtomicU64::new(0),
            env: Mutex::new(options.env.clone()),
            said_missing: Mutex::default(),
            options,
            host,
            clock,
        }
    }

    /// The runners that took over.
    pub(crate) fn routes(&self) -> RwLockReadGuard<'_, Vec<Arc<Runner>>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runners that took over, without holding the lock: whoever waits for one must not.
    pub(super) fn all(&self) -> Vec<Arc<Runner>> {
        self.routes().clone()
    }

    /// The runners that took over, to be changed.
    pub(crate) fn routes_to_change(&self) -> RwLockWriteGuard<'_, Vec<Arc<Runner>>> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn runner(&self, owner: Owner) -> Option<Arc<Runner>> {
        let routes = self.routes();
        routes.iter().find(|runner| runner.owner == owner).cloned()
    }

    pub(super) fn wants(&self, hook: Hook) -> bool {
        self.routes().iter().any(|runner| runner.has(hook))
    }

    pub(super) fn readers(&self, hook: Hook) -> Vec<Arc<Runner>> {
        let routes = self.routes();
        routes
            .iter()
            .filter(|runner| runner.has(hook))
            .cloned()
            .collect()
    }

    /// Gives work to each of `readers`, or to what took the place of one meanwhile.
    /// There may be nothing to tell one of them.
    pub(super) fn give(
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
    pub(super) fn count_missed(&self, count: u32) {
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

    pub(super) fn wait(&self, enough: impl Fn(Unsettled) -> bool) {
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
        self.tell_all(hook, ended);
        again
    }

    /// Tells a hook of all instances that have it; answers how many were too busy to take it.
    pub(super) fn tell_all(&self, hook: Hook, small: Small) -> usize {
        let readers = self.readers(hook);
        if readers.is_empty() {
            return 0;
        }
        let bytes = bytes_of(&small);
        let small = Arc::new(small);
        let told =
            |runner: &&Arc<Runner>| runner.hurry(Work::Told(hook, Arc::clone(&small), bytes));
        readers.len() - readers.iter().filter(told).count()
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

/// Bytes that a message holds, about; what JSON there is counts as its text.
pub(super) fn bytes_of(small: &Small) -> usize {
    match small {
        Small::HubAction { action, object } => action.len() + text_bytes(object),
        Small::PodEvent { event, pod } => event.len() + text_bytes(pod),
        Small::LogCall { level, msg } => level.len() + msg.len(),
        Small::JobEnded { tag, cron, err, .. } => {
            tag.len() + cron.len() + err.as_ref().map_or(0, String::len)
        }
        _ => 0,
    }
}

fn text_bytes(json: &Json) -> usize {
    struct Counter(usize);
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut counter, json);
    counter.0
}
