//! Whether the hub does its work, for probes and Prometheus, from the first moment on.
//!
//! In: what it waits for, the watches of the cluster, figures once there are some. Out: answers of `/healthz`,
//! `/readyz` and `/metrics`. Never: a hub that is ended because it waits for the API server; one that counts as
//! unready for what a restart does not mend.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::super::Asked;
use super::super::metrics::{Port, Pulse, Served};

/// Gives the figures as text.
type Figures = Box<dyn Fn() -> String + Send + Sync>;

/// What the probes are answered; clones share it.
#[derive(Clone)]
pub(super) struct Ready(Arc<Inner>);

struct Inner {
    pulse: Pulse,
    cluster: Asked,
    /// What is waited for before anybody is served.
    waits: Mutex<Option<String>>,
    /// Whether the names were there once: without the API server they stay as they were.
    are_named: AtomicBool,
    figures: OnceLock<Figures>,
    port: Port,
}

impl Ready {
    /// Not yet.
    pub(super) fn new(cluster: Asked) -> Ready {
        Ready(Arc::new(Inner {
            pulse: Pulse::new(),
            cluster,
            waits: Mutex::new(Some("the hub is being started".to_owned())),
            are_named: AtomicBool::new(false),
            figures: OnceLock::new(),
            port: Port::default(),
        }))
    }

    /// What is served beside the dashboard.
    pub(super) fn served(&self) -> Served {
        let (of_figures, of_work) = (self.clone(), self.clone());
        Served {
            pulse: self.0.pulse.clone(),
            metrics: Box::new(move || {
                let figures = of_figures.0.figures.get();
                figures.map(|figures| figures()).unwrap_or_default()
            }),
            unready: Box::new(move || of_work.unready()),
            lacks: Box::new(|| None),
            port: self.0.port.clone(),
        }
    }

    /// Where they are answered. Whoever has that does not keep the figures, and with them the hub.
    pub(super) fn port(&self) -> Port {
        self.0.port.clone()
    }

    /// The loop goes round.
    pub(super) fn beat(&self) {
        self.0.pulse.beat();
    }

    /// The hub waits for this, or for nothing any more.
    pub(super) fn waits(&self, why: Option<String>) {
        *self.0.waits.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// These are the figures from now on.
    pub(super) fn figures(&self, figures: Figures) {
        // A hub has them once.
        let _ = self.0.figures.set(figures);
    }

    fn unready(&self) -> Option<String> {
        let waits = self.0.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.is_some() || self.0.are_named.load(Ordering::Relaxed) {
            return waits.clone();
        }
        let unnamed = self.0.cluster.waits_for();
        self.0.are_named.store(unnamed.is_none(), Ordering::Relaxed);
        unnamed.map(|why| format!("the names of the cluster are not known yet: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_ready_when_it_waits_for_nothing() {
        let ready = Ready::new(Asked::default());
        let served = ready.served();
        assert!((served.unready)().unwrap().contains("being started"));
        assert_eq!((served.metrics)(), "");
        ready.waits(Some("the API server does not answer".to_owned()));
        assert_eq!(
            (served.unready)().unwrap(),
            "the API server does not answer"
        );
        ready.waits(None);
        ready.figures(Box::new(|| "a 1\n".to_owned()));
        assert_eq!((served.unready)(), None);
        assert_eq!((served.metrics)(), "a 1\n");
    }
}
