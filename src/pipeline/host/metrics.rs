//! Metrics that scripts keep.
//!
//! In: samples with names, types and labels. Out: text for Prometheus (exposition format 0.0.4).
//! Never: more families and samples than the caps; a name that the format does not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Families of all scripts.
const MAX_FAMILIES: usize = 1000;

/// Samples of all families: a script that makes a label of each path must not eat the memory.
const MAX_SAMPLES: usize = 100_000;

/// Samples that one script may make, so that others still find room.
const MAX_SAMPLES_OF_SCRIPT: usize = 20_000;

/// Families that one script may make.
const MAX_FAMILIES_OF_SCRIPT: usize = 250;

/// Bytes of names, help texts and labels that one script may make.
const MAX_BYTES_OF_SCRIPT: usize = 8 << 20;

/// What a sample costs beside its texts.
const SAMPLE_BYTES: usize = 64;

/// Labels of a family.
const MAX_LABELS: usize = 64;

/// How the names of metrics begin that tapedeck itself keeps.
pub(super) const OURS: &str = "tapedeck_";

/// Bytes of a name, a help text or the value of a label; longer ones are cut, or refused as names.
const MAX_TEXT: usize = 1024;

/// The metrics.
#[derive(Debug, Default)]
pub(crate) struct ScriptMetrics(Mutex<Families>);

#[derive(Debug, Default)]
struct Families {
    by_name: BTreeMap<String, Family>,
    samples: usize,
    /// What each script made, by its index.
    made: BTreeMap<u32, Made>,
}

/// What one script made.
#[derive(Debug, Default, Clone, Copy)]
struct Made {
    families: usize,
    samples: usize,
    bytes: usize,
}

impl Made {
    /// With one more family, or one more sample.
    ///
    /// # Errors
    /// When that is too much.
    fn more(self, families: usize, samples: usize, bytes: usize) -> Result<Made, String> {
        let made = Made {
            families: self.families + families,
            samples: self.samples + samples,
            bytes: self.bytes + bytes,
        };
        let too_much = if made.families > MAX_FAMILIES_OF_SCRIPT {
            format!("{MAX_FAMILIES_OF_SCRIPT} metrics")
        } else if made.samples > MAX_SAMPLES_OF_SCRIPT {
            format!("{MAX_SAMPLES_OF_SCRIPT} samples of metrics")
        } else if made.bytes > MAX_BYTES_OF_SCRIPT {
            format!("{MAX_BYTES_OF_SCRIPT} bytes of names and labels of metrics")
        } else {
            return Ok(made);
        };
        Err(format!(
            "this script has {too_much} already, use fewer labels"
        ))
    }
}

#[derive(Debug)]
struct Family {
    help: String,
    kind: u8,
    labels: Vec<String>,
    /// By the values of the labels, in their order.
    samples: BTreeMap<Vec<String>, f64>,
}

/// A sample as a script gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    /// Index of the script.
    pub(crate) script: u32,
    /// Name of the metric.
    pub(crate) name: &'a str,
    /// Its help text.
    pub(crate) help: &'a str,
    /// 1 counter, 2 gauge, 3 untyped.
    pub(crate) kind: u8,
    /// The value.
    pub(crate) value: f64,
    /// Its labels.
    pub(crate) labels: &'a [(String, String)],
    /// Whether a counter adds up.
    pub(crate) adds: bool,
}

impl ScriptMetrics {
    /// Takes a sample; answers a sentence about what it is now.
    ///
    /// # Errors
    /// When a name is none, a family is used in another way than before, a counter would fall, or
    /// there are too many.
    pub(crate) fn keep(&self, sample: &Sample<'_>) -> Result<String, String> {
        let name = sample.name;
        if !is_name(name, ":") {
            return Err(format!("{name} is no name of a metric"));
        }
        if name.starts_with(OURS) {
            return Err(format!(
                "names that begin with {OURS} are those of tapedeck itself"
            ));
        }
        let mut labels: Vec<&(String, String)> = sample.labels.iter().collect();
        labels.sort();
        if labels.len() > MAX_LABELS {
            return Err(format!("{name} has more than {MAX_LABELS} labels"));
        }
        let names: Vec<String> = labels.iter().map(|(name, _)| name.clone()).collect();
        if let Some(bad) = names
            .iter()
            .find(|name| !is_name(name, "") || name.starts_with("__"))
        {
            return Err(format!("{bad} is no name of a label"));
        }
        if sample.adds && sample.kind == 1 && sample.value < 0.0 {
            return Err(format!("{name} is a counter and cannot fall"));
        }
        let values: Vec<String> = labels.iter().map(|(_, value)| cut(value)).collect();
        let mut families = self.lock();
        let Families {
            by_name,
            samples: all,
            made,
        } = &mut *families;
        let mut after = made.get(&sample.script).copied().unwrap_or_default();
        let known = by_name.get(name);
        if let Some(family) = known {
            if family.kind != sample.kind {
                return Err(format!("{name} was of another type before"));
            }
            if family.labels != names {
                let before = family.labels.join(", ");
                return Err(format!("{name} had other labels before: {before}"));
            }
        } else {
            let texts = names.iter().map(String::len).sum::<usize>();
            after = after.more(1, 0, name.len() + cut(sample.help).len() + texts)?;
        }
        let is_new = known.is_none_or(|family| !family.samples.contains_key(&values));
        if is_new {
            let texts = values.iter().map(String::len).sum::<usize>();
            after = after.more(0, 1, SAMPLE_BYTES + texts)?;
            if *all >= MAX_SAMPLES {
                return Err(format!(
                    "the metrics of scripts have {MAX_SAMPLES} samples already"
                ));
            }
        }
        if known.is_none() && by_name.len() >= MAX_FAMILIES {
            return Err(format!("there are {MAX_FAMILIES} metrics already"));
        }
        made.insert(sample.script, after);
        *all += usize::from(is_new);
        let family = by_name.entry(name.to_owned()).or_insert_with(|| Family {
            help: cut(sample.help),
            kind: sample.kind,
            labels: names,
            samples: BTreeMap::new(),
        });
        let kept = family.samples.entry(values).or_default();
        *kept = if sample.adds && sample.kind == 1 {
            *kept + sample.value
        } else {
            sample.value
        };
        Ok(format!("{name} is {}", shown(*kept)))
    }

    /// All samples in the text format.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for (name, family) in &self.lock().by_name {
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            let kind = match family.kind {
                1 => "counter",
                2 => "gauge",
                _ => "untyped",
            };
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (values, value) in &family.samples {
                let labels: Vec<String> = family
                    .labels
                    .iter()
                    .zip(values)
                    .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                    .collect();
                let labels = match labels.is_empty() {
                    true => String::new(),
                    false => format!("{{{}}}", labels.join(",")),
                };
                let _ = writeln!(out, "{name}{labels} {}", shown(*value));
            }
        }
        out
    }

    fn lock(&self) -> MutexGuard<'_, Families> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    text.get(..end).unwrap_or_default().to_owned()
}

fn shown(value: f64) -> String {
    value.to_string()
}

/// The value of a label as the text format writes it.
pub(crate) fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, with `also` among the letters.
fn is_name(name: &str, also: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || also.contains(c);
    name.len() <= MAX_TEXT
        && name.starts_with(letter)
        && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(name: &'a str, kind: u8, labels: &'a [(String, String)]) -> Sample<'a> {
        Sample {
            script: 0,
            name,
            help: "help",
            kind,
            value: 2.0,
            labels,
            adds: true,
        }
    }

    #[test]
    fn counters_of_a_family_add_up_and_gauges_are_set() {
        let metrics = ScriptMetrics::default();
        let pod = [("s_pod".to_owned(), "a\"b".to_owned())];
        for _ in 0..2 {
            metrics.keep(&sample("dns_requests", 1, &pod)).unwrap();
            metrics.keep(&sample("open", 2, &[])).unwrap();
        }
        let total = Sample {
            adds: false,
            ..sample("total", 1, &[])
        };
        for _ in 0..2 {
            assert_eq!(metrics.keep(&total).unwrap(), "total is 2");
        }
        let wanted = "# HELP dns_requests help\n# TYPE dns_requests counter\n\
                      dns_requests{s_pod=\"a\\\"b\"} 4\n\
                      # HELP open help\n# TYPE open gauge\nopen 2\n\
                      # HELP total help\n# TYPE total counter\ntotal 2\n";
        assert_eq!(metrics.text(), wanted);
    }

    #[test]
    fn a_script_that_makes_a_label_of_everything_leaves_room_for_others() {
        let metrics = ScriptMetrics::default();
        let told = |script, name: &str, value: String| {
            let labels = [("path".to_owned(), value)];
            metrics.keep(&Sample {
                script,
                ..sample(name, 2, &labels)
            })
        };
        let made = (0..).take_while(|number| told(0, "paths", format!("/{number}")).is_ok());
        assert_eq!(made.count(), MAX_SAMPLES_OF_SCRIPT);
        let said = told(0, "paths", "/new".into()).unwrap_err();
        assert!(said.contains("20000 samples"), "{said}");
        // What is known is still kept up to date, and others are not touched.
        told(0, "paths", "/7".into()).unwrap();
        told(1, "paths", "/new".into()).unwrap();

        let long = |number: usize| format!("{number:0MAX_TEXT$}");
        let made = (0..).take_while(|number| told(2, "long", long(*number)).is_ok());
        let made = made.count();
        assert!(made * MAX_TEXT <= MAX_BYTES_OF_SCRIPT, "{made}");
        assert!(
            told(2, "another", String::new()).is_ok(),
            "a small one fits"
        );
        let made = (0..).take_while(|number| told(3, &format!("m{number}"), "x".into()).is_ok());
        assert_eq!(made.count(), MAX_FAMILIES_OF_SCRIPT);
    }

    #[test]
    fn a_family_stays_what_it_is() {
        let metrics = ScriptMetrics::default();
        let pod = [("s_pod".to_owned(), "a".to_owned())];
        metrics.keep(&sample("m", 1, &pod)).unwrap();
        assert!(metrics.keep(&sample("m", 2, &pod)).is_err());
        assert!(metrics.keep(&sample("m", 1, &[])).is_err());
        let falls = Sample {
            value: -1.0,
            ..sample("m", 1, &pod)
        };
        assert!(metrics.keep(&falls).is_err());
        for bad in ["", "1a", "a-b", "a b"] {
            assert!(metrics.keep(&sample(bad, 1, &[])).is_err(), "{bad}");
        }
        let bad = [("a-b".to_owned(), String::new())];
        assert!(metrics.keep(&sample("n", 1, &bad)).is_err());
    }
}
