//! What the page chooses of what is captured: pods, or a capture filter instead.
//!
//! In: what somebody asked for, as JSON. Out: targets at the watches, a filter at the source of this
//! process; a hub tells its workers of both (`told.rs`). Never: a filter that libpcap refuses.

use serde_json::Value as Json;

use super::super::config::Config;
use super::Asked;
use super::filters::{Filters, check};
use crate::server::TargetDesk;

/// Chooses until the configuration changes.
pub(super) struct Chooser {
    cluster: Asked,
    interface: String,
    filters: Option<Filters>,
}

impl Chooser {
    /// For a run whose source follows `filters`; a hub has none.
    pub(super) fn new(cluster: Asked, config: &Config, filters: Option<Filters>) -> Chooser {
        Chooser {
            cluster,
            interface: config.text("tap.interface").to_owned(),
            filters,
        }
    }
}

impl TargetDesk for Chooser {
    fn targeted(&self) -> Json {
        let mut pods = self.cluster.pods();
        pods["wanted"] = self
            .cluster
            .of(|cluster| cluster.targets().wanted())
            .unwrap_or_default();
        pods
    }

    fn target(&self, wanted: &Json) -> Result<(), String> {
        let text = |name: &str| match &wanted[name] {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text.trim())),
            _ => Err(format!("{name} must be a text")),
        };
        let list = |name: &str| match &wanted[name] {
            Json::Null => Ok(Vec::new()),
            Json::Array(list) => {
                let texts = list.iter().map(|one| one.as_str().map(str::to_owned));
                let texts: Option<Vec<String>> = texts.collect();
                texts.ok_or_else(|| format!("{name} must be a list of texts"))
            }
            _ => Err(format!("{name} must be a list of texts")),
        };
        let (regex, bpf) = (text("regex")?.unwrap_or_default(), text("bpf")?);
        let (namespaces, excluded) = (list("namespaces")?, list("excluded")?);
        let chosen = self.cluster.of(|cluster| {
            let before = cluster.targets();
            // Who does not speak of a filter leaves the one in force.
            let bpf = bpf.unwrap_or_else(|| before.bpf());
            let targets = before.with(regex, &namespaces, &excluded, bpf)?;
            check(bpf, &self.interface)?;
            cluster.set_targets(targets);
            Ok(bpf.to_owned())
        });
        let bpf = chosen.unwrap_or_else(|| {
            Err("no cluster is known here, so pods cannot be told apart".to_owned())
        })?;
        match &self.filters {
            Some(filters) => filters.choose(Some(&bpf)),
            None => Ok(()),
        }
    }
}
