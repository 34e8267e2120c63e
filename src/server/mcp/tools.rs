//! Every tool, once: a name, a sentence, and the routes that it asks.
//!
//! In: nothing. Out: the list that `tools/list`, `tapedeck mcp --list-tools`, the table of
//! `docs/mcp.md` and the calls themselves are made of. Never: a parameter, a role or a limit of its own
//! where the route has it; those are read from the route (`schema`).

use super::super::access::Role;
use super::super::routes::{self, Route};

/// One tool.
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// When to ask it, and what for.
    pub about: &'static str,
    /// Method and path of the routes of which it asks one: the first whose path the arguments fill.
    routes: &'static [(&'static str, &'static str)],
    /// What is said for a parameter that an assistant leaves out.
    pub(super) defaults: &'static [(&'static str, &'static str)],
    pub(super) effect: Effect,
    pub(super) how: How,
}

/// What a call does beyond answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Reads,
    /// It adds to what is there.
    Adds,
    /// It may end or alter what is there.
    Changes,
}

/// How the routes are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// As they are.
    Plain,
    /// With bounds of time, which narrow the query before it is asked.
    Span,
    /// Twice, for two spans of time that are then held against one another.
    Compare,
}

impl Tool {
    /// The routes of the list that it asks; never none (a test holds that).
    pub(super) fn routes(&self) -> impl Iterator<Item = &'static Route> {
        let named = self.routes.iter();
        named.filter_map(|(method, path)| routes::find(method, path))
    }

    /// What whoever calls it must be allowed at least.
    pub fn role(&self) -> Role {
        let roles = self.routes().map(|route| route.role);
        roles.max().unwrap_or(Role::Operate)
    }

    /// Whether a call is noted in the audit log.
    pub fn is_audited(&self) -> bool {
        self.routes().any(|route| route.audited)
    }

    /// Whether a call does more than answer.
    pub fn acts(&self) -> bool {
        self.effect != Effect::Reads
    }

    /// Whether a call may end or alter what is there.
    pub fn is_destructive(&self) -> bool {
        self.effect == Effect::Changes
    }

    /// What is told about it: when to ask it, and what its route answers.
    pub fn description(&self) -> String {
        let answers: Vec<&str> = match self.how {
            How::Compare => Vec::new(),
            _ => self.routes().take(1).map(|route| route.about).collect(),
        };
        match answers.first() {
            Some(answer) => format!("{} Answer: {answer}", self.about),
            None => self.about.to_owned(),
        }
    }
}

/// The tool of a name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// The list, in the order in which an incident is looked into.
pub static TOOLS: &[Tool] = &[
    reads(
        "status",
        "What this tapedeck is: its version, what it captures or has open, how much it holds and lost. Ask it first.",
        &[("get", "/status")],
        &[],
        How::Plain,
    ),
    reads(
        "coverage",
        "When packets were captured, lost or left out. Tells \"no traffic\" from \"not captured\"; ask it before saying that something did not happen.",
        &[("get", "/coverage")],
        &[],
        How::Plain,
    ),
    reads(
        "timeline",
        "How many items match over time, with failures and latencies. Shows when it began.",
        &[("get", "/timeline")],
        &[("limit", "60")],
        How::Span,
    ),
    reads(
        "groups",
        "Endpoints, sources, destinations, namespaces, statuses or protocols with counts, failures (bad), bytes and latencies (p50, p99, milliseconds). Shows where it is.",
        &[("get", "/groups")],
        &[("by", "endpoint"), ("limit", "50")],
        How::Span,
    ),
    reads(
        "compare",
        "What changed between two spans of time, by endpoint or another grouping: verdict, counts, rate per minute, share of failures and latencies of both spans; what matters most comes first. unknown: only one span has it among its largest 1000, the other may have it too.",
        &[("get", "/groups")],
        &[("by", "endpoint"), ("limit", "50")],
        How::Compare,
    ),
    reads(
        "service_map",
        "Who speaks to whom, with counts, failures, bytes and latencies of each pair.",
        &[("get", "/map")],
        &[("limit", "100")],
        How::Span,
    ),
    reads(
        "items",
        "Requests with their responses, queries, messages and flows that match, one row each: protocol, method, status, summary, both ends, time and latency. item has the whole of one.",
        &[("get", "/items")],
        &[("limit", "50")],
        How::Span,
    ),
    reads(
        "search",
        "The same wherever it is kept: in live rows, in spools and in archives of all nodes. Slower than items. from of a row is the place to ask item at. Rows from spool have no item: packets has what is kept of them, asked with the row's stream, run and worker.",
        &[("get", "/search")],
        &[("limit", "50")],
        How::Plain,
    ),
    reads(
        "item",
        "One item whole, with headers, bodies and the Kubernetes objects behind it: by number (n of its row) or by id (of its row).",
        &[("get", "/item/{number}"), ("get", "/item/{worker}/{id}")],
        &[],
        How::Plain,
    ),
    reads(
        "flows",
        "TCP and UDP connections of what matches, with times, bytes and packets: for resets, retries and connections that hang.",
        &[("get", "/flows")],
        &[],
        How::Span,
    ),
    reads(
        "packets",
        "The packets of a stream, with their bytes in Base64. item and flows are mostly enough, except for rows from spool.",
        &[("get", "/packets/{stream}")],
        &[],
        How::Plain,
    ),
    reads(
        "kfl_help",
        "How to write a query: KFL, the language of q. Without a topic the guide with examples and all topics; with one, its fields, functions or limits. Read it before the first query.",
        &[("get", "/query/reference")],
        &[],
        How::Plain,
    ),
    reads(
        "kfl_validate",
        "Whether a query is valid, with warnings about names that no item has.",
        &[("get", "/query/validate")],
        &[],
        How::Plain,
    ),
    reads(
        "kfl_explain",
        "What a query does, in steps: how it groups, what it reads.",
        &[("get", "/query/explain")],
        &[],
        How::Plain,
    ),
    reads(
        "targets",
        "Which pods are captured, which are not, and what was asked for.",
        &[("get", "/targets")],
        &[],
        How::Plain,
    ),
    reads(
        "recordings",
        "What is recorded: the query, state, streams and bytes of each recording.",
        &[("get", "/recordings")],
        &[],
        How::Plain,
    ),
    reads(
        "backtest",
        "What a recording with a query would keep, before it is added.",
        &[("get", "/recordings/backtest")],
        &[],
        How::Plain,
    ),
    reads(
        "archive_stores",
        "Where sealed recordings (reels) are; a store is also a place for other tools.",
        &[("get", "/archive/stores")],
        &[],
        How::Plain,
    ),
    reads(
        "archive_days",
        "Days of a store that have reels.",
        &[("get", "/archive/days")],
        &[],
        How::Plain,
    ),
    reads(
        "archive_reels",
        "Reels of a day: which node and recording, from when to when, how many streams and bytes, what is missing, how long it is locked.",
        &[("get", "/archive/reels")],
        &[("limit", "20")],
        How::Plain,
    ),
    reads(
        "archive_proof",
        "Whether a store was held against what was sealed, and what came of it.",
        &[("get", "/archive/proof")],
        &[],
        How::Plain,
    ),
    reads(
        "scripts",
        "The scripts that run, with their states, errors and figures.",
        &[("get", "/scripts")],
        &[],
        How::Plain,
    ),
    reads(
        "script_console",
        "What scripts printed.",
        &[("get", "/console")],
        &[],
        How::Plain,
    ),
    reads(
        "script_source",
        "The text of a script.",
        &[("get", "/scripts/source")],
        &[],
        How::Plain,
    ),
    reads(
        "jobs",
        "The jobs of scripts, with when they ran and run next.",
        &[("get", "/jobs")],
        &[],
        How::Plain,
    ),
    reads(
        "audit",
        "Who looked at which payload, downloaded or changed what.",
        &[("get", "/audit")],
        &[("limit", "50")],
        How::Plain,
    ),
    acts(
        "recording_add",
        "Starts to record what matches a query, or changes a recording that was added. Takes room on disk and in the store, and what is sealed cannot be deleted; backtest tells how much it is.",
        &[("post", "/recordings/add")],
        Effect::Changes,
    ),
    acts(
        "recording_seal",
        "Seals and uploads at once what a recording has so far.",
        &[("post", "/recordings/seal")],
        Effect::Adds,
    ),
    acts(
        "recording_remove",
        "Ends a recording that was added.",
        &[("post", "/recordings/remove")],
        Effect::Changes,
    ),
    acts(
        "script_switch",
        "Switches a script on or off until the run ends.",
        &[("post", "/scripts/switch")],
        Effect::Changes,
    ),
    acts(
        "job_run",
        "Runs a job of a script now, with all that it does.",
        &[("post", "/jobs/run")],
        Effect::Changes,
    ),
];

const fn reads(
    name: &'static str,
    about: &'static str,
    routes: &'static [(&'static str, &'static str)],
    defaults: &'static [(&'static str, &'static str)],
    how: How,
) -> Tool {
    Tool {
        name,
        about,
        routes,
        defaults,
        effect: Effect::Reads,
        how,
    }
}

const fn acts(
    name: &'static str,
    about: &'static str,
    routes: &'static [(&'static str, &'static str)],
    effect: Effect,
) -> Tool {
    Tool {
        name,
        about,
        routes,
        defaults: &[],
        effect,
        how: How::Plain,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_tool_has_a_name_of_its_own_and_asks_routes_that_are_there() {
        let names: BTreeSet<&str> = TOOLS.iter().map(|tool| tool.name).collect();
        assert_eq!(names.len(), TOOLS.len());
        for tool in TOOLS {
            // As the specification bounds names, section Tools.
            let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            assert!(tool.name.len() <= 64 && tool.name.chars().all(fits));
            assert!(tool.about.ends_with('.'), "{}", tool.name);
            assert!(!tool.routes.is_empty(), "{}", tool.name);
            for (method, path) in tool.routes {
                assert!(routes::find(method, path).is_some(), "{method} {path}");
            }
            let gets = tool.routes().all(|route| route.method == "get");
            assert_eq!(gets, !tool.acts(), "{}", tool.name);
            if tool.how != How::Plain {
                let route = tool.routes().next().unwrap();
                assert!(route.parameters.iter().any(|one| one.name == "q"));
            }
        }
    }

    /// The table of `docs/mcp.md`, between its marks.
    #[test]
    fn the_table_of_mcp_tools_is_fresh() {
        const BEGIN: &str =
            "<!-- Written from src/server/mcp/tools.rs: UPDATE=1 cargo test mcp_tools -->\n";
        const END: &str = "<!-- End of the tools -->";
        let mut table = String::from("\n| tool | role | what it tells or does |\n|---|---|---|\n");
        for tool in TOOLS {
            let acts = if tool.acts() { ", acts" } else { "" };
            let audited = if tool.is_audited() { ", noted" } else { "" };
            let role = tool.role().name();
            let about = tool.about.replace('|', "\\|");
            table.push_str(&format!(
                "| `{}` | {role}{acts}{audited} | {about} |\n",
                tool.name
            ));
        }
        table.push('\n');
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mcp.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (there, after) = rest.split_once(END).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        } else {
            assert!(
                there == table,
                "docs/mcp.md is stale; run UPDATE=1 cargo test mcp_tools"
            );
        }
    }

    #[test]
    fn what_replaces_or_ends_something_is_destructive() {
        let destructive = TOOLS.iter().filter(|tool| tool.is_destructive());
        let names: Vec<&str> = destructive.map(|tool| tool.name).collect();
        let acts = [
            "recording_add",
            "recording_remove",
            "script_switch",
            "job_run",
        ];
        assert_eq!(names, acts);
    }

    #[test]
    fn who_may_call_a_tool_is_whoever_may_ask_its_route() {
        let role = |name| find(name).unwrap().role();
        assert_eq!(role("items"), Role::View);
        assert_eq!(role("item"), Role::Investigate);
        assert_eq!(role("recording_add"), Role::Operate);
        assert!(
            TOOLS
                .iter()
                .all(|tool| !tool.acts() || tool.role() == Role::Operate)
        );
        assert!(find("moon").is_none());
    }
}
