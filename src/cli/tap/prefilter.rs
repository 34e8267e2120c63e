//! The recording's query as a capture filter, so that packets it cannot match never leave the kernel.
//!
//! In: the configuration (`tap.capture.prefilter`, `RECORDING_KFL`). Out: a filter that lets pass
//! every packet of every stream the query may match (reference section 16). Never: a filter where
//! nothing is recorded, or where the query says nothing about packets.

use super::super::config::Config;
use crate::capture::live::narrowing::Narrow;
use crate::kfl;
use crate::kfl::prefilter::{Link, bpf, shown};
use crate::pipeline::RECORDING_KFL;

/// What the capture is narrowed to, and the sentence that says so.
///
/// A query that does not compile narrows nothing: the last good one stays in force.
pub(super) fn narrow(config: &Config) -> Option<(Narrow, String)> {
    if !config.bool("tap.capture.prefilter") {
        return None;
    }
    let text = config.env_text(RECORDING_KFL).unwrap_or_default();
    let everything = |why: &str| {
        (
            Narrow::default(),
            format!("Every packet is captured: {why}"),
        )
    };
    if text.trim().is_empty() {
        return Some(everything("nothing is recorded"));
    }
    let query = kfl::compile(&text, &super::super::schema(config)).ok()?;
    let Some(condition) = query.packet_condition() else {
        return Some(everything(
            "the query asks nothing that packet headers tell",
        ));
    };
    let narrow = Narrow {
        ethernet: bpf(&condition, Link::Ethernet),
        other: bpf(&condition, Link::Other),
    };
    let said = format!(
        "Captured is only what the recording can match: {}; pages and scripts see nothing else",
        shown(&condition)
    );
    Some((narrow, said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Global;
    use crate::cli::config::Surroundings;

    fn config(query: &str, prefilter: bool) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yaml");
        let text = format!(
            "scripting:\n  env:\n    RECORDING_KFL: {}\ntap:\n  capture:\n    prefilter: {prefilter}\n",
            serde_json::Value::from(query)
        );
        std::fs::write(&path, text).unwrap();
        let global = Global {
            config_path: Some(path),
            ..Global::default()
        };
        Config::load(&global, &Surroundings::default()).unwrap()
    }

    #[test]
    fn only_a_query_about_packets_narrows_and_only_when_asked_to() {
        assert_eq!(narrow(&config("dst.port == 5432", false)), None);
        let narrowed = |query: &str| narrow(&config(query, true)).unwrap();
        assert_eq!(narrowed("").0, Narrow::default());
        assert_eq!(narrowed("src.name == \"web\"").0, Narrow::default());
        let (filter, said) = narrowed("dst.port == 5432");
        assert!(filter.other.contains("port 5432"), "{filter:?}");
        assert!(filter.ethernet.contains("vlan"), "{filter:?}");
        assert!(said.contains("port 5432"), "{said}");
        assert_eq!(narrow(&config("dst.port ==", true)), None);
    }
}
