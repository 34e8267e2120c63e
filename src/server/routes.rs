//! Every route, once: the router and the OpenAPI document (`openapi`) are made from this list.
//!
//! Routes stand below `/api/v1`, which stays as it is, and below `/api`, where older clients look.

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Json as AsJson, Router};
use serde_json::json;

use super::access::{self, Role};
use super::api::{self, State};
use super::{feed, openapi, operate, push, queries, raw, saves, scripts, search, stores};

/// One parameter.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// `string` or `integer`, in the words of JSON Schema.
    pub(super) kind: &'static str,
    pub(super) about: &'static str,
}

/// One route.
pub(super) struct Route {
    /// `get`, `post`, `put` or `delete`.
    pub(super) method: &'static str,
    /// What whoever asks must be allowed at least.
    pub(super) role: Role,
    /// Whether asking is noted in the audit log.
    pub(super) audited: bool,
    /// Below `/api`; names in braces are parameters.
    pub(super) path: &'static str,
    /// One sentence.
    pub(super) about: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// What a good answer holds.
    pub(super) answer: Answer,
    handler: fn() -> MethodRouter<State>,
}

/// What a good answer is.
pub(super) enum Answer {
    /// JSON that holds at least these members; none for an answer that is a list or a number.
    Members(&'static [(&'static str, &'static str)]),
    /// JSON of this type.
    Json(&'static str),
    /// Text.
    Text,
    /// A savefile.
    Capture,
    /// Bytes of any kind.
    Bytes,
    /// A change to the WebSocket protocol (RFC 6455).
    Socket,
}

const fn parameter(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, about }
}

const Q: Parameter = parameter("q", "string", "KFL; empty for all items");
const LIMIT: Parameter = parameter("limit", "integer", "how many at most");
const STREAM: Parameter = parameter("stream", "string", "name of a stream, as items have it");
const NEAR: Parameter = parameter(
    "n",
    "integer",
    "number of an item of the stream, where an archive has several of this name; the one shown last when left out",
);
const WORKER: Parameter = parameter(
    "worker",
    "string",
    "the worker as items name it, or the name of its node",
);

const STORE: Parameter = parameter("store", "string", "a store, as /archive/stores names it");
const PATH: Parameter = parameter("path", "string", "path of the script, as /scripts names it");
const NUMBER: Parameter = parameter("number", "integer", "number of the item in this run");

const INDEX: Parameter = parameter(
    "index",
    "integer",
    "number of the script, as pushing it told",
);

/// Members that answers of summaries share.
const BEHIND: (&str, &str) = ("behind", "integer");

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/echo",
        about: "Says that the server is alive.",
        parameters: &[],
        answer: Answer::Text,
        handler: || get(async || "It works!"),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/openapi.json",
        about: "This document.",
        parameters: &[],
        answer: Answer::Members(&[("openapi", "string"), ("paths", "object")]),
        handler: || get(async || AsJson(openapi::document())),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/status",
        about: "Counters, what is held, and the state of recordings, outbox and source.",
        parameters: &[],
        answer: Answer::Members(&[
            ("version", "string"),
            ("counts", "object"),
            ("rows", "object"),
            ("run", "object"),
        ]),
        handler: || get(api::status),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/metadata/version",
        about: "The version of the program.",
        parameters: &[],
        answer: Answer::Members(&[("ver", "string")]),
        handler: || get(async || AsJson(json!({"ver": env!("CARGO_PKG_VERSION")}))),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/query/validate",
        about: "Whether a query is valid, and what is wrong with it; places are counted in UTF-16 units.",
        parameters: &[Q],
        answer: Answer::Members(&[
            ("valid", "boolean"),
            ("message", "string"),
            ("warnings", "array"),
        ]),
        handler: || get(queries::validate),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/query/complete",
        about: "What may stand at the cursor of a query.",
        parameters: &[
            Q,
            parameter(
                "cursor",
                "integer",
                "place in UTF-16 units; the end when left out",
            ),
        ],
        answer: Answer::Members(&[("from", "integer"), ("proposals", "array")]),
        handler: || get(queries::complete),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/query/narrow",
        about: "A query narrowed by a clause of the first dialect, in the dialect that the query is of.",
        parameters: &[Q, parameter("clause", "string", "the clause")],
        answer: Answer::Members(&[("query", "string")]),
        handler: || get(queries::narrow),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/query/explain",
        about: "What a query does, in steps.",
        parameters: &[Q],
        answer: Answer::Json("object"),
        handler: || get(queries::explain),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/items",
        about: "Rows that match, newest first; next is the cursor for before, null at the end. A page of an archive may be short or empty before the end.",
        parameters: &[
            Q,
            parameter(
                "before",
                "integer",
                "the cursor: rows behind it only, in an archive older ones, else those with lower numbers",
            ),
            LIMIT,
        ],
        answer: Answer::Members(&[
            ("rows", "array"),
            ("scanned", "integer"),
            ("end", "integer"),
        ]),
        handler: || get(api::items),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/item/{number}",
        about: "One item with all its fields.",
        parameters: &[parameter(
            "number",
            "integer",
            "number of the item in this run",
        )],
        answer: Answer::Members(&[("row", "object"), ("item", "object")]),
        handler: || get(api::item_by_number),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/item/{worker}/{id}",
        about: "One item by its id, which stays the same in every run over the same packets.",
        parameters: &[
            WORKER,
            parameter(
                "id",
                "string",
                "stream and index, as the item's id has them",
            ),
        ],
        answer: Answer::Members(&[("row", "object"), ("item", "object")]),
        handler: || get(api::item_by_id),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/timeline",
        about: "Counts, failures and latencies of what matches, by time; since is the moment before which an archive was not read, null when all was.",
        parameters: &[Q, LIMIT],
        answer: Answer::Members(&[
            ("from", "integer"),
            ("to", "integer"),
            ("width", "integer"),
            ("slots", "array"),
            ("all", "object"),
            BEHIND,
        ]),
        handler: || get(api::timeline),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/groups",
        about: "The same by endpoint, source, destination, namespace, status or protocol.",
        parameters: &[
            Q,
            parameter(
                "by",
                "string",
                "endpoint, source, destination, namespace, status or protocol",
            ),
            LIMIT,
        ],
        answer: Answer::Members(&[("groups", "array"), ("all", "object"), BEHIND]),
        handler: || get(api::groups),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/map",
        about: "Who speaks to whom.",
        parameters: &[
            Q,
            parameter("by", "string", "name (default) or namespace"),
            LIMIT,
        ],
        answer: Answer::Members(&[("nodes", "array"), ("edges", "array"), BEHIND]),
        handler: || get(api::map),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/packets/{stream}",
        about: "The front of a stream as a table of packets with their bytes.",
        parameters: &[STREAM, WORKER, NEAR],
        answer: Answer::Members(&[("packets", "array"), ("more", "boolean")]),
        handler: || get(api::packets_of),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/pcaps/total-tcp-streams",
        about: "Count of streams seen.",
        parameters: &[],
        answer: Answer::Json("integer"),
        handler: || get(api::total_streams),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/pcaps/download/{stream}",
        about: "A stream as a savefile.",
        parameters: &[STREAM, WORKER, NEAR],
        answer: Answer::Capture,
        handler: || get(api::download),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/pcaps/download/{worker}/{stream}",
        about: "The same, with the node as older clients name it.",
        parameters: &[WORKER, STREAM, NEAR],
        answer: Answer::Capture,
        handler: || get(api::download_of_worker),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/fields",
        about: "Fields that filters may name.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(api::fields),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/scripts",
        about: "The scripts with their states and figures.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(api::scripts),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/jobs",
        about: "The jobs of scripts with their runs.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(operate::jobs),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/recordings",
        about: "Recordings with what they are and did, also those that wait for their time.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(operate::recordings),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/recordings/add",
        about: "Adds a recording, or changes one that was added; the body is its declaration.",
        parameters: &[],
        answer: Answer::Members(&[("name", "string"), ("kfl", "string"), ("state", "string")]),
        handler: || post(operate::add_recording),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/recordings/remove",
        about: "Ends a recording that was added; what is open is sealed.",
        parameters: &[parameter("name", "string", "its name")],
        answer: Answer::Members(&[("removed", "string")]),
        handler: || post(operate::remove_recording),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/recordings/seal",
        about: "Seals what is open of a recording, or of all; answers how many reels that are.",
        parameters: &[parameter("name", "string", "its name; all when left out")],
        answer: Answer::Json("integer"),
        handler: || post(operate::seal_recording),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/jobs/run",
        about: "Runs a job now.",
        parameters: &[parameter("tag", "string", "tag of the job")],
        answer: Answer::Members(&[("ok", "boolean")]),
        handler: || post(operate::run_job),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: false,
        path: "/console",
        about: "Lines of the console of scripts.",
        parameters: &[parameter(
            "after",
            "integer",
            "lines with higher numbers only",
        )],
        answer: Answer::Members(&[("lines", "array")]),
        handler: || get(api::console),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/session",
        about: "Who asks, by which role, and what the configuration lets pages do.",
        parameters: &[],
        answer: Answer::Members(&[("who", "string"), ("role", "string"), ("may", "object")]),
        handler: || get(access::session),
    },
    Route {
        method: "get",
        role: Role::Operate,
        audited: false,
        path: "/audit",
        about: "The newest entries of the audit log, the newest first.",
        parameters: &[LIMIT],
        answer: Answer::Members(&[
            ("entries", "array"),
            ("file", "string"),
            ("more", "boolean"),
        ]),
        handler: || get(access::audit),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/coverage",
        about: "When packets were captured, lost or left out, and which reels were sealed and uploaded.",
        parameters: &[],
        answer: Answer::Members(&[("captured", "array"), ("lost", "array"), ("reels", "array")]),
        handler: || get(api::coverage),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/archive/stores",
        about: "Stores that reels go to or come from.",
        parameters: &[],
        answer: Answer::Members(&[("stores", "array")]),
        handler: || get(stores::list),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/archive/days",
        about: "Days of a store with reels, the newest first.",
        parameters: &[STORE],
        answer: Answer::Members(&[("days", "array")]),
        handler: || get(stores::days),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/archive/reels",
        about: "Reels of a day with what their manifests say, the newest first; next is the cursor for after.",
        parameters: &[
            STORE,
            parameter("day", "string", "a day, as /archive/days names it"),
            parameter("after", "string", "the cursor: the reels behind it"),
            LIMIT,
        ],
        answer: Answer::Members(&[("reels", "array")]),
        handler: || get(stores::reels),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/archive/object",
        about: "An object of a reel, as it is stored.",
        parameters: &[
            STORE,
            parameter("key", "string", "key of the object, as reels name it"),
            parameter("version", "string", "its version; the first when left out"),
        ],
        answer: Answer::Bytes,
        handler: || get(stores::object),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/archive/proof",
        about: "What the last look at a store proved: none, running, done with a report, or failed.",
        parameters: &[STORE],
        answer: Answer::Members(&[("state", "string")]),
        handler: || get(stores::proof),
    },
    Route {
        method: "post",
        role: Role::Investigate,
        audited: true,
        path: "/archive/verify",
        about: "Begins to compare all objects of a store with what was sealed; /archive/proof tells the outcome.",
        parameters: &[STORE],
        answer: Answer::Members(&[("state", "string")]),
        handler: || post(stores::verify),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/recordings/backtest",
        about: "What a recording with this query would have kept of the items that are held, or of what a store has; an archive is read bit by bit, behind is what is still to be read.",
        parameters: &[
            Q,
            parameter(
                "store",
                "string",
                "a store, as /archive/stores names it; what is open here when left out",
            ),
        ],
        answer: Answer::Members(&[
            ("items", "integer"),
            ("streams", "integer"),
            ("bytes", "integer"),
            ("bytesPerDay", "integer"),
            ("byNamespace", "array"),
            BEHIND,
        ]),
        handler: || get(operate::backtest),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: false,
        path: "/scripts/files",
        about: "Files of scripts and tests, and whether they may be saved from here.",
        parameters: &[],
        answer: Answer::Members(&[
            ("folders", "array"),
            ("files", "array"),
            ("editable", "boolean"),
        ]),
        handler: || get(scripts::files),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/scripts/source",
        about: "The text of a script, with its SHA-256.",
        parameters: &[PATH],
        answer: Answer::Members(&[("path", "string"), ("code", "string"), ("sha256", "string")]),
        handler: || get(scripts::source),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/scripts/tapedeck.d.ts",
        about: "Types of what scripts find, for editors.",
        parameters: &[],
        answer: Answer::Text,
        handler: || get(scripts::types),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: false,
        path: "/scripts/check",
        about: "What is wrong with the text of a script, which is the body; nothing of it runs.",
        parameters: &[PATH],
        answer: Answer::Members(&[("findings", "array")]),
        handler: || post(scripts::check),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/scripts/save",
        about: "Replaces the text of a script by the body, when it is still the one with this SHA-256; without one it is a new script.",
        parameters: &[
            PATH,
            parameter(
                "sha256",
                "string",
                "of the text that was opened; empty for a new script",
            ),
        ],
        answer: Answer::Members(&[("path", "string"), ("sha256", "string")]),
        handler: || post(scripts::save),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/scripts/switch",
        about: "Switches a script on or off for the rest of this run.",
        parameters: &[PATH, parameter("on", "boolean", "whether it is to run")],
        answer: Answer::Members(&[("ok", "boolean")]),
        handler: || post(scripts::switch),
    },
    Route {
        method: "get",
        role: Role::Operate,
        audited: true,
        path: "/replay/{number}",
        about: "The bytes that would be sent if this request was sent once more, and where to.",
        parameters: &[NUMBER],
        answer: Answer::Members(&[("to", "string"), ("text", "string"), ("sha256", "string")]),
        handler: || get(operate::replay_shown),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/replay/{number}",
        about: "Sends a request once more, when the bytes are those that were shown; off unless tap.dashboard.replay is true.",
        parameters: &[
            NUMBER,
            parameter("sha256", "string", "of the bytes that were shown"),
            parameter("count", "integer", "how often it is sent, 1000 at most"),
            parameter(
                "delay",
                "integer",
                "microseconds between two; 100 when left out",
            ),
            parameter(
                "concurrent",
                "boolean",
                "whether several are on their way at a time",
            ),
        ],
        answer: Answer::Members(&[
            ("text", "string"),
            ("took", "integer"),
            ("cut", "boolean"),
            ("sent", "integer"),
        ]),
        handler: || post(operate::replay),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/ws",
        about: "Rows that match, pushed as they come.",
        parameters: &[
            Q,
            parameter(
                "from",
                "integer",
                "number of the first item; the newest when left out",
            ),
            parameter("limit", "integer", "rows of one message at most"),
            parameter(
                "sample",
                "boolean",
                "whether rows beyond that are left out and counted instead of sent later",
            ),
        ],
        answer: Answer::Socket,
        handler: || get(feed::open),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/search",
        about: "The newest items that match, of live rows, spools and archives of all nodes in one order; from tells where each is from, missing what could not be asked.",
        parameters: &[
            Q,
            parameter(
                "before",
                "string",
                "next of the answer before, or milliseconds since 1970; the newest when left out",
            ),
            parameter(
                "from",
                "integer",
                "nothing from before this moment, in milliseconds since 1970",
            ),
            LIMIT,
        ],
        answer: Answer::Members(&[
            ("rows", "array"),
            ("missing", "array"),
            ("looked", "integer"),
        ]),
        handler: || get(search::search),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/pcapdump",
        about: "All packets that a node holds, as they were captured.",
        parameters: &[
            parameter(
                "node",
                "string",
                "name of the node; may be left out where there is one",
            ),
            parameter(
                "from",
                "integer",
                "the first moment, in milliseconds since 1970",
            ),
            parameter("to", "integer", "the moment behind the last one"),
        ],
        answer: Answer::Capture,
        handler: || get(raw::dump),
    },
    Route {
        method: "post",
        role: Role::Investigate,
        audited: true,
        path: "/pcaps/merge",
        about: "Streams of several nodes as a .tar.gz with a folder for each: those of pcaps by worker, or all of the rows that query matches.",
        parameters: &[],
        answer: Answer::Bytes,
        handler: || post(raw::merge),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/pcaps/name-resolution-history",
        about: "Which name an address had from when on.",
        parameters: &[],
        answer: Answer::Json("object"),
        handler: || get(raw::history),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/pods/targeted",
        about: "The pods that are captured.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(raw::targeted),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/pods/targetted",
        about: "The same, in an older spelling.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(raw::targeted),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/scripts",
        about: "Pushes a script: title and code, or file and code; one of the same file is replaced.",
        parameters: &[],
        answer: Answer::Members(&[("index", "integer")]),
        handler: || post(push::add),
    },
    Route {
        method: "put",
        role: Role::Operate,
        audited: true,
        path: "/scripts/{index}",
        about: "Replaces the code of a pushed script.",
        parameters: &[INDEX],
        answer: Answer::Members(&[("index", "integer")]),
        handler: || put(push::replace),
    },
    Route {
        method: "delete",
        role: Role::Operate,
        audited: true,
        path: "/scripts/{index}",
        about: "Deletes a pushed script.",
        parameters: &[INDEX],
        answer: Answer::Members(&[("index", "integer")]),
        handler: || delete(push::remove),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/scripts/done",
        about: "Says that all scripts were pushed; with files, those of no other file name are deleted.",
        parameters: &[],
        answer: Answer::Members(&[("scripts", "integer")]),
        handler: || post(push::done),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/scripts/env",
        about: "Values of env that were pushed, but for secrets.",
        parameters: &[],
        answer: Answer::Json("object"),
        handler: || get(push::env),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/scripts/env",
        about: "Pushes values of env, which go before those of the configuration.",
        parameters: &[],
        answer: Answer::Members(&[("names", "integer")]),
        handler: || post(push::set_env),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: false,
        path: "/scripts/logs",
        about: "Lines of the console of scripts, pushed as they come.",
        parameters: &[parameter(
            "after",
            "integer",
            "number of a line: those behind it",
        )],
        answer: Answer::Socket,
        handler: || get(push::logs),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/targets",
        about: "Captures other pods until the configuration changes; the body is JSON with regex, namespaces and excluded.",
        parameters: &[],
        answer: Answer::Members(&[("targets", "array"), ("excluded", "array")]),
        handler: || post(operate::target),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/pcaps/matching",
        about: "Packets of all streams whose items match, as a .tar.gz with a folder for each node.",
        parameters: &[Q],
        answer: Answer::Bytes,
        handler: || get(saves::packets),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/columns",
        about: "The fields that lists show as method, status and summary, by the short name of the protocol.",
        parameters: &[],
        answer: Answer::Json("object"),
        handler: || get(api::columns),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/jobs/scheduler",
        about: "Whether the scheduler of jobs runs.",
        parameters: &[],
        answer: Answer::Members(&[("running", "boolean")]),
        handler: || get(operate::scheduler),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/jobs/do",
        about: "Runs or removes the jobs of a tag, or all, or starts or stops their scheduler.",
        parameters: &[
            parameter("act", "string", "run, remove, start or stop"),
            parameter("tag", "string", "tag of the jobs; all when left out"),
        ],
        answer: Answer::Members(&[("ok", "boolean")]),
        handler: || post(operate::jobs_do),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/whoami",
        about: "The same as older clients ask for it.",
        parameters: &[],
        answer: Answer::Members(&[("who", "string"), ("role", "string"), ("may", "object")]),
        handler: || get(access::session),
    },
    Route {
        method: "post",
        role: Role::Operate,
        audited: true,
        path: "/scripts/remove",
        about: "Removes the file of a script, when it is still the one with this SHA-256.",
        parameters: &[
            PATH,
            parameter("sha256", "string", "of the text that was opened"),
        ],
        answer: Answer::Members(&[("path", "string")]),
        handler: || post(scripts::remove),
    },
    Route {
        method: "get",
        role: Role::Investigate,
        audited: true,
        path: "/wsFull",
        about: "Whole items that match, pushed as they come; the client sends a query, and a new one at any time.",
        parameters: &[],
        answer: Answer::Socket,
        handler: || get(feed::open_full),
    },
    Route {
        method: "get",
        role: Role::View,
        audited: false,
        path: "/targets",
        about: "Pods that are captured, pods that are not, and what was asked for.",
        parameters: &[],
        answer: Answer::Members(&[("targets", "array"), ("excluded", "array")]),
        handler: || get(operate::targeted),
    },
];

/// The routes, below `/api`.
pub(super) fn router() -> Router<State> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route.path, guarded(route))
    })
}

/// The route of a path, to be served at another place too.
pub(super) fn at(path: &str) -> MethodRouter<State> {
    let mut found = ROUTES.iter().filter(|route| route.path == path);
    found.next().map(guarded).unwrap_or_default()
}

/// A route behind the role that it needs.
fn guarded(route: &'static Route) -> MethodRouter<State> {
    (route.handler)().layer(from_fn(move |request: Request, next: Next| {
        access::admit(route.role, route.audited, request, next)
    }))
}
