//! The scheduler behind `jobs.*`, shared by all scripts.
//!
//! In: what scripts schedule and the present moment. Out: [`Firing`]s, each to be run once by its
//! script's child and reported back. Never: threads, clocks, sockets: whoever holds it asks.
//!
//! Jobs are keyed by script and tag. A job is staged until the top level of its script completed
//! ([`Jobs::activate`]); that step also takes away the jobs of the version before, so a reload is
//! one swap. Runs of one job never overlap; what is due while it runs is remembered once.

use crate::time::Timestamp;

use super::cron::{Schedule, ScheduleError};

/// Jobs that one script may have.
pub const MAX_JOBS_PER_SCRIPT: usize = 1000;

/// Bytes of a tag, and of a cron text: they are kept, printed and told to other scripts.
const MAX_TEXT: usize = 1024;

/// Runs that one step of packet time may make up for, per job; a capture with a gap of years must
/// not mean millions of runs.
const MAX_CATCH_UP: u32 = 3600;

/// One version of one script: its index, and which of its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    /// The script's stable index.
    pub script: u32,
    /// Number of the child, never used twice.
    pub child: u64,
}

/// One run of a job that is due now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firing {
    /// Job to report back on.
    pub job: u64,
    /// Whose function it is.
    pub owner: Owner,
    /// The function's number in its child.
    pub task: u64,
    /// Normalised tag.
    pub tag: String,
    /// Cron text as the script gave it.
    pub cron: String,
    /// Runs allowed; 0 is no limit.
    pub limit: u64,
    /// When it was due.
    pub at: Timestamp,
}

/// A job as shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInfo {
    /// Index of the script.
    pub script: u32,
    /// Normalised tag.
    pub tag: String,
    /// Cron text as the script gave it.
    pub cron: String,
    /// Runs allowed; 0 is no limit.
    pub limit: u64,
    /// Runs so far.
    pub runs: u64,
    /// Start of the last run.
    pub last: Option<Timestamp>,
    /// Next due moment; `None` while the scheduler is stopped.
    pub next: Option<Timestamp>,
    /// Whether it runs right now.
    pub running: bool,
}

/// What people may do about jobs; a tag means all jobs of that tag, of all scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobsAct {
    /// Run now.
    Run(String),
    /// Run all now.
    RunAll,
    /// Take away until the script schedules it again.
    Remove(String),
    /// Take all away.
    RemoveAll,
    /// Start the scheduler; what came due in between is not made up for.
    Start,
    /// Stop the scheduler: nothing comes due any more.
    Stop,
}

/// What scripts ask of the scheduler that it refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JobError {
    /// The schedule cannot be read.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// No job has the tag.
    #[error("no job has the tag \"{0}\"")]
    Unknown(String),
    /// The tag is empty.
    #[error("a job needs a tag")]
    NoTag,
    /// Tag or cron text are too long.
    #[error("a job's tag and its schedule have at most {MAX_TEXT} bytes each")]
    TooLong,
    /// [`MAX_JOBS_PER_SCRIPT`] is reached.
    #[error("a script can have at most {MAX_JOBS_PER_SCRIPT} jobs")]
    TooMany,
}

#[derive(Debug)]
struct Job {
    id: u64,
    owner: Owner,
    /// Whether the owner's top level completed.
    active: bool,
    tag: String,
    cron: String,
    schedule: Schedule,
    limit: u64,
    task: u64,
    started: u64,
    last: Option<Timestamp>,
    next: Option<Timestamp>,
    running: bool,
    /// Due once more as soon as it may run.
    pending: bool,
}

impl Job {
    fn used_up(&self) -> bool {
        self.limit > 0 && self.started >= self.limit
    }

    fn fire(&mut self, at: Timestamp, now: Timestamp) -> Firing {
        self.running = true;
        self.pending = false;
        self.started += 1;
        self.last = Some(now);
        if self.used_up() {
            self.next = None;
        }
        Firing {
            job: self.id,
            owner: self.owner,
            task: self.task,
            tag: self.tag.clone(),
            cron: self.cron.clone(),
            limit: self.limit,
            at,
        }
    }

    fn info(&self, scheduler_runs: bool) -> JobInfo {
        JobInfo {
            script: self.owner.script,
            tag: self.tag.clone(),
            cron: self.cron.clone(),
            limit: self.limit,
            runs: self.started,
            last: self.last,
            next: self.next.filter(|_| scheduler_runs),
            running: self.running,
        }
    }
}

/// All jobs of all scripts.
#[derive(Debug)]
pub(crate) struct Jobs {
    jobs: Vec<Job>,
    stopped: bool,
    last_id: u64,
    /// Latest moment that was told; zero before any.
    now: Timestamp,
    /// Catch-up runs of the present step, by job.
    caught_up: Vec<(u64, u32)>,
    /// Functions that no job has any more, until [`Jobs::take_forgotten`].
    forgotten: Vec<(Owner, u64)>,
}

/// Lower case, spaces to `-`.
pub(crate) fn normal_tag(tag: &str) -> String {
    tag.trim().to_lowercase().replace(' ', "-")
}

impl Jobs {
    /// No jobs, the scheduler running.
    pub(crate) fn new(now: Timestamp) -> Jobs {
        Jobs {
            jobs: Vec::new(),
            stopped: false,
            last_id: 0,
            now,
            caught_up: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    /// Takes the jobs away that are `unwanted`.
    fn discard(&mut self, unwanted: impl Fn(&Job) -> bool) {
        let forgotten = &mut self.forgotten;
        self.jobs.retain(|job| {
            let goes = unwanted(job);
            if goes {
                forgotten.push((job.owner, job.task));
            }
            !goes
        });
    }

    /// Functions whose jobs are gone since the last call.
    pub(crate) fn take_forgotten(&mut self) -> Vec<(Owner, u64)> {
        std::mem::take(&mut self.forgotten)
    }

    /// `jobs.schedule`; replaces the owner's job of the same tag. Answers the console line.
    pub(crate) fn schedule(
        &mut self,
        owner: Owner,
        active: bool,
        tag: &str,
        cron: &str,
        limit: u64,
        task: u64,
    ) -> Result<String, JobError> {
        if tag.len().max(cron.len()) > MAX_TEXT {
            return Err(JobError::TooLong);
        }
        let schedule = Schedule::parse(cron)?;
        let tag = normal_tag(tag);
        if tag.is_empty() {
            return Err(JobError::NoTag);
        }
        self.discard(|job| job.owner == owner && job.tag == tag);
        if self.jobs.iter().filter(|job| job.owner == owner).count() >= MAX_JOBS_PER_SCRIPT {
            return Err(JobError::TooMany);
        }
        self.last_id += 1;
        let next = active.then(|| schedule.next(self.now)).flatten();
        let line = match limit {
            0 => format!("Scheduled the job: \"{tag}\" for cron: \"{cron}\" (limit: infinite)"),
            limit => format!("Scheduled the job: \"{tag}\" for cron: \"{cron}\" (limit: {limit})"),
        };
        self.jobs.push(Job {
            id: self.last_id,
            owner,
            active,
            tag,
            cron: cron.to_owned(),
            schedule,
            limit,
            task,
            started: 0,
            last: None,
            next,
            running: false,
            pending: false,
        });
        Ok(line)
    }

    /// `jobs.remove`: all jobs with the tag, of all scripts. Answers the console line.
    pub(crate) fn remove(&mut self, tag: &str) -> Result<String, JobError> {
        let tag = normal_tag(tag);
        let before = self.jobs.len();
        self.discard(|job| job.tag == tag);
        if self.jobs.len() == before {
            return Err(JobError::Unknown(tag));
        }
        Ok(format!("Removed the job: \"{tag}\""))
    }

    /// `jobs.removeAll`. Answers the console line.
    pub(crate) fn remove_all(&mut self) -> &'static str {
        self.discard(|_| true);
        "All jobs are removed."
    }

    /// `jobs.list`: tags as `owner` sees them, its own first; a version that is being replaced and
    /// versions that are being loaded elsewhere are not listed.
    pub(crate) fn list(&self, owner: Owner) -> Vec<String> {
        let own = self.jobs.iter().filter(|job| job.owner == owner);
        let others = self
            .jobs
            .iter()
            .filter(|job| job.owner.script != owner.script && job.active);
        own.chain(others).map(|job| job.tag.clone()).collect()
    }

    /// `jobs.run`: all jobs with the tag, those of `first` in front. Answers the console line and
    /// what to run now; a job that runs already or is staged runs once more afterwards.
    pub(crate) fn run(
        &mut self,
        tag: &str,
        first: Option<Owner>,
        now: Timestamp,
    ) -> Result<(String, Vec<Firing>), JobError> {
        let tag = normal_tag(tag);
        if !self.jobs.iter().any(|job| job.tag == tag) {
            return Err(JobError::Unknown(tag));
        }
        let firings = self.run_where(|job| job.tag == tag, first, now);
        Ok((format!("Triggered the job: \"{tag}\""), firings))
    }

    /// `jobs.runAll`. Answers the console line and what to run now.
    pub(crate) fn run_all(
        &mut self,
        first: Option<Owner>,
        now: Timestamp,
    ) -> (&'static str, Vec<Firing>) {
        let firings = self.run_where(|_| true, first, now);
        ("All jobs are triggered.", firings)
    }

    fn run_where(
        &mut self,
        wanted: impl Fn(&Job) -> bool,
        first: Option<Owner>,
        now: Timestamp,
    ) -> Vec<Firing> {
        let mut firings = Vec::new();
        for job in self.jobs.iter_mut().filter(|job| wanted(job)) {
            if job.running || !job.active {
                job.pending = true;
            } else if !job.used_up() {
                firings.push(job.fire(now, now));
            }
        }
        firings.sort_by_key(|firing| (Some(firing.owner) != first, firing.owner, firing.job));
        firings
    }

    /// `jobs.scheduler.isRunning`.
    pub(crate) fn is_running(&self) -> bool {
        !self.stopped
    }

    /// `jobs.scheduler.start`: what came due in between is not made up for.
    pub(crate) fn start(&mut self, now: Timestamp) {
        if self.stopped {
            self.stopped = false;
            self.now = now;
            self.rebase(now);
        }
    }

    /// `jobs.scheduler.stop`.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    fn rebase(&mut self, now: Timestamp) {
        for job in self.jobs.iter_mut().filter(|job| job.active) {
            job.next = (!job.used_up()).then(|| job.schedule.next(now)).flatten();
        }
    }

    /// The top level of `owner` completed: its jobs count from now on, those of every other child
    /// of the same script are gone. Answers what was asked to run at once while it loaded.
    pub(crate) fn activate(&mut self, owner: Owner, now: Timestamp) -> Vec<Firing> {
        self.jobs
            .retain(|job| job.owner.script != owner.script || job.owner == owner);
        let mut firings = Vec::new();
        for job in self.jobs.iter_mut().filter(|job| job.owner == owner) {
            job.active = true;
            job.next = job.schedule.next(now);
            if job.pending {
                firings.push(job.fire(now, now));
            }
        }
        firings
    }

    /// A child is gone, with its jobs.
    pub(crate) fn drop_owner(&mut self, owner: Owner) {
        self.jobs.retain(|job| job.owner != owner);
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        if self.stopped {
            return None;
        }
        self.jobs.iter().filter_map(|job| job.next).min()
    }

    /// What is due at `now` by the wall clock, in order of the due moments. A job that missed
    /// several moments runs once.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Firing> {
        self.now = now;
        if self.stopped {
            return Vec::new();
        }
        let mut firings = Vec::new();
        for job in &mut self.jobs {
            let Some(at) = job.next.filter(|at| *at <= now) else {
                continue;
            };
            job.next = job.schedule.next(now);
            if job.running {
                job.pending = true;
            } else {
                firings.push(job.fire(at, now));
            }
        }
        firings.sort_by_key(|firing| (firing.at, firing.owner, firing.job));
        firings
    }

    /// The one job that is due first up to `until`, on the way to `now` in packet time; to be called
    /// until it answers `None`, each firing having finished before the next call. Every missed moment
    /// runs, up to [`MAX_CATCH_UP`] a job and way. The first moment ever told starts all schedules.
    pub(crate) fn due_first(&mut self, until: Timestamp, now: Timestamp) -> Option<Firing> {
        if self.now == Timestamp::default() {
            self.now = now;
            self.rebase(now);
        }
        let due = self
            .jobs
            .iter_mut()
            .filter(|job| !job.running && job.next.is_some_and(|at| at <= until))
            .min_by_key(|job| (job.next, job.owner, job.id))
            .filter(|_| !self.stopped);
        let Some(job) = due else {
            self.now = self.now.max(until);
            if until >= now {
                self.caught_up.clear();
            }
            return None;
        };
        let at = job.next.unwrap_or(until);
        self.now = self.now.max(at);
        let count = match self.caught_up.iter_mut().find(|(id, _)| *id == job.id) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.caught_up.push((job.id, 1));
                1
            }
        };
        job.next = job
            .schedule
            .next(if count < MAX_CATCH_UP { at } else { now });
        Some(job.fire(at, at))
    }

    /// A run ended. Answers a run that came due meanwhile.
    pub(crate) fn finished(&mut self, id: u64, now: Timestamp) -> Option<Firing> {
        let position = self.jobs.iter().position(|job| job.id == id)?;
        let job = self.jobs.get_mut(position)?;
        job.running = false;
        if job.used_up() {
            let job = self.jobs.remove(position);
            self.forgotten.push((job.owner, job.task));
            return None;
        }
        let again = job.pending && !self.stopped;
        job.pending = false;
        again.then(|| job.fire(now, now))
    }

    /// Every job, for people.
    pub(crate) fn infos(&self) -> Vec<JobInfo> {
        let running = !self.stopped;
        self.jobs
            .iter()
            .filter(|job| job.active)
            .map(|job| job.info(running))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Owner = Owner {
        script: 0,
        child: 1,
    };
    const A2: Owner = Owner {
        script: 0,
        child: 2,
    };
    const B: Owner = Owner {
        script: 1,
        child: 3,
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_706_918_400 + secs, 0)
    }

    fn tags(firings: &[Firing]) -> Vec<&str> {
        firings.iter().map(|firing| firing.tag.as_str()).collect()
    }

    #[test]
    fn a_limit_of_one_fires_once_about_a_second_after_load() {
        let mut jobs = Jobs::new(at(0));
        let line = jobs
            .schedule(A, false, "Run once", "* * * * * *", 1, 7)
            .unwrap();
        assert_eq!(
            line,
            "Scheduled the job: \"run-once\" for cron: \"* * * * * *\" (limit: 1)"
        );
        assert!(
            jobs.due(at(5)).is_empty(),
            "not before the top level completed"
        );
        jobs.activate(A, at(6));
        assert!(jobs.due(at(6)).is_empty());
        let due = jobs.due(at(7));
        assert_eq!(tags(&due), ["run-once"]);
        assert_eq!((due[0].task, due[0].limit), (7, 1));
        assert!(jobs.due(at(9)).is_empty());
        assert_eq!(jobs.finished(due[0].job, at(9)), None);
        assert!(jobs.infos().is_empty(), "removed after its runs");
    }

    #[test]
    fn runs_of_one_job_never_overlap_and_are_remembered_once() {
        let mut jobs = Jobs::new(at(0));
        jobs.schedule(A, true, "j", "* * * * * *", 0, 1).unwrap();
        let first = jobs.due(at(1));
        assert_eq!(first.len(), 1);
        assert!(jobs.due(at(2)).is_empty() && jobs.due(at(3)).is_empty());
        let again = jobs.finished(first[0].job, at(3)).unwrap();
        assert_eq!(again.job, first[0].job);
        assert_eq!(jobs.finished(again.job, at(3)), None);
    }

    #[test]
    fn tags_are_kept_per_script_and_acted_on_together() {
        let mut jobs = Jobs::new(at(0));
        jobs.schedule(A, true, "report", "@hourly", 0, 1).unwrap();
        jobs.schedule(B, true, "report", "@hourly", 0, 1).unwrap();
        jobs.schedule(B, true, "report", "@daily", 0, 2).unwrap();
        assert_eq!(jobs.list(B), ["report", "report"]);
        let (line, firings) = jobs.run("Report", Some(B), at(1)).unwrap();
        assert_eq!(line, "Triggered the job: \"report\"");
        assert_eq!(
            firings
                .iter()
                .map(|firing| firing.owner)
                .collect::<Vec<_>>(),
            [B, A]
        );
        assert_eq!(
            jobs.remove("report").unwrap(),
            "Removed the job: \"report\""
        );
        assert_eq!(
            jobs.remove("report").unwrap_err().to_string(),
            "no job has the tag \"report\""
        );
    }

    #[test]
    fn a_reload_swaps_the_jobs_in_one_step() {
        let mut jobs = Jobs::new(at(0));
        jobs.schedule(A, false, "old", "* * * * * *", 0, 1).unwrap();
        jobs.activate(A, at(0));
        jobs.schedule(A2, false, "new", "* * * * * *", 0, 1)
            .unwrap();
        assert_eq!(tags(&jobs.due(at(1))), ["old"]);
        jobs.activate(A2, at(1));
        assert_eq!(tags(&jobs.due(at(2))), ["new"]);
        jobs.drop_owner(A);
        assert_eq!(jobs.list(A2), ["new"]);
    }

    #[test]
    fn a_stopped_scheduler_makes_up_for_nothing() {
        let mut jobs = Jobs::new(at(0));
        jobs.schedule(A, true, "j", "0 * * * * *", 0, 1).unwrap();
        jobs.stop();
        assert!(!jobs.is_running() && jobs.due(at(600)).is_empty());
        assert_eq!(jobs.next_due(), None);
        jobs.start(at(630));
        assert_eq!(jobs.next_due(), Some(at(660)));
    }

    #[test]
    fn packet_time_fires_every_missed_moment_in_order() {
        let mut jobs = Jobs::new(Timestamp::default());
        jobs.schedule(A, true, "hour", "0 0 * * * *", 0, 1).unwrap();
        jobs.schedule(B, true, "half", "0 30 * * * *", 0, 1)
            .unwrap();
        assert_eq!(
            jobs.due_first(at(60), at(60)),
            None,
            "the first moment starts the schedules"
        );
        let mut fired = Vec::new();
        while let Some(firing) = jobs.due_first(at(2 * 3600 + 60), at(2 * 3600 + 60)) {
            fired.push((firing.tag.clone(), firing.at));
            jobs.finished(firing.job, firing.at);
        }
        let expected = [
            ("half", 1800),
            ("hour", 3600),
            ("half", 5400),
            ("hour", 7200),
        ]
        .map(|(tag, secs)| (tag.to_owned(), at(secs)));
        assert_eq!(fired, expected);
    }

    #[test]
    fn a_gap_of_years_is_not_a_million_runs() {
        let mut jobs = Jobs::new(at(0));
        jobs.schedule(A, true, "j", "* * * * * *", 0, 1).unwrap();
        let mut count = 0;
        while let Some(firing) = jobs.due_first(at(10 * 365 * 86_400), at(10 * 365 * 86_400)) {
            count += 1;
            jobs.finished(firing.job, firing.at);
        }
        assert_eq!(count, MAX_CATCH_UP);
    }
}
