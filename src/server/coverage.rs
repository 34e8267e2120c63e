//! When packets were lost, as a run goes.
//!
//! In: the counters, once a second. Out: spans with what was lost in them and why, for the timeline.
//! Never: more than [`MAX_SPANS`] spans; beyond, the oldest two become one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::pipeline::Counts;
use crate::time::Timestamp;

/// Time between two looks at the counters.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Spans that are kept.
const MAX_SPANS: usize = 2000;

/// Losses of one kind that lie closer together are one span.
const APART: Duration = Duration::from_secs(3);

/// A span in which something was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    why: &'static str,
    packets: u64,
    from: Timestamp,
    to: Timestamp,
}

#[derive(Debug, Default)]
struct Noted {
    last: [u64; 7],
    looked: Option<Timestamp>,
    spans: Vec<Span>,
}

/// What was lost since the start.
#[derive(Debug)]
pub struct Losses {
    began: Timestamp,
    noted: Mutex<Noted>,
}

/// Reasons by the names that manifests use, with their counters.
fn figures(counts: &Counts) -> [(&'static str, u64); 7] {
    [
        ("kernel_dropped", counts.kernel_dropped),
        ("interface_dropped", counts.interface_dropped),
        ("not_dissected", counts.not_dissected),
        ("memory_short", counts.memory_short),
        ("spool_not_written", counts.spool_not_written),
        ("targets_unknown", counts.targets_unknown),
        ("not_targeted", counts.not_targeted),
    ]
}

impl Losses {
    /// Nothing yet.
    pub fn new(began: Timestamp) -> Losses {
        Losses {
            began,
            noted: Mutex::default(),
        }
    }

    /// Takes the counters as they are now.
    pub fn note(&self, counts: &Counts, now: Timestamp) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let from = noted.looked.replace(now).unwrap_or(self.began);
        // Of a span that the clock was set back in, its end alone is known.
        let from = from.min(now);
        for (index, (why, count)) in figures(counts).into_iter().enumerate() {
            let before = std::mem::replace(&mut noted.last[index], count);
            let packets = count.saturating_sub(before);
            if packets == 0 {
                continue;
            }
            let near = noted
                .spans
                .iter_mut()
                .rev()
                .find(|span| span.why == why)
                .filter(|span| from.since(span.to) <= APART);
            match near {
                Some(span) => {
                    span.packets += packets;
                    span.to = span.to.max(now);
                }
                None => noted.spans.push(Span {
                    why,
                    packets,
                    from,
                    to: now,
                }),
            }
        }
        if noted.spans.len() > MAX_SPANS {
            let first = noted.spans.remove(0);
            if let Some(second) = noted.spans.iter_mut().find(|span| span.why == first.why) {
                second.from = first.from;
                second.packets += first.packets;
            }
        }
    }

    /// What was lost until `now`, as the timeline has it.
    ///
    /// ```text
    /// {"captured": [{"from", "to"}], "lost": [{"why", "packets", "from", "to"}]}
    /// ```
    pub fn json(&self, now: Timestamp) -> Json {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let lost: Vec<Json> = noted
            .spans
            .iter()
            .map(|span| {
                json!({
                    "why": span.why, "packets": span.packets,
                    "from": span.from.to_string(), "to": span.to.to_string(),
                })
            })
            .collect();
        let captured = json!({"from": self.began.to_string(), "to": now.to_string()});
        json!({"captured": [captured], "lost": lost})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(second, 0)
    }

    #[test]
    fn losses_that_follow_one_another_are_one_span() {
        let losses = Losses::new(at(0));
        let mut counts = Counts::default();
        for (second, dropped) in [(1, 0), (2, 5), (3, 9), (20, 9), (21, 10)] {
            counts.kernel_dropped = dropped;
            losses.note(&counts, at(second));
        }
        let told = losses.json(at(30));
        assert_eq!(told["lost"].as_array().unwrap().len(), 2);
        assert_eq!(told["lost"][0]["packets"], 9);
        assert_eq!(told["lost"][0]["from"], at(1).to_string());
        assert_eq!(told["lost"][0]["to"], at(3).to_string());
        assert_eq!(told["captured"][0]["from"], at(0).to_string());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_span_that_ends_before_it_begins() {
        let losses = Losses::new(at(0));
        let mut counts = Counts::default();
        for (second, dropped) in [(99, 0), (100, 5), (50, 6), (40, 9)] {
            counts.kernel_dropped = dropped;
            losses.note(&counts, at(second));
        }
        let noted = losses.noted.lock().unwrap();
        assert!(
            noted.spans.iter().all(|span| span.from <= span.to),
            "{noted:?}"
        );
        let packets: u64 = noted.spans.iter().map(|span| span.packets).sum();
        assert_eq!(packets, 9);
    }

    #[test]
    fn the_spans_are_bounded_and_their_packets_stay() {
        let losses = Losses::new(at(0));
        let mut counts = Counts::default();
        for index in 0..3 * MAX_SPANS as i64 {
            counts.not_dissected += 1;
            losses.note(&counts, at(index * 10));
            losses.note(&counts, at(index * 10 + 5));
        }
        let told = losses.json(at(0));
        let spans = told["lost"].as_array().unwrap();
        assert!(spans.len() <= MAX_SPANS);
        let sum: u64 = spans
            .iter()
            .map(|span| span["packets"].as_u64().unwrap())
            .sum();
        assert_eq!(sum, counts.not_dissected);
    }
}
