//! Two time ranges side by side: what appeared, vanished or moved.

use std::collections::BTreeMap;

use serde::Serialize;

use super::measure::{Endpoint, Measure};

/// Exchanges that both ranges need before a rate or a latency of theirs is compared.
const LEAST: u64 = 10;

/// Points of a hundred by which a rate of failures moves.
const POINTS: f64 = 5.0;

/// By how much a latency moves: half as long again, or two thirds.
const FACTOR: f64 = 1.5;

/// Milliseconds below which a latency does not move.
const LEAST_MILLIS: f64 = 1.0;

/// All that is different.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Diff {
    pub(super) items: [u64; 2],
    pub(super) endpoints: Names,
    pub(super) statuses: Vec<Moved>,
    pub(super) latencies: Vec<Moved>,
    pub(super) peers: Names,
    pub(super) dns: Names,
    pub(super) tls: Names,
}

/// Names with how often they were seen.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) appeared: BTreeMap<String, u64>,
    pub(super) vanished: BTreeMap<String, u64>,
}

/// A figure of an endpoint that is another one now.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Moved {
    pub(super) endpoint: String,
    /// `failed` in percent, `p50`, `p95` or `p99` in milliseconds.
    pub(super) figure: &'static str,
    pub(super) before: f64,
    pub(super) after: f64,
}

impl Diff {
    /// Whether nothing is different.
    pub(super) fn is_empty(&self) -> bool {
        let names = [&self.endpoints, &self.peers, &self.dns, &self.tls];
        names
            .iter()
            .all(|names| names.appeared.is_empty() && names.vanished.is_empty())
            && self.statuses.is_empty()
            && self.latencies.is_empty()
    }
}

/// What is different in `after`.
pub(super) fn compare(before: &Measure, after: &Measure) -> Diff {
    let counts = |measure: &Measure| -> BTreeMap<String, u64> {
        let all = measure.endpoints.iter();
        all.map(|(name, endpoint)| (name.clone(), endpoint.count))
            .collect()
    };
    let mut diff = Diff {
        items: [before.items, after.items],
        endpoints: names(&counts(before), &counts(after)),
        peers: names(&before.peers, &after.peers),
        dns: names(&before.dns, &after.dns),
        tls: names(&before.tls, &after.tls),
        ..Diff::default()
    };
    for (name, then) in &before.endpoints {
        let Some(now) = after.endpoints.get(name) else {
            continue;
        };
        if then.count.min(now.count) < LEAST {
            continue;
        }
        let rates = [failed(then), failed(now)];
        if (rates[1] - rates[0]).abs() >= POINTS {
            diff.statuses.push(moved(name, "failed", rates));
        }
        for (figure, percent) in [("p50", 50), ("p95", 95), ("p99", 99)] {
            let times = [then.percentile(percent), now.percentile(percent)];
            let [Some(old), Some(new)] = times else {
                continue;
            };
            let ratio = new.max(old) / new.min(old);
            if ratio >= FACTOR && new.max(old) >= LEAST_MILLIS {
                diff.latencies.push(moved(name, figure, [old, new]));
            }
        }
    }
    diff
}

fn failed(endpoint: &Endpoint) -> f64 {
    endpoint.failed as f64 * 100.0 / endpoint.count.max(1) as f64
}

fn moved(endpoint: &str, figure: &'static str, [before, after]: [f64; 2]) -> Moved {
    Moved {
        endpoint: endpoint.to_owned(),
        figure,
        before,
        after,
    }
}

fn names(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Names {
    let without = |these: &BTreeMap<String, u64>, others: &BTreeMap<String, u64>| {
        let mut left = these.clone();
        left.retain(|name, _| !others.contains_key(name));
        left
    };
    Names {
        appeared: without(after, before),
        vanished: without(before, after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_appear_and_vanish_and_rates_move() {
        let endpoint = |count, failed| Endpoint {
            count,
            failed,
            ..Endpoint::default()
        };
        let measure = |endpoints: &[(&str, Endpoint)]| Measure {
            endpoints: endpoints
                .iter()
                .map(|(name, one)| ((*name).to_owned(), one.clone()))
                .collect(),
            ..Measure::default()
        };
        let before = measure(&[
            ("a", endpoint(100, 1)),
            ("gone", endpoint(3, 0)),
            ("few", endpoint(5, 0)),
        ]);
        let after = measure(&[
            ("a", endpoint(100, 9)),
            ("new", endpoint(4, 0)),
            ("few", endpoint(5, 5)),
        ]);
        let diff = compare(&before, &after);
        assert_eq!(
            diff.endpoints.appeared,
            BTreeMap::from([("new".to_owned(), 4)])
        );
        assert_eq!(
            diff.endpoints.vanished,
            BTreeMap::from([("gone".to_owned(), 3)])
        );
        assert_eq!(diff.statuses, [moved("a", "failed", [1.0, 9.0])]);
        assert!(compare(&after, &after).is_empty());
    }
}
