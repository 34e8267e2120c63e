//! The rules: each looks at the facts of a script and says what is wrong.
//!
//! In: a [`Script`], and what there is to know ([`Known`]). Out: findings. Never: a complaint about
//! what may be right at run time; a use that the script guards itself is at most a warning.

use std::collections::BTreeSet;

use super::reader::{Argument, Place, Script, Use};
use super::words::parameters;
use super::{Finding, Rule, Severity};
use crate::kfl::{self, Schema};
use crate::script::api::{Effect, GLOBALS, Global, GlobalKind, Helper};
use crate::script::cron::Schedule;
use crate::script::wire::{FILTER, Hook};

/// Finds the candidate that a misspelt name means; `None` when none is near.
pub type Nearest = for<'a> fn(&str, &[&'a str]) -> Option<&'a str>;

/// Names that are there without being on the global object or on the list of globals.
const IMPLIED: &[&str] = &["arguments", "CONSTS"];

/// Helpers whose argument is a KFL query, with its position and what an invalid one leads to.
const QUERIES: &[(&str, Severity)] = &[
    ("kfl.match", Severity::Error),
    // Asking whether a query is valid is no fault, but with a literal the answer is known.
    ("kfl.validate", Severity::Warning),
];

/// Helpers that take an object with queries, which argument it is, and the member that holds them.
const DECLARING: &[(&str, usize, &str)] = &[
    ("recording.set", 0, "kfl"),
    ("recording.capture", 0, "kfl"),
    ("wrapper.kflPcapS3", 1, "kflArr"),
];

/// Functions that take a function, which argument it is, and what they are about.
const CALLING: &[(&str, usize, &str)] = &[
    (
        "jobs.schedule",
        2,
        "a job needs a function as its third argument",
    ),
    (
        "setTimeout",
        0,
        "a timer needs a function as its first argument",
    ),
    (
        "setInterval",
        0,
        "a timer needs a function as its first argument",
    ),
];

/// What rules know beside the script.
pub(super) struct Known<'a> {
    /// Names on the global object of a plain engine.
    pub(super) builtins: &'a BTreeSet<String>,
    /// Names of `scripting.env`.
    pub(super) env: &'a [String],
    /// Fields and macros of queries.
    pub(super) schema: &'a Schema,
    /// Finds what was meant.
    pub(super) nearest: Nearest,
}

/// Applies all rules.
pub(super) fn apply(script: &Script, known: &Known<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    names(script, known, &mut found);
    hooks(script, known, &mut found);
    stated(script, known, &mut found);
    for used in &script.uses {
        member(script, used, known, &mut found);
    }
    found
}

fn finding(severity: Severity, rule: Rule, (line, column): Place, message: String) -> Finding {
    Finding {
        severity,
        rule,
        line,
        column,
        message,
        text: String::new(),
    }
}

/// `message`, and the name that was meant when one is near.
fn meant(message: String, name: &str, candidates: &[&str], known: &Known<'_>) -> String {
    match (known.nearest)(name, candidates) {
        Some(near) if near != name => format!("{message}, did you mean {near}?"),
        _ => message,
    }
}

/// Names of globals that scripts find.
fn global_names() -> impl Iterator<Item = &'static str> {
    GLOBALS.iter().flat_map(|global| {
        let functions: Vec<&'static str> = match global.kind {
            GlobalKind::Functions(helpers) => helpers.iter().map(|helper| helper.name).collect(),
            GlobalKind::Namespace(_) | GlobalKind::Values(_) => vec![global.name],
        };
        functions
    })
}

fn names(script: &Script, known: &Known<'_>, found: &mut Vec<Finding>) {
    let globals: BTreeSet<&str> = global_names().collect();
    let there = |name: &str| {
        script.declared.contains(name)
            || known.builtins.contains(name)
            || globals.contains(name)
            || IMPLIED.contains(&name)
            || known.env.iter().any(|env| env == name)
            || script.asked.contains(name)
    };
    for (name, place) in &script.read {
        if there(name) {
            continue;
        }
        let constant = name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        // A name of the environment may be set where the script will run.
        let severity = if script.open || constant {
            Severity::Warning
        } else {
            Severity::Error
        };
        let message = if constant {
            format!("{name} is not defined, here no scripting.env sets it")
        } else {
            format!("{name} is not defined")
        };
        let candidates: Vec<&str> = script
            .declared
            .iter()
            .map(String::as_str)
            .chain(globals.iter().copied())
            .chain(known.builtins.iter().map(String::as_str))
            .chain(known.env.iter().map(String::as_str))
            .collect();
        let message = meant(message, name, &candidates, known);
        found.push(finding(severity, Rule::UnknownName, *place, message));
    }
}

fn hooks(script: &Script, known: &Known<'_>, found: &mut Vec<Finding>) {
    let hooks: Vec<&str> = Hook::ALL.iter().map(|hook| hook.name()).collect();
    for (name, place) in &script.functions {
        let looks_so = name
            .strip_prefix("on")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
        if !looks_so || hooks.contains(&name.as_str()) || script.read.get(name) != Some(place) {
            continue;
        }
        if let Some(near) = (known.nearest)(name, &hooks) {
            let message = format!("{name} is no hook and nothing calls it, did you mean {near}?");
            found.push(finding(Severity::Warning, Rule::Hook, *place, message));
        }
    }
    for (name, place) in &script.hidden {
        if hooks.contains(&name.as_str()) {
            let message = format!(
                "{name} is declared with let or const, which hides it, so nothing calls it; write function {name}(…) or var {name}"
            );
            found.push(finding(Severity::Warning, Rule::Hook, *place, message));
        }
    }
}

/// Queries that the script states for its hooks, as `onItemCaptured.kfl = 'http'`.
fn stated(script: &Script, known: &Known<'_>, found: &mut Vec<Finding>) {
    for assigned in &script.members {
        let of = |hook: &&Hook| assigned.name == hook.name() || assigned.name == hook.old_name();
        let Some(hook) = Hook::ALL.iter().find(of) else {
            continue;
        };
        let (member, place) = &assigned.member;
        if member != FILTER {
            if let Some(near) = (known.nearest)(member, &[FILTER]) {
                let name = &assigned.name;
                let message = format!("nobody reads {name}.{member}, did you mean {name}.{near}?");
                found.push(finding(Severity::Warning, Rule::Hook, *place, message));
            }
        } else if *hook != Hook::OnItemCaptured {
            let message = format!(
                "{} is told everything, only onItemCaptured has a query",
                assigned.name
            );
            found.push(finding(Severity::Warning, Rule::Hook, *place, message));
        } else if let Some((query, place)) = text_of(&assigned.value, script) {
            queried(query, place, Severity::Error, known, found);
        }
    }
}

/// The text that an argument is, where the script tells.
fn text_of<'a>(argument: &'a Argument, script: &'a Script) -> Option<(&'a str, Place)> {
    match argument {
        Argument::Text(text, place) => Some((text.as_str(), *place)),
        Argument::Name(name) => {
            let (text, place) = script.constants.get(name)?;
            Some((text.as_str(), *place))
        }
        _ => None,
    }
}

/// One use of a member, or one call of a function of ours.
fn member(script: &Script, used: &Use, known: &Known<'_>, found: &mut Vec<Finding>) {
    let Some((root, _)) = used.path.first() else {
        return;
    };
    if script.declared.contains(root) {
        return;
    }
    for global in GLOBALS {
        match global.kind {
            GlobalKind::Functions(helpers) => {
                let helper = helpers.iter().find(|helper| helper.name == root);
                if let (Some(helper), [(name, place)], Some(call)) =
                    (helper, used.path.as_slice(), &used.call)
                {
                    arguments(name, helper, *place, call, found);
                    values(name, script, call, known, found);
                }
            }
            GlobalKind::Namespace(helpers) if global.name == root => {
                namespace(global, helpers, script, used, known, found);
            }
            GlobalKind::Namespace(_) | GlobalKind::Values(_) => {}
        }
    }
}

fn namespace(
    global: &Global,
    helpers: &'static [Helper],
    script: &Script,
    used: &Use,
    known: &Known<'_>,
    found: &mut Vec<Finding>,
) {
    let members = used.path.get(1..).unwrap_or_default();
    let mut helper = None;
    let mut led_on = false;
    let mut name = String::new();
    for (index, (member, place)) in members.iter().enumerate() {
        let longer = match name.is_empty() {
            true => member.clone(),
            false => format!("{name}.{member}"),
        };
        let inner = format!("{longer}.");
        let exact = helpers.iter().find(|helper| helper.name == longer);
        let leads_on = helpers.iter().any(|helper| helper.name.starts_with(&inner));
        if exact.is_none() && !leads_on {
            // Behind a function that is a namespace too, what is neither is a mistake as well.
            let is_function = helper.is_some();
            let leads_nowhere = !is_function || led_on;
            if leads_nowhere && !known_member(script, used, index + 1, member, is_function) {
                let last = index + 1 == members.len();
                let throws = !last || used.call.is_some();
                let place = *place;
                unknown(
                    global,
                    helpers,
                    script,
                    used,
                    (index + 1, place, throws),
                    known,
                    found,
                );
            }
            return;
        }
        led_on = leads_on;
        if exact.is_some() || leads_on {
            helper = exact.map(|exact| (exact, *place));
            name = longer;
        }
    }
    let Some(call) = used.call.as_ref().filter(|_| !members.is_empty()) else {
        return;
    };
    let full = format!("{}.{name}", global.name);
    match helper {
        Some((helper, place)) => {
            arguments(&full, helper, place, call, found);
            values(&full, script, call, known, found);
        }
        None => {
            let place = used.path.first().map_or((0, 0), |(_, place)| *place);
            let inner = format!("{name}.");
            let all: Vec<String> = helpers
                .iter()
                .filter(|helper| helper.name.starts_with(&inner))
                .map(|helper| format!("{}.{}", global.name, helper.name))
                .collect();
            let message = format!("{full} is no function, it holds {}", all.join(" and "));
            found.push(finding(
                Severity::Error,
                Rule::UnknownHelper,
                place,
                message,
            ));
        }
    }
}

/// Whether a member is there for another reason than being on the list.
fn known_member(
    script: &Script,
    used: &Use,
    index: usize,
    member: &str,
    is_function: bool,
) -> bool {
    /// What every function has beside it.
    const OF_FUNCTIONS: &[&str] = &["apply", "bind", "call", "length", "name"];
    /// What every object has.
    const OF_OBJECTS: &[&str] = &[
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    ];
    let path = joined(used, index);
    OF_OBJECTS.contains(&member)
        || is_function && OF_FUNCTIONS.contains(&member)
        || script.written.contains(&path)
        || script.asked.contains(&path)
}

/// The path up to its member `index`.
fn joined(used: &Use, index: usize) -> String {
    let part = Use {
        path: used.path.iter().take(index + 1).cloned().collect(),
        call: None,
    };
    part.text()
}

fn unknown(
    global: &Global,
    helpers: &[Helper],
    script: &Script,
    used: &Use,
    (index, place, throws): (usize, Place, bool),
    known: &Known<'_>,
    found: &mut Vec<Finding>,
) {
    let path = joined(used, index);
    // Whoever reads it without calling it asks whether it is there.
    let guarded = script
        .uses
        .iter()
        .any(|other| other.call.is_none() && other.text() == path);
    let severity = if throws && !guarded {
        Severity::Error
    } else {
        Severity::Warning
    };
    let names: Vec<String> = helpers
        .iter()
        .map(|helper| format!("{}.{}", global.name, helper.name))
        .collect();
    let candidates: Vec<&str> = names.iter().map(String::as_str).collect();
    let whole = used.text();
    let message = format!("there is no {path}");
    let near = meant(message.clone(), &whole, &candidates, known);
    let message = if near == message {
        meant(message, &path, &candidates, known)
    } else {
        near
    };
    found.push(finding(severity, Rule::UnknownHelper, place, message));
}

fn arguments(
    name: &str,
    helper: &Helper,
    place: Place,
    call: &[Argument],
    found: &mut Vec<Finding>,
) {
    if call
        .iter()
        .any(|argument| matches!(argument, Argument::Spread))
    {
        return;
    }
    let wanted = parameters(helper.signature);
    let given = call.len();
    let are = |count: usize| match count {
        0 => "none is given".to_owned(),
        1 => "1 is given".to_owned(),
        _ => format!("{count} are given"),
    };
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    if given < helper.length {
        let names: Vec<&str> = wanted.names.iter().take(helper.length).copied().collect();
        let message = format!(
            "{name} needs {} argument{} ({}), {}",
            helper.length,
            plural(helper.length),
            names.join(", "),
            are(given)
        );
        // Helpers for services outside understand more orders than their signature says.
        let severity = match helper.effect {
            Effect::Network => Severity::Warning,
            _ => Severity::Error,
        };
        found.push(finding(severity, Rule::Arguments, place, message));
    } else if let Some(most) = wanted.most.filter(|most| given > *most) {
        let message = match most {
            0 => format!("{name} takes no argument, {}", are(given)),
            _ => format!(
                "{name} takes at most {most} argument{}, {}",
                plural(most),
                are(given)
            ),
        };
        found.push(finding(Severity::Warning, Rule::Arguments, place, message));
    }
}

/// Looks at what the arguments are, where the text tells.
fn values(
    name: &str,
    script: &Script,
    call: &[Argument],
    known: &Known<'_>,
    found: &mut Vec<Finding>,
) {
    let text = |index: usize| text_of(call.get(index)?, script);
    if let Some((_, severity)) = QUERIES.iter().find(|(helper, _)| *helper == name)
        && let Some((query, place)) = text(0)
    {
        queried(query, place, *severity, known, found);
    }
    if let Some((_, index, holding)) = DECLARING.iter().find(|(helper, ..)| *helper == name)
        && let Some(Argument::Members(members)) = call.get(*index)
    {
        for (_, query, place) in members.iter().filter(|(member, ..)| member == holding) {
            queried(query, *place, Severity::Error, known, found);
        }
    }
    if name == "jobs.schedule"
        && let Some((cron, place)) = text(1)
    {
        scheduled(cron, place, found);
    }
    if let Some((_, index, message)) = CALLING.iter().find(|(helper, ..)| *helper == name)
        && let Some(Argument::Text(_, place) | Argument::Value(place)) = call.get(*index)
    {
        let message = (*message).to_owned();
        found.push(finding(Severity::Error, Rule::Arguments, *place, message));
    }
}

fn queried(
    query: &str,
    place: Place,
    severity: Severity,
    known: &Known<'_>,
    found: &mut Vec<Finding>,
) {
    match kfl::compile(query, known.schema) {
        Ok(compiled) => {
            for warning in compiled.warnings() {
                let message = format!("in the query: {warning}");
                found.push(finding(Severity::Warning, Rule::Kfl, place, message));
            }
        }
        Err(error) => {
            let message = format!("the query is invalid, {error}");
            found.push(finding(severity, Rule::Kfl, place, message));
        }
    }
}

fn scheduled(cron: &str, place: Place, found: &mut Vec<Finding>) {
    match Schedule::parse(cron) {
        Err(error) => {
            let message = error.to_string();
            found.push(finding(Severity::Error, Rule::Cron, place, message));
        }
        Ok(_) if !cron.trim().starts_with('@') && cron.split_whitespace().count() == 5 => {
            let message = format!(
                "the cron \"{cron}\" has 5 fields and runs at second 0, write six to say so: 0 {cron}"
            );
            found.push(finding(Severity::Warning, Rule::Cron, place, message));
        }
        Ok(_) => {}
    }
}
