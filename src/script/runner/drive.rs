//! The driver of a child: takes work, says it, and waits until the child answers.
//!
//! In: [`Work`] from the queues, answers from the reading thread. Out: messages on the line, results
//! to whoever waits. Never: two things asked at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select, select_biased};
use serde_json::Value as Json;

use super::{Desk, Event, Runner, Work, bytes_of, lock, urgent_bytes_of};
use crate::script::jobs::Firing;
use crate::script::wire::{self, Hook, Level, Small, Spent, Start, Thrown, ToChild, WireError};

/// Urgent work that is done one after the other while batches wait; then one of these has its turn:
/// no flood of jobs keeps a script from its items.
const MAX_IN_A_ROW: u32 = 64;

impl Runner {
    pub(super) fn drive(&self, start: Start, queues: &mut Queues, desk: &dyn Desk) {
        self.begin("the top level".into(), self.budgets.load);
        match self.send(&ToChild::Start(Box::new(start))) {
            Ok(()) => {}
            Err(error @ WireError::Size(_)) => {
                let reason = format!("its code and its env cannot be handed over: {error}");
                return desk.event(Event::Broken(self.owner, reason));
            }
            Err(_) => return,
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
                // Whoever asked must not take a script that is gone for one that has nothing to say.
                let Some(answer) = answer else { return false };
                let value = answer.ok().filter(Json::is_object);
                let _ = reply.send((self.owner.script, value));
                true
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
            None => {
                let why = lock(&self.killed).clone();
                let why = why.unwrap_or_else(|| "the script's process ended".into());
                Err(Thrown::plain(why))
            }
        };
        match waiting {
            Some(waiting) => {
                let _ = waiting.send(result.map_err(|thrown| thrown.to_string()));
            }
            // Scripts are told what was thrown; where is for who reads the console.
            None => desk.event(Event::JobDone(firing, result.map_err(|thrown| thrown.text))),
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
    ) -> Option<Result<Json, Thrown>> {
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

    pub(super) fn send(&self, message: &ToChild) -> Result<(), WireError> {
        let _writing = lock(&self.writing);
        wire::send_to_child(&self.line, message)
    }

    /// Counts what will never be told.
    pub(super) fn count_lost(&self, queues: &Queues) {
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
}

/// What told work came to.
enum Told {
    Done,
    TooLarge,
    Gone,
}

/// Answers of a child.
pub(super) enum Back {
    Ready,
    Failed(String),
    Done(Spent),
    Answered(u64, Result<Json, Thrown>, Spent),
}

/// What the driver takes from.
pub(super) struct Queues {
    pub(super) queue: Receiver<Work>,
    pub(super) urgent: Receiver<Work>,
    pub(super) answers: Receiver<Back>,
    pub(super) question: u64,
    /// Urgent work that was taken since the last batch.
    pub(super) in_a_row: u32,
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
