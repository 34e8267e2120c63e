//! What summaries are made of: counts with tones and latencies, groups with the clauses that lead
//! back to their items, and endpoints whose paths differ from call to call.

use serde_json::{Value as Json, json};

use super::rows::Tone;
use crate::investigate::latency::Latencies;

/// Bytes by direction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) requests: u64,
    pub(super) responses: u64,
}

impl Bytes {
    pub(super) fn add(&mut self, more: Bytes) {
        self.requests = self.requests.saturating_add(more.requests);
        self.responses = self.responses.saturating_add(more.responses);
    }

    /// Those of an item, out of the numbers at its paths.
    pub(super) fn of(int: &impl Fn(&str) -> i64) -> Bytes {
        let of = |path: &str| u64::try_from(int(path)).unwrap_or_default();
        Bytes {
            requests: of("requestSize"),
            responses: of("responseSize"),
        }
    }
}

/// Counts of some items.
#[derive(Debug, Default, Clone)]
pub(super) struct Sum {
    pub(super) tones: [u64; 4],
    pub(super) bytes: Bytes,
    pub(super) latencies: Latencies,
    pub(super) protocols: Vec<(u16, u64)>,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Sum {
    pub(super) fn add(&mut self, seen: &Seen) {
        if self.count() == 0 {
            self.first = seen.at;
            self.last = seen.at;
        }
        self.first = self.first.min(seen.at);
        self.last = self.last.max(seen.at);
        self.tones[seen.tone as usize] += 1;
        self.bytes.add(seen.bytes);
        self.add_protocol(seen.protocol, 1);
        if let Some(took) = seen.took {
            self.latencies.add(took);
        }
    }

    pub(super) fn merge(&mut self, other: &Sum) {
        if self.count() == 0 {
            self.first = other.first;
            self.last = other.last;
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for (mine, theirs) in self.tones.iter_mut().zip(other.tones) {
            *mine += theirs;
        }
        self.bytes.add(other.bytes);
        self.latencies.merge(&other.latencies);
        for &(protocol, count) in &other.protocols {
            self.add_protocol(protocol, count);
        }
    }

    pub(super) fn add_protocol(&mut self, protocol: u16, count: u64) {
        match self
            .protocols
            .iter_mut()
            .find(|(known, _)| *known == protocol)
        {
            Some((_, sum)) => *sum += count,
            None => self.protocols.push((protocol, count)),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.tones.iter().sum()
    }

    /// `{"count","good","warn","bad","bytes","requestBytes","responseBytes","p50","p99","first","last",
    /// "protocols":{abbr: count}}`; times in milliseconds.
    pub(super) fn json(&self, names: &[Protocol]) -> Json {
        let protocols: serde_json::Map<String, Json> = self
            .protocols
            .iter()
            .filter_map(|(index, count)| {
                Some((names.get(usize::from(*index))?.abbr.clone(), json!(count)))
            })
            .collect();
        let tone = |tone: Tone| self.tones[tone as usize];
        json!({
            "count": self.count(),
            "good": tone(Tone::Good) + tone(Tone::Plain),
            "warn": tone(Tone::Warn),
            "bad": tone(Tone::Bad),
            "bytes": self.bytes.requests.saturating_add(self.bytes.responses),
            "requestBytes": self.bytes.requests,
            "responseBytes": self.bytes.responses,
            "p50": self.latencies.percentile(50),
            "p99": self.latencies.percentile(99),
            "first": self.first,
            "last": self.last,
            "protocols": protocols,
        })
    }
}

/// What one item adds.
pub(super) struct Seen {
    pub(super) at: i64,
    pub(super) tone: Tone,
    pub(super) bytes: Bytes,
    pub(super) took: Option<u64>,
    pub(super) protocol: u16,
}

/// A protocol as pages draw it.
pub(super) struct Protocol {
    pub(super) abbr: String,
    pub(super) background: String,
    pub(super) foreground: String,
}

/// A clause that leads back to the items of a group: a path and the value there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause {
    pub(super) path: String,
    pub(super) value: String,
    /// The value is a regular expression.
    pub(super) pattern: bool,
}

pub(super) struct Group {
    pub(super) labels: Vec<String>,
    pub(super) protocol: Option<String>,
    pub(super) clauses: Vec<Clause>,
    pub(super) sum: Sum,
}

/// One end of a conversation; what is not known is empty.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(super) struct End {
    /// Its name, or its address.
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) service: String,
    /// Name of the node it is on.
    pub(super) node: String,
}

pub(super) fn label_of(end: &End) -> String {
    if end.namespace.is_empty() {
        end.name.clone()
    } else {
        format!("{}.{}", end.name, end.namespace)
    }
}

pub(super) fn clause_of(side: &str, end: &End) -> Clause {
    let address = end.name.parse::<std::net::IpAddr>().is_ok();
    Clause {
        path: format!("{side}.{}", if address { "ip" } else { "name" }),
        value: end.name.clone(),
        pattern: false,
    }
}

/// The next width of slots that people read easily, in milliseconds.
pub(super) fn nicer(width: i64) -> i64 {
    const NICE: [i64; 22] = [
        10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000,
        300_000, 600_000, 900_000, 1_800_000, 3_600_000, 10_800_000, 21_600_000, 86_400_000,
    ];
    NICE.into_iter()
        .find(|nice| *nice > width)
        .unwrap_or(width.saturating_mul(2))
}

/// A path whose segments that differ from call to call (numbers, UUIDs, long hexadecimal words) are
/// `{id}`, with the regular expression that finds all of its kind; the query string is left out.
pub(super) fn template(summary: &str) -> (String, Option<String>) {
    let path = summary.split('?').next().unwrap_or_default();
    let had_query = path.len() < summary.len();
    if !path.starts_with('/') {
        return (summary.to_owned(), None);
    }
    let mut changed = false;
    let mut shown = Vec::new();
    let mut pattern = Vec::new();
    for segment in path.split('/') {
        if differs(segment) {
            changed = true;
            shown.push("{id}".to_owned());
            pattern.push("[^/?]+".to_owned());
        } else {
            shown.push(segment.to_owned());
            pattern.push(regex::escape(segment));
        }
    }
    let pattern = (changed || had_query).then(|| format!("^{}($|\\?)", pattern.join("/")));
    (shown.join("/"), pattern)
}

/// Whether a segment looks like the name of one thing among many.
pub(super) fn differs(segment: &str) -> bool {
    let hex = segment
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    !segment.is_empty() && (digits == segment.len() || (hex && segment.len() >= 16 && digits > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_call_to_call_is_one_endpoint() {
        let cases = [
            ("/orders/17", "/orders/{id}", true),
            ("/orders/17?full=1", "/orders/{id}", true),
            (
                "/a/6fa459ea-ee8a-3ca4-894e-db77e160355e/b",
                "/a/{id}/b",
                true,
            ),
            ("/feed", "/feed", false),
            ("/a.b?x", "/a.b", true),
            ("", "", false),
            ("SELECT 1", "SELECT 1", false),
            ("example.org", "example.org", false),
        ];
        for (given, wanted, has_pattern) in cases {
            let (shown, pattern) = template(given);
            assert_eq!(shown, wanted);
            assert_eq!(pattern.is_some(), has_pattern, "{given}");
            if let Some(pattern) = pattern {
                assert!(
                    regex::Regex::new(&pattern).unwrap().is_match(given),
                    "{pattern}"
                );
            }
        }
    }
}
