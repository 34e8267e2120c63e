//! Every route, once: the router, the OpenAPI document and the reference page are made from this list.
//!
//! Routes stand below `/api/v1`, which stays as it is, and below `/api`, where older clients look.

use axum::routing::{MethodRouter, get, post};
use axum::{Json as AsJson, Router};
use serde_json::{Value as Json, json};

use super::api::{self, State};
use super::{feed, summary};

/// One parameter.
pub(super) struct Parameter {
    name: &'static str,
    /// `string` or `integer`, in the words of JSON Schema.
    kind: &'static str,
    about: &'static str,
}

/// One route.
pub(super) struct Route {
    /// `get` or `post`.
    method: &'static str,
    /// Below `/api`; names in braces are parameters.
    path: &'static str,
    /// One sentence.
    about: &'static str,
    parameters: &'static [Parameter],
    /// What a good answer holds.
    answer: Answer,
    handler: fn() -> MethodRouter<State>,
}

/// What a good answer is.
enum Answer {
    /// JSON that holds at least these members; none for an answer that is a list or a number.
    Members(&'static [(&'static str, &'static str)]),
    /// JSON of this type.
    Json(&'static str),
    /// Text.
    Text,
    /// A savefile.
    Capture,
    /// A change to the WebSocket protocol (RFC 6455).
    Socket,
}

const fn parameter(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, about }
}

const Q: Parameter = parameter("q", "string", "KFL; empty for all items");
const LIMIT: Parameter = parameter("limit", "integer", "how many at most");
const STREAM: Parameter = parameter("stream", "string", "name of a stream, as items have it");
const WORKER: Parameter = parameter(
    "worker",
    "string",
    "the worker as items name it, or the name of its node",
);

/// Members that answers of summaries share.
const BEHIND: (&str, &str) = ("behind", "integer");

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "get",
        path: "/echo",
        about: "Says that the server is alive.",
        parameters: &[],
        answer: Answer::Text,
        handler: || get(async || "It works!"),
    },
    Route {
        method: "get",
        path: "/openapi.json",
        about: "This document.",
        parameters: &[],
        answer: Answer::Members(&[("openapi", "string"), ("paths", "object")]),
        handler: || get(async || AsJson(document())),
    },
    Route {
        method: "get",
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
        path: "/metadata/version",
        about: "The version of the program.",
        parameters: &[],
        answer: Answer::Members(&[("ver", "string")]),
        handler: || get(async || AsJson(json!({"ver": env!("CARGO_PKG_VERSION")}))),
    },
    Route {
        method: "get",
        path: "/query/validate",
        about: "Whether a query is valid, and what is wrong with it; places are counted in UTF-16 units.",
        parameters: &[Q],
        answer: Answer::Members(&[
            ("valid", "boolean"),
            ("message", "string"),
            ("warnings", "array"),
        ]),
        handler: || get(api::validate),
    },
    Route {
        method: "get",
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
        handler: || get(api::complete),
    },
    Route {
        method: "get",
        path: "/query/explain",
        about: "What a query does, in steps.",
        parameters: &[Q],
        answer: Answer::Json("object"),
        handler: || get(api::explain),
    },
    Route {
        method: "get",
        path: "/items",
        about: "Rows that match, newest first; next is the cursor for before, null at the end.",
        parameters: &[
            Q,
            parameter(
                "before",
                "integer",
                "the cursor: rows with lower numbers only",
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
        path: "/timeline",
        about: "Counts, failures and latencies of what matches, by time.",
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
        path: "/packets/{stream}",
        about: "The front of a stream as a table of packets with their bytes.",
        parameters: &[STREAM, WORKER],
        answer: Answer::Members(&[("packets", "array"), ("more", "boolean")]),
        handler: || get(api::packets_of),
    },
    Route {
        method: "get",
        path: "/pcaps/total-tcp-streams",
        about: "Count of streams seen.",
        parameters: &[],
        answer: Answer::Json("integer"),
        handler: || get(api::total_streams),
    },
    Route {
        method: "get",
        path: "/pcaps/download/{stream}",
        about: "A stream as a savefile.",
        parameters: &[STREAM],
        answer: Answer::Capture,
        handler: || get(api::download),
    },
    Route {
        method: "get",
        path: "/pcaps/download/{worker}/{stream}",
        about: "The same, with the node as older clients name it.",
        parameters: &[WORKER, STREAM],
        answer: Answer::Capture,
        handler: || get(api::download_of_worker),
    },
    Route {
        method: "get",
        path: "/fields",
        about: "Fields that filters may name.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(api::fields),
    },
    Route {
        method: "get",
        path: "/scripts",
        about: "The scripts with their states and figures.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(api::scripts),
    },
    Route {
        method: "get",
        path: "/jobs",
        about: "The jobs of scripts with their runs.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(api::jobs),
    },
    Route {
        method: "get",
        path: "/recordings",
        about: "Recordings with what they are and did, also those that wait for their time.",
        parameters: &[],
        answer: Answer::Json("array"),
        handler: || get(api::recordings),
    },
    Route {
        method: "post",
        path: "/recordings/add",
        about: "Adds a recording, or changes one that was added; the body is its declaration.",
        parameters: &[],
        answer: Answer::Members(&[("name", "string"), ("kfl", "string"), ("state", "string")]),
        handler: || post(api::add_recording),
    },
    Route {
        method: "post",
        path: "/recordings/remove",
        about: "Ends a recording that was added; what is open is sealed.",
        parameters: &[parameter("name", "string", "its name")],
        answer: Answer::Members(&[("removed", "string")]),
        handler: || post(api::remove_recording),
    },
    Route {
        method: "post",
        path: "/recordings/seal",
        about: "Seals what is open of a recording, or of all; answers how many reels that are.",
        parameters: &[parameter("name", "string", "its name; all when left out")],
        answer: Answer::Json("integer"),
        handler: || post(api::seal_recording),
    },
    Route {
        method: "post",
        path: "/jobs/run",
        about: "Runs a job now.",
        parameters: &[parameter("tag", "string", "tag of the job")],
        answer: Answer::Members(&[("ok", "boolean")]),
        handler: || post(api::run_job),
    },
    Route {
        method: "get",
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
        path: "/ws",
        about: "Rows that match, pushed as they come.",
        parameters: &[
            Q,
            parameter(
                "from",
                "integer",
                "number of the first item; the newest when left out",
            ),
        ],
        answer: Answer::Socket,
        handler: || get(feed::open),
    },
];

/// The routes, below `/api`.
pub(super) fn router() -> Router<State> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route.path, (route.handler)())
    })
}

/// The OpenAPI 3.1 document.
pub(super) fn document() -> Json {
    let mut paths = serde_json::Map::new();
    for route in ROUTES {
        let operation = json!({
            "summary": route.about,
            "operationId": operation_id(route),
            "parameters": route.parameters.iter().map(|one| parameter_json(route, one)).collect::<Vec<_>>(),
            "responses": responses(route),
        });
        let path = paths
            .entry(format!("/api/v1{}", route.path))
            .or_insert_with(|| json!({}));
        path[route.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tapedeck",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the dashboard asks. Every request carries the token that the program prints, as Authorization: Bearer or as the cookie that the printed address sets.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "properties": {"error": {"type": "string", "description": "one sentence"}},
                    "required": ["error"],
                },
            },
        },
    })
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .fold(route.method.to_owned(), |id, word| format!("{id}_{word}"))
}

fn parameter_json(route: &Route, one: &Parameter) -> Json {
    let in_path = route.path.contains(&format!("{{{}}}", one.name));
    let mut schema = json!({"type": one.kind});
    if one.kind == "integer" {
        schema["minimum"] = 0.into();
    }
    if one.name == "by" && route.path == "/groups" {
        schema["enum"] = json!(summary::GROUPINGS);
    }
    json!({
        "name": one.name,
        "in": if in_path { "path" } else { "query" },
        "required": in_path,
        "description": one.about,
        "schema": schema,
    })
}

fn responses(route: &Route) -> Json {
    let (status, content) = match &route.answer {
        Answer::Members(members) => {
            let properties: serde_json::Map<String, Json> = members
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), json!({"type": kind})))
                .collect();
            let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
            let schema = json!({"type": "object", "properties": properties, "required": required});
            ("200", json!({"application/json": {"schema": schema}}))
        }
        Answer::Json(kind) => (
            "200",
            json!({"application/json": {"schema": {"type": kind}}}),
        ),
        Answer::Text => ("200", json!({"text/plain": {"schema": {"type": "string"}}})),
        Answer::Capture => ("200", json!({"application/vnd.tcpdump.pcap": {}})),
        Answer::Socket => ("101", json!({})),
    };
    let refused = |about: &str| {
        json!({
            "description": about,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        })
    };
    let mut good = json!({"description": route.about});
    if content
        .as_object()
        .is_some_and(|content| !content.is_empty())
    {
        good["content"] = content;
    }
    json!({
        status: good,
        "400": refused("The request cannot be understood; the sentence says why."),
        "401": {"description": "The token is missing or wrong."},
        "404": refused("There is no such thing, or it is no longer held."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_a_path_is_a_parameter() {
        for route in ROUTES {
            for name in route.path.split('{').skip(1) {
                let name = name.split('}').next().unwrap();
                assert!(
                    route.parameters.iter().any(|one| one.name == name),
                    "{} of {}",
                    name,
                    route.path
                );
            }
        }
    }

    #[test]
    fn each_operation_has_a_name_of_its_own() {
        let mut ids: Vec<String> = ROUTES.iter().map(operation_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), ROUTES.len());
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), ROUTES.len());
    }
}
