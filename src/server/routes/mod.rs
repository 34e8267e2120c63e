//! Every route, once: the router and the OpenAPI document (`openapi`) are made from this list.
//!
//! It stands in one file a topic. Routes stand below `/api/v1`, which stays as it is, and below `/api`,
//! where older clients look.

mod items;
mod packets;
mod recordings;
mod run;
mod scripts;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::MethodRouter;

use super::access::{self, Role};
use super::api::State;

/// One parameter.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// `string` or `integer`, in the words of JSON Schema.
    pub(super) kind: &'static str,
    pub(super) about: &'static str,
    /// Whether it must be there; what stands in a path always must.
    pub(super) is_needed: bool,
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

impl Route {
    /// Names of parameters that stand in its path.
    pub(super) fn in_path(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('/').filter_map(placeholder)
    }
}

/// The name of the parameter that a part of a path stands for.
pub(super) fn placeholder(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
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
    /// A tar archive in gzip.
    Archive,
    /// Bytes of any kind.
    Bytes,
    /// A change to the WebSocket protocol (RFC 6455).
    Socket,
}

const fn parameter(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        about,
        is_needed: false,
    }
}

/// One that must be there.
const fn needed(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter {
        is_needed: true,
        ..parameter(name, kind, about)
    }
}

const Q: Parameter = parameter("q", "string", "KFL; empty for all items");
const PLACE: Parameter = parameter(
    "place",
    "string",
    "the place whose items alone are meant: a store, as /archive/stores names it; what is open here when left out",
);
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

const RUN: Parameter = parameter(
    "run",
    "integer",
    "the run whose stream it is, as rows of the spool have it: names of streams begin anew with each run; the present one when left out",
);

const STORE: Parameter = needed("store", "string", "a store, as /archive/stores names it");
const PATH: Parameter = parameter("path", "string", "path of the script, as /scripts names it");
const NUMBER: Parameter = parameter("number", "integer", "number of the item in this run");

const COUNT: Parameter = parameter("count", "integer", "how often it is sent, 1000 at most");
const DELAY: Parameter = parameter(
    "delay",
    "integer",
    "microseconds between two; 100 when left out",
);
const CONCURRENT: Parameter = parameter(
    "concurrent",
    "boolean",
    "whether several are on their way at a time",
);

const INDEX: Parameter = parameter(
    "index",
    "integer",
    "number of the script, as pushing it told",
);

/// Members that answers of summaries share.
const BEHIND: (&str, &str) = ("behind", "integer");

/// The list, by topic.
const TOPICS: [&[Route]; 5] = [
    run::THE_RUN,
    items::ITEMS,
    packets::PACKETS,
    recordings::RECORDINGS,
    scripts::SCRIPTS,
];

/// Every route.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    TOPICS.into_iter().flatten()
}

/// The route of a method and a path of the list.
pub(super) fn find(method: &str, path: &str) -> Option<&'static Route> {
    all().find(|route| route.method == method && route.path == path)
}

/// The routes, below `/api`.
pub(super) fn router() -> Router<State> {
    all().fold(Router::new(), |router, route| {
        router.route(route.path, guarded(route))
    })
}

/// The route of a path, to be served at another place too.
pub(super) fn at(path: &str) -> MethodRouter<State> {
    all()
        .find(|route| route.path == path)
        .map(guarded)
        .unwrap_or_default()
}

/// A route behind the role that it needs.
pub(super) fn guarded(route: &'static Route) -> MethodRouter<State> {
    (route.handler)().layer(from_fn(move |request: Request, next: Next| {
        access::admit(route.role, route.audited, request, next)
    }))
}
