//! The OpenAPI 3.1 document, made from the list of routes.

use serde_json::{Value as Json, json};

use super::map::MapBy;
use super::routes::{self, Answer, Parameter, Route};
use super::{mcp, operate, summary};

/// The OpenAPI 3.1 document.
pub(super) fn document() -> Json {
    let mut paths = serde_json::Map::new();
    for route in routes::all() {
        let mut operation = json!({
            "summary": route.about,
            "description": format!("Needs the role {}.{}", route.role.name(), noted(route)),
            "operationId": operation_id(route),
            "parameters": route.parameters.iter().map(|one| parameter_json(route, one)).collect::<Vec<_>>(),
            "responses": responses(route),
        });
        if let Some(body) = body_of(route) {
            operation["requestBody"] = body;
        }
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

fn noted(route: &Route) -> &'static str {
    match route.audited {
        true => " Noted in the audit log.",
        false => "",
    }
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .fold(route.method.to_owned(), |id, word| format!("{id}_{word}"))
}

pub(super) fn parameter_json(route: &Route, one: &Parameter) -> Json {
    let in_path = route.in_path().any(|name| name == one.name);
    let mut schema = json!({"type": one.kind});
    if one.kind == "integer" {
        schema["minimum"] = 0.into();
    }
    if one.name == "by" && route.path == "/map" {
        schema["enum"] = json!(MapBy::ALL.map(MapBy::name));
    }
    if one.name == "by" && route.path == "/groups" {
        schema["enum"] = json!(summary::GROUPINGS);
    }
    json!({
        "name": one.name,
        "in": if in_path { "path" } else { "query" },
        "required": in_path || one.is_needed,
        "description": one.about,
        "schema": schema,
    })
}

/// The body that a route takes.
fn body_of(route: &Route) -> Option<Json> {
    if route.method == "get" || route.method == "delete" {
        return None;
    }
    let list = || json!({"type": "array", "items": {"type": "string"}});
    let content = match route.path {
        "/targets" | "/pods/targeted" => json!({"application/json": {"schema": {
            "type": "object",
            "properties": {
                "regex": {"type": "string"}, "namespaces": list(), "excluded": list(),
                "bpf": {"type": "string"},
            },
        }}}),
        "/pcaps/set-storage-limit" => json!({"application/json": {"schema": {
            "type": "object",
            "properties": {"limit": {
                "type": ["integer", "string"], "minimum": operate::MIN_STORAGE,
                "description": "bytes, or a size such as 5Gi",
            }},
            "required": ["limit"],
        }}}),
        "/recordings/add" => json!({"application/json": {"schema": {
            "type": "object",
            "description": "A recording as the configuration declares it.",
            "properties": {
                "name": {"type": "string", "description": "a to z, 0 to 9 and -"},
                "kfl": {"type": "string", "description": "which items make it take their stream"},
                "start": {"type": "string", "description": "time of day at which it begins, HH:mm in UTC; now when left out"},
                "iterations": {"type": "integer", "minimum": 0, "description": "on how many days; 0 is every day"},
                "duration": {"type": ["string", "integer"], "description": "how long each time, as 90m; a number is minutes"},
                "expiry": {"type": ["string", "integer"], "description": "when it ends for good, as 7d; a number is minutes"},
            },
            "required": ["name", "kfl"],
        }}}),
        "/scripts" | "/scripts/{index}" => {
            json!({"application/json": {"schema": {
                "type": "object",
                "description": "A script; title is its first comment.",
                "properties": {
                    "title": {"type": "string"},
                    "file": {"type": "string"},
                    "code": {"type": "string"},
                },
                "required": ["code"],
            }}})
        }
        "/scripts/done" => json!({"application/json": {"schema": {
            "type": "object",
            "properties": {"files": {"type": "array", "items": {"type": "string"}}},
        }}}),
        "/scripts/env" => {
            json!({"application/json": {"schema": {"type": "object"}}})
        }
        "/pcaps/merge" => json!({"application/json": {"schema": {
            "type": "object",
            "properties": {
                "query": {"type": "string"},
                "pcaps": {"type": "object", "additionalProperties": {
                    "type": "array", "items": {"type": "string"},
                }},
            },
        }}}),
        mcp::PATH => json!({"application/json": {"schema": {
            "type": "object",
            "description": "A message of JSON-RPC 2.0. Accept must name application/json and text/event-stream.",
            "properties": {
                "jsonrpc": {"const": "2.0"}, "id": {"type": ["string", "integer"]},
                "method": {"type": "string"}, "params": {"type": "object"},
            },
            "required": ["jsonrpc"],
        }}}),
        "/scripts/check" | "/scripts/save" => {
            json!({"text/plain": {"schema": {"type": "string"}}})
        }
        _ => return None,
    };
    Some(json!({"required": true, "content": content}))
}

/// The schema of the JSON that a route takes as its body.
pub(super) fn json_body(route: &Route) -> Option<Json> {
    let body = body_of(route)?;
    body["content"]
        .get("application/json")
        .map(|content| content["schema"].clone())
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
        Answer::Archive => ("200", json!({"application/gzip": {}})),
        Answer::Bytes => ("200", json!({"application/octet-stream": {}})),
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
    let mut all = json!({
        status: good,
        "400": refused("The request cannot be understood; the sentence says why."),
        "401": {"description": "The token is missing or wrong."},
        "403": refused("The role of whoever asks, or the configuration, does not allow it."),
        "404": refused("There is no such thing, or it is no longer held."),
        "502": refused("A store, or another node, does not answer."),
    });
    if route.audited {
        all["503"] = refused("The audit log cannot be written.");
    }
    if route.parameters.iter().any(|one| one.name == "sha256") {
        all["409"] = refused("It is not what it was any more.");
        all["502"] = refused("Nobody answered there.");
    }
    if route.path == mcp::PATH {
        for (status, about) in [
            ("202", "A notification was taken."),
            ("406", "Accept does not name what the protocol asks for."),
            ("413", "The message is too long."),
            ("415", "The body is no JSON."),
        ] {
            all[status] = json!({"description": about});
        }
    }
    if route.path == "/pods/worker" {
        all["410"] = refused("Nothing reports itself by this path.");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_a_path_is_a_parameter() {
        for route in routes::all() {
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
        let mut ids: Vec<String> = routes::all().map(operation_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), routes::all().count());
        let document = document();
        let operations: usize = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|methods| methods.as_object().unwrap().len())
            .sum();
        assert_eq!(operations, routes::all().count());
    }
}
