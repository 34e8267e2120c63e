//! The queries of those who look at items, as long as they look.
//!
//! In: a query each time somebody looks. Out: which are in force, and when the rows of before have
//! come for one. Never: a query that stays although nobody looks any more.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::message::{MAX_QUERIES, QueryText};

/// Time that a query stays in force after the last look.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// How long the rows of before are waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A query in force.
struct Lease {
    id: u64,
    kfl: String,
    until: Instant,
    /// Nodes whose rows of before are still to come.
    waiting: BTreeSet<String>,
    /// When they are not waited for any more.
    patience: Instant,
}

#[derive(Default)]
struct Inner {
    last: u64,
    leases: Vec<Lease>,
}

/// The queries in force.
#[derive(Default)]
pub(super) struct Queries {
    inner: Mutex<Inner>,
    came: Condvar,
}

impl Queries {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody looks through `kfl` at `now`, while `nodes` are there; answers its number, and
    /// whether it is new.
    pub(super) fn look(&self, kfl: &str, nodes: BTreeSet<String>, now: Instant) -> (u64, bool) {
        let mut inner = self.inner();
        if let Some(lease) = inner.leases.iter_mut().find(|lease| lease.kfl == kfl) {
            lease.until = now + LEASE;
            return (lease.id, false);
        }
        if inner.leases.len() >= MAX_QUERIES {
            let oldest = inner.leases.iter().enumerate();
            if let Some((at, _)) = oldest.min_by_key(|(_, lease)| lease.until) {
                inner.leases.remove(at);
            }
        }
        inner.last += 1;
        let id = inner.last;
        inner.leases.push(Lease {
            id,
            kfl: kfl.to_owned(),
            until: now + LEASE,
            waiting: nodes,
            patience: now + PATIENCE,
        });
        (id, true)
    }

    /// Waits until the rows of before have come for a query, as long as patience goes.
    pub(super) fn wait(&self, id: u64) {
        let inner = self.inner();
        let waiting = |inner: &Inner| {
            let lease = inner.leases.iter().find(|lease| lease.id == id)?;
            let left = lease.patience.checked_duration_since(Instant::now())?;
            (!lease.waiting.is_empty()).then_some(left)
        };
        let mut inner = inner;
        while let Some(left) = waiting(&inner) {
            (inner, _) = self
                .came
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The rows of before of a node have come for a query, or for all of them: it is gone.
    pub(super) fn came(&self, node: &str, query: Option<u64>) {
        let mut inner = self.inner();
        for lease in &mut inner.leases {
            if query.is_none_or(|query| query == lease.id) {
                lease.waiting.remove(node);
            }
        }
        self.came.notify_all();
    }

    /// Whether rows of before are waited for.
    pub(super) fn are_waiting(&self, now: Instant) -> bool {
        let inner = self.inner();
        let mut leases = inner.leases.iter();
        leases.any(|lease| !lease.waiting.is_empty() && now < lease.patience)
    }

    /// Lets go of queries that nobody looks through any more; answers whether there were any.
    pub(super) fn expire(&self, now: Instant) -> bool {
        let mut inner = self.inner();
        let before = inner.leases.len();
        inner.leases.retain(|lease| now < lease.until);
        inner.leases.len() < before
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<QueryText> {
        let inner = self.inner();
        let text = |lease: &Lease| QueryText {
            id: lease.id,
            kfl: lease.kfl.clone(),
        };
        inner.leases.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_query_lives_while_somebody_looks() {
        let queries = Queries::default();
        let now = Instant::now();
        assert_eq!(queries.look("http", nodes(&[]), now), (1, true));
        assert_eq!(queries.look("dns", nodes(&[]), now), (2, true));
        let later = now + LEASE / 2;
        assert_eq!(queries.look("http", nodes(&[]), later), (1, false));
        assert!(!queries.expire(later));
        assert!(queries.expire(now + LEASE));
        let left: Vec<String> = queries.all().into_iter().map(|one| one.kfl).collect();
        assert_eq!(left, ["http"]);
        for number in 0..2 * MAX_QUERIES {
            queries.look(&format!("q{number}"), nodes(&[]), later);
        }
        assert_eq!(queries.all().len(), MAX_QUERIES);
    }

    #[test]
    fn rows_of_before_are_waited_for_until_every_node_sent_them_or_is_gone() {
        let queries = Queries::default();
        let now = Instant::now();
        let (id, _) = queries.look("", nodes(&["a", "b"]), now);
        assert!(queries.are_waiting(now));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                queries.came("a", Some(id));
                queries.came("b", None);
            });
            queries.wait(id);
        });
        assert!(!queries.are_waiting(now));
        assert!(now.elapsed() < PATIENCE);
        queries.look("http", nodes(&["gone"]), now);
        assert!(!queries.are_waiting(now + PATIENCE));
    }
}
