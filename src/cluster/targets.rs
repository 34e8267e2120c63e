//! Which pods are captured: by name, namespace and labels.
//!
//! In: the configuration's words, and the pods. Out: the addresses to capture, for the source's filter;
//! lists of pods inside and outside, for scripts and pages. Never: a decision about a pod that is
//! not known yet.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::objects::Pod;
use super::who::Who;
use crate::capture::targets::TargetSet;
use crate::kfl::pattern::Pattern;

/// Bits of the networks that pods are taken to be in where nodes do not tell theirs.
const NETWORK_V4: u8 = 24;
const NETWORK_V6: u8 = 64;

/// Networks that new pods may come up in; a cluster of the largest size supported has 5,000 nodes.
const MAX_NETWORKS: usize = 20_000;

/// What to capture.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Pattern that names of pods contain; `None` for all.
    name: Option<Pattern>,
    namespaces: Vec<String>,
    excluded: Vec<String>,
    labels: Selector,
    namespace_labels: Selector,
    /// Capture filter that counts instead of all the others; empty for none.
    bpf: String,
}

/// Targets in the words of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Pattern in RE2's syntax that names of pods contain; empty or `.*` for all.
    pub regex: String,
    /// Namespaces to capture; empty for all.
    pub namespaces: Vec<String>,
    /// Namespaces to leave out.
    pub excluded: Vec<String>,
    /// Labels that pods have, as `app=cart,tier in (web,api),!canary`.
    pub labels: String,
    /// Labels that their namespaces have.
    pub namespace_labels: String,
    /// Capture filter in libpcap's language; with one nothing above counts.
    pub bpf: String,
}

impl Targets {
    /// Reads what is wanted.
    ///
    /// # Errors
    /// A sentence that names what is not understood.
    pub fn parse(wanted: &Wanted) -> Result<Targets, String> {
        let name = match wanted.regex.trim() {
            "" | ".*" => None,
            pattern => Some(Pattern::new(pattern).map_err(|why| {
                format!("{pattern} is no regular expression for names of pods: {why}")
            })?),
        };
        let names = |list: &[String]| -> Vec<String> {
            let names = list.iter().map(|name| name.trim().to_owned());
            let mut names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
            names.sort();
            names.dedup();
            names
        };
        Ok(Targets {
            name,
            namespaces: names(&wanted.namespaces),
            excluded: names(&wanted.excluded),
            labels: Selector::parse(&wanted.labels)?,
            namespace_labels: Selector::parse(&wanted.namespace_labels)?,
            bpf: wanted.bpf.trim().to_owned(),
        })
    }

    /// The same labels with another pattern, other namespaces and another capture filter.
    ///
    /// # Errors
    /// A sentence that names what is not understood; whether the capture filter is, libpcap says.
    pub fn with(
        &self,
        regex: &str,
        namespaces: &[String],
        excluded: &[String],
        bpf: &str,
    ) -> Result<Targets, String> {
        let named = Targets::parse(&Wanted {
            regex: regex.to_owned(),
            namespaces: namespaces.to_vec(),
            excluded: excluded.to_vec(),
            bpf: bpf.to_owned(),
            ..Wanted::default()
        })?;
        Ok(Targets {
            labels: self.labels.clone(),
            namespace_labels: self.namespace_labels.clone(),
            ..named
        })
    }

    /// The capture filter that counts instead; empty for none.
    pub fn bpf(&self) -> &str {
        &self.bpf
    }

    /// What was asked for, for people: `{"regex", "namespaces", "excluded", "bpf"}`.
    pub fn wanted(&self) -> Json {
        serde_json::json!({
            "regex": self.name.as_ref().map_or("", Pattern::written),
            "namespaces": self.namespaces,
            "excluded": self.excluded,
            "bpf": self.bpf,
        })
    }

    /// Whether no pod is told from others: everything is captured that passes the capture filter,
    /// also what belongs to no pod.
    pub fn is_all(&self) -> bool {
        let names_none = self.name.is_none()
            && self.namespaces.is_empty()
            && self.excluded.is_empty()
            && self.labels.0.is_empty()
            && self.namespace_labels.0.is_empty();
        names_none || !self.bpf.is_empty()
    }

    /// Whether a pod is captured; `namespace` holds the labels of its namespace, where known.
    pub fn wants(&self, pod: &Pod, namespace: Option<&BTreeMap<String, String>>) -> bool {
        let listed = |list: &[String]| list.contains(&pod.key.namespace);
        let none = BTreeMap::new();
        if !self.bpf.is_empty() {
            return true;
        }
        (self.namespaces.is_empty() || listed(&self.namespaces))
            && !listed(&self.excluded)
            && self
                .name
                .as_ref()
                .is_none_or(|name| name.is_in(&pod.key.name))
            && self
                .labels
                .matches(|key| pod.labels.get(key).and_then(Json::as_str))
            && self
                .namespace_labels
                .matches(|key| namespace.unwrap_or(&none).get(key).map(String::as_str))
    }

    /// The addresses to capture, by what is known now; `None` when everything is captured. Where pods of some
    /// namespaces only may be watched, `is_confined`, an address of which nobody knows whose it is may be that
    /// of another namespace for ever, and is none of a new pod.
    pub fn set(&self, who: &Who, is_confined: bool) -> Option<TargetSet> {
        if self.is_all() {
            return None;
        }
        let mut set = TargetSet::default();
        for pod in who.pods() {
            let wanted = self.wants(pod, who.namespace(&pod.key.namespace));
            // An address that was given on is that of the pod that has it now.
            if pod.is_over {
                continue;
            }
            if !pod.host_network {
                set.known.extend(&pod.ips);
                if wanted {
                    set.ips.extend(&pod.ips);
                }
            }
            if !wanted {
                continue;
            }
            set.endpoints.extend(pod.ends().1);
        }
        if !is_confined {
            set.networks = networks(who, &set);
        }
        for node in who.nodes() {
            set.known.extend(&node.ips);
            set.known.extend(
                node.networks
                    .iter()
                    .map(|(base, _)| super::who::first_of(*base)),
            );
        }
        for service in who.services() {
            set.known.extend(&service.cluster_ips);
        }
        Some(set)
    }

    /// `namespace/name` of the targeted pods that run, in order: the preview of a capture.
    pub fn running(&self, who: &Who) -> Vec<String> {
        let runs = |pod: &&Pod| pod.phase == "Running";
        let wanted = |pod: &&Pod| self.wants(pod, who.namespace(&pod.key.namespace));
        let mut names: Vec<String> = who
            .pods()
            .filter(runs)
            .filter(wanted)
            .map(|pod| pod.key.to_string())
            .collect();
        names.sort();
        names
    }

    /// The pods inside and outside, as `hub.targeted()` of scripts tells them: each as
    /// [`Pod::json`].
    pub fn json(&self, who: &Who) -> Json {
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        let mut pods: Vec<&Pod> = who.pods().collect();
        pods.sort_by(|a, b| a.key.cmp(&b.key));
        for pod in pods {
            match self.wants(pod, who.namespace(&pod.key.namespace)) {
                true => inside.push(pod.json()),
                false => outside.push(pod.json()),
            }
        }
        serde_json::json!({"targets": inside, "excluded": outside})
    }
}

/// Networks in which a new pod may come up: those of the nodes, else those around the pods that are
/// known.
fn networks(who: &Who, set: &TargetSet) -> Vec<(std::net::IpAddr, u8)> {
    let told: Vec<_> = who
        .nodes()
        .flat_map(|node| node.networks.iter().copied())
        .take(MAX_NETWORKS)
        .collect();
    if !told.is_empty() {
        return told;
    }
    let around = set.known.iter().map(|ip| {
        let bits = if ip.is_ipv4() { NETWORK_V4 } else { NETWORK_V6 };
        (crate::capture::targets::base_of(*ip, bits), bits)
    });
    let distinct: std::collections::BTreeSet<_> = around.collect();
    distinct.into_iter().take(MAX_NETWORKS).collect()
}

/// Requirements to labels, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    /// Reads a selector as kubectl does: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`,
    /// `!a`, with commas between.
    fn parse(text: &str) -> Result<Selector, String> {
        let mut requirements = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if !part.is_empty() {
                requirements.push(requirement(part).ok_or_else(|| {
                    format!("{part} is no requirement to labels; write app=cart, tier in (web,api), app or !app")
                })?);
            }
        }
        Ok(Selector(requirements))
    }

    fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let has = |values: &[String], value: &str| values.iter().any(|one| one == value);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|value| has(values, value)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|value| !has(values, value)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
        })
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut inside) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => inside = true,
            ')' => inside = false,
            ',' if !inside => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    let key = |text: &str| {
        let text = text.trim();
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
        (!text.is_empty() && text.chars().all(fits)).then(|| text.to_owned())
    };
    let value = |text: &str| vec![text.trim().to_owned()];
    if let Some((name, list)) = part.split_once('(') {
        let values = list.trim_end().strip_suffix(')')?.split(',');
        let values: Vec<String> = values.map(|value| value.trim().to_owned()).collect();
        let (name, operator) = name.trim().rsplit_once(char::is_whitespace)?;
        return match operator {
            "in" => Some(Requirement::In(key(name)?, values)),
            "notin" => Some(Requirement::NotIn(key(name)?, values)),
            _ => None,
        };
    }
    if let Some((name, wanted)) = part.split_once("!=") {
        return Some(Requirement::NotIn(key(name)?, value(wanted)));
    }
    if let Some((name, wanted)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(key(name)?, value(wanted)));
    }
    match part.strip_prefix('!') {
        Some(name) => key(name).map(Requirement::Absent),
        None => key(part).map(Requirement::Exists),
    }
}

#[cfg(test)]
mod tests;
