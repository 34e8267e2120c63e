//! Limits and budgets of scripts as the configuration names them.
//!
//! In: `scripting.memoryLimit` and its like for all scripts, `scripting.budgets` for one each. Out:
//! the supervisor's options. Never: a value that is not understood and not said.

use std::time::Duration;

use serde_json::Value as Json;

use super::super::config::{Config, nearest, units};
use super::super::exit::Failure;
use crate::script::supervisor::{Options, Own};

/// Names under `scripting.budgets.<script>`, each that of the key for all scripts.
const NAMES: &[&str] = &[
    "memoryLimit",
    "hookTimeout",
    "jobTimeout",
    "loadTimeout",
    "helperTimeout",
    "loopIterations",
];

/// Least memory with which a script can be loaded at all.
const LEAST_MEMORY: u64 = 64 << 20;

/// Sets what scripts may take.
///
/// # Errors
/// A sentence that names the entry that is not understood.
pub(super) fn apply(config: &Config, options: &mut Options) -> Result<(), Failure> {
    options.limits.memory = config.bytes("scripting.memoryLimit");
    if options.limits.memory < LEAST_MEMORY {
        return Err(Failure::usage("scripting.memoryLimit must be 64Mi or more"));
    }
    options.limits.loop_iterations = config.int("scripting.loopIterations").max(1);
    options.budgets.hook = time(config, "scripting.hookTimeout")?;
    options.budgets.job = time(config, "scripting.jobTimeout")?;
    options.budgets.load = time(config, "scripting.loadTimeout")?;
    options.budgets.host = time(config, "scripting.helperTimeout")?;
    for (script, values) in config.map("scripting.budgets") {
        match values {
            Json::Object(values) => {
                for (name, value) in values {
                    options.own.push(entry(&script, &name, &value)?);
                }
            }
            // As --set writes it: script.name=value.
            value => {
                let (script, name) = script.rsplit_once('.').ok_or_else(|| {
                    Failure::usage(format!(
                        "scripting.budgets.{script} must be an object, as {{\"hookTimeout\":\"200ms\"}}"
                    ))
                })?;
                options.own.push(entry(script, name, &value)?);
            }
        }
    }
    Ok(())
}

fn time(config: &Config, key: &str) -> Result<Duration, Failure> {
    let time = Some(config.duration(key)).filter(|time| !time.is_zero());
    time.ok_or_else(|| Failure::usage(format!("{key} must be a duration such as 200ms or 5s")))
}

fn entry(script: &str, name: &str, value: &Json) -> Result<Own, Failure> {
    let text = match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let wrong = |kind: &str| {
        let sentence = format!("scripting.budgets.{script}.{name} must be {kind}, not {text}");
        Failure::usage(sentence)
    };
    let time = || -> Result<Option<Duration>, Failure> {
        let time = units::duration(&text).filter(|time| !time.is_zero());
        time.map(Some)
            .ok_or_else(|| wrong("a duration such as 200ms or 5s"))
    };
    let mut own = Own {
        script: script.to_owned(),
        ..Own::default()
    };
    let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
    match known.copied() {
        Some("memoryLimit") => {
            let bytes = units::quantity(&text).filter(|bytes| *bytes >= LEAST_MEMORY);
            own.memory = Some(bytes.ok_or_else(|| wrong("a size of 64Mi or more"))?);
        }
        Some("hookTimeout") => own.hook = time()?,
        Some("jobTimeout") => own.job = time()?,
        Some("loadTimeout") => own.load = time()?,
        Some("helperTimeout") => own.host = time()?,
        Some("loopIterations") => {
            let count = text.parse().ok().filter(|count| *count > 0);
            own.loop_iterations = Some(count.ok_or_else(|| wrong("a whole number"))?);
        }
        _ => {
            let near = nearest(name, NAMES.iter().copied());
            let near = near.map_or_else(|| NAMES.join(", "), str::to_owned);
            return Err(Failure::usage(format!(
                "scripting.budgets.{script}.{name} is not a known budget; did you mean {near}?"
            )));
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_budget_is_read_in_its_own_unit() {
        let own = entry("alert", "hookTimeout", &json!("200ms")).unwrap();
        assert_eq!(own.hook, Some(Duration::from_millis(200)));
        assert_eq!((own.script.as_str(), own.memory), ("alert", None));
        let own = entry("alert", "MEMORYLIMIT", &json!("256Mi")).unwrap();
        assert_eq!(own.memory, Some(256 << 20));
        let own = entry("alert", "loopIterations", &json!(1000)).unwrap();
        assert_eq!(own.loop_iterations, Some(1000));
        for name in NAMES {
            let sentence = entry("alert", name, &json!("lots")).unwrap_err().message;
            assert!(
                sentence.contains(&format!("alert.{name} must be")),
                "{sentence}"
            );
        }
    }

    #[test]
    fn an_unknown_budget_is_named_with_the_nearest() {
        let sentence = entry("a", "hookTimout", &json!("1s")).unwrap_err().message;
        assert!(
            sentence.ends_with("did you mean hookTimeout?"),
            "{sentence}"
        );
    }
}
