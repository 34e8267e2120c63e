//! The capture filters of a live run: that of the configuration, or one that was chosen instead, and
//! what the recording can match.
//!
//! In: configurations as they change, filters that somebody chooses. Out: one filter for the source.
//! Never: a filter that libpcap refuses; the last good one stays.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::config::Config;
#[cfg(feature = "live")]
use super::follow::say;
use crate::capture::RawBatch;
#[cfg(feature = "live")]
use crate::capture::live::narrowing::{Compiled, Narrow, Narrowing, both, check_for};

/// The filters; clones share them.
#[derive(Clone, Default)]
pub struct Filters(Arc<Mutex<State>>);

#[cfg(feature = "live")]
#[derive(Default)]
struct State {
    interface: String,
    narrowing: Narrowing,
    /// What the recording can match.
    matched: Option<Narrow>,
    /// That of the configuration.
    configured: String,
    /// The one that was chosen instead of it.
    chosen: Option<String>,
    /// The last one that was asked for, good or not.
    asked: Option<String>,
    last: Option<Narrow>,
}

#[cfg(not(feature = "live"))]
#[derive(Default)]
struct State;

#[cfg(feature = "live")]
impl Filters {
    /// Those of a source on `interface`, which follows `narrowing`.
    pub(super) fn new(interface: &str, narrowing: Narrowing) -> Filters {
        let filters = Filters::default();
        filters.change(|state| {
            state.interface = interface.to_owned();
            state.narrowing = narrowing;
        });
        filters
    }

    /// Follows a configuration; what was chosen stays.
    pub(super) fn follow(&self, config: &Config) {
        self.change(|state| {
            if let Some((narrow, said)) = super::prefilter::narrow(config)
                && state.matched.as_ref() != Some(&narrow)
            {
                eprintln!("{said}");
                state.matched = Some(narrow);
            }
            let bpf = config.text("tap.bpfOverride");
            match check_for(bpf, &state.interface) {
                Ok(()) => bpf.clone_into(&mut state.configured),
                Err(error) => say(&format!("{error}; the last good filter stays in force")),
            }
            state.set();
        });
    }

    /// Takes `bpf` instead of the filter of the configuration, or that again. What was asked for last
    /// is not judged again.
    ///
    /// # Errors
    /// One sentence: why libpcap refuses it; the one in force stays.
    pub(super) fn choose(&self, bpf: Option<&str>) -> Result<(), String> {
        self.change(|state| {
            if state.asked.as_deref() == bpf {
                return Ok(());
            }
            state.asked = bpf.map(str::to_owned);
            if let Some(bpf) = bpf {
                check(bpf, &state.interface)?;
            }
            state.chosen.clone_from(&state.asked);
            state.set();
            Ok(())
        })
    }

    /// Whether `bpf` was taken instead of the filter of the configuration, or that again.
    pub(super) fn is_chosen(&self, bpf: Option<&str>) -> bool {
        self.change(|state| state.chosen.as_deref() == bpf)
    }

    /// The filter that was chosen, or that of the configuration: what the recording can match aside.
    fn own(&self) -> String {
        self.change(|state| state.own().to_owned())
    }

    /// The filter in force on links that are no Ethernet.
    #[cfg(test)]
    pub(super) fn in_force(&self) -> Option<String> {
        self.change(|state| state.last.as_ref().map(|narrow| narrow.other.clone()))
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(feature = "live")]
impl State {
    fn own(&self) -> &str {
        self.chosen.as_ref().unwrap_or(&self.configured)
    }

    /// Goes over to the filters, when they are others than before.
    fn set(&mut self) {
        let own = self.own();
        let matched = self.matched.clone().unwrap_or_default();
        let narrow = Narrow {
            ethernet: both(own, &matched.ethernet),
            other: both(own, &matched.other),
        };
        if self.last.replace(narrow.clone()).as_ref() != Some(&narrow) {
            self.narrowing.set(narrow);
        }
    }
}

/// Takes out of packets in memory what the filter lets not pass that is in force by now: they were read
/// before it was.
pub(super) struct Passing {
    #[cfg_attr(
        not(feature = "live"),
        expect(dead_code, reason = "only live capture has filters")
    )]
    filters: Filters,
    #[cfg(feature = "live")]
    compiled: Compiled,
}

impl Passing {
    pub(super) fn new(filters: Filters) -> Passing {
        Passing {
            filters,
            #[cfg(feature = "live")]
            compiled: Compiled::default(),
        }
    }

    /// Takes what does not pass out of `batch`; gives its count of packets.
    #[cfg(feature = "live")]
    pub(super) fn leave_out(&mut self, batch: &mut RawBatch) -> u64 {
        self.compiled.be(&self.filters.own());
        self.compiled.leave_out(batch)
    }

    /// Nothing: no filter is known.
    #[cfg(not(feature = "live"))]
    pub(super) fn leave_out(&mut self, _batch: &mut RawBatch) -> u64 {
        0
    }
}

/// Whether libpcap understands a filter for what is captured on an interface.
///
/// # Errors
/// One sentence with libpcap's reason.
#[cfg(feature = "live")]
pub(super) fn check(bpf: &str, interface: &str) -> Result<(), String> {
    check_for(bpf, interface).map_err(|error| error.to_string())
}

/// None: nothing is captured live.
#[cfg(not(feature = "live"))]
pub(super) fn check(bpf: &str, _interface: &str) -> Result<(), String> {
    match bpf {
        "" => Ok(()),
        _ => Err("this tapedeck was built without live capture, so it cannot tell whether this is a capture filter".to_owned()),
    }
}

/// Whether this build can tell what a capture filter is.
pub const TELLS_FILTERS: bool = cfg!(feature = "live");

/// Why libpcap refuses a filter for what is captured on an interface, as far as this build can tell.
pub fn refusal(bpf: &str, interface: &str) -> Option<String> {
    match TELLS_FILTERS {
        true => check(bpf, interface).err(),
        false => None,
    }
}

#[cfg(not(feature = "live"))]
impl Filters {
    pub(super) fn follow(&self, _config: &Config) {}

    pub(super) fn choose(&self, _bpf: Option<&str>) -> Result<(), String> {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    pub(super) fn is_chosen(&self, _bpf: Option<&str>) -> bool {
        true
    }
}

#[cfg(all(test, feature = "live"))]
mod tests {
    use super::*;
    use crate::cli::Global;
    use crate::cli::config::Surroundings;

    fn config(bpf: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yaml");
        let text = format!("tap:\n  bpfOverride: {}\n", serde_json::Value::from(bpf));
        std::fs::write(&path, text).unwrap();
        let global = Global {
            config_path: Some(path),
            ..Global::default()
        };
        Config::load(&global, &Surroundings::default()).unwrap()
    }

    fn in_force(filters: &Filters) -> String {
        filters.in_force().unwrap()
    }

    #[test]
    fn a_filter_that_is_chosen_goes_before_the_configuration_and_a_bad_one_changes_nothing() {
        let filters = Filters::new("any", Narrowing::default());
        filters.follow(&config("tcp port 80"));
        assert_eq!(in_force(&filters), "tcp port 80");
        filters.choose(Some("udp")).unwrap();
        filters.follow(&config("tcp port 81"));
        assert_eq!(in_force(&filters), "udp");
        for bad in ["tcp port", "ether host 02:00:00:00:00:01"] {
            let sentence = filters.choose(Some(bad)).unwrap_err();
            assert!(sentence.contains(bad), "{sentence}");
            assert_eq!(in_force(&filters), "udp");
            // It is said once.
            filters.choose(Some(bad)).unwrap();
        }
        filters.choose(Some("")).unwrap();
        assert_eq!(in_force(&filters), "");
        filters.choose(None).unwrap();
        assert_eq!(in_force(&filters), "tcp port 81");
        filters.follow(&config("tcp port"));
        assert_eq!(in_force(&filters), "tcp port 81");
    }
}
