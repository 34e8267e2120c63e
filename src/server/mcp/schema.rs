//! What a tool takes: the JSON Schema of its arguments, made of the parameters of its routes as the
//! OpenAPI document has them.

use serde_json::{Map, Value as Json, json};

use super::super::openapi;
use super::span;
use super::tools::{How, Tool};

/// The schema of the arguments of a tool.
///
/// ```text
/// {"type": "object", "properties": {name: {"type","description",...}}, "required": [name],
///  "additionalProperties": false}
/// ```
pub(super) fn input(tool: &Tool) -> Map<String, Json> {
    let mut properties = Map::new();
    let mut required: Option<Vec<String>> = None;
    let mut is_open = false;
    for route in tool.routes() {
        let mut needed: Vec<String> = Vec::new();
        for one in route.parameters {
            let told = openapi::parameter_json(route, one);
            let mut schema = told["schema"].clone();
            schema["description"] = told["description"].clone();
            properties.entry(one.name).or_insert(schema);
            if told["required"] == true {
                needed.push(one.name.to_owned());
            }
        }
        if let Some(body) = openapi::json_body(route) {
            for (name, schema) in body["properties"].as_object().into_iter().flatten() {
                properties.entry(name).or_insert(schema.clone());
            }
            let names = body["required"].as_array().into_iter().flatten();
            needed.extend(names.filter_map(Json::as_str).map(str::to_owned));
            is_open = true;
        }
        // Of several routes one is asked, so only what all of them need is needed.
        required = Some(match required {
            None => needed,
            Some(mut before) => {
                before.retain(|name| needed.contains(name));
                before
            }
        });
    }
    let mut required = required.unwrap_or_default();
    let mut bound = |name: &str, about: &str| {
        let about = format!("{about}: {}", span::FORMS);
        properties.insert(
            name.to_owned(),
            json!({"type": ["string", "integer"], "description": about}),
        );
    };
    match tool.how {
        How::Plain => {}
        How::Span => {
            bound(span::SINCE, "nothing from before this moment");
            bound(span::UNTIL, "nothing from this moment on");
        }
        How::Compare => {
            for (name, about) in span::COMPARED {
                bound(name, about);
                required.push(name.to_owned());
            }
        }
    }
    for (name, value) in tool.defaults {
        if let Some(schema) = properties.get_mut(*name) {
            schema["default"] = match schema["type"] == "integer" {
                true => value.parse::<u64>().map_or(Json::Null, Json::from),
                false => json!(value),
            };
        }
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Json::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("additionalProperties".to_owned(), json!(is_open));
    schema
}

/// What is wrong with the arguments of a call, in one sentence.
pub(super) fn fault(tool: &Tool, arguments: &Map<String, Json>) -> Option<String> {
    let schema = input(tool);
    let properties = schema["properties"].as_object()?;
    let name = tool.name;
    for (argument, value) in arguments {
        let Some(known) = properties.get(argument) else {
            if schema["additionalProperties"] == true {
                continue;
            }
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            let names = match names.is_empty() {
                true => "it takes none".to_owned(),
                false => format!("there are {}", names.join(", ")),
            };
            return Some(format!("{name} has no argument {argument}; {names}"));
        };
        let wanted: Vec<&str> = match &known["type"] {
            Json::Array(types) => types.iter().filter_map(Json::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !wanted.is_empty() && !wanted.iter().any(|kind| is_of(kind, value)) {
            let wanted = wanted.join(" or ");
            return Some(format!("{argument} of {name} must be of the type {wanted}"));
        }
    }
    let required = schema.get("required").and_then(Json::as_array);
    let missing = required.into_iter().flatten().filter_map(Json::as_str);
    let mut missing = missing.filter(|needed| !arguments.contains_key(*needed));
    let missing = missing.next()?;
    Some(format!("{name} needs the argument {missing}"))
}

fn is_of(kind: &str, value: &Json) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tools::{TOOLS, find};
    use super::*;

    #[test]
    fn every_schema_is_one_of_an_object_whose_properties_are_told() {
        for tool in TOOLS {
            let schema = input(tool);
            assert_eq!(schema["type"], "object", "{}", tool.name);
            let properties = schema["properties"].as_object().unwrap();
            for (name, property) in properties {
                assert!(!property["type"].is_null(), "{} {name}", tool.name);
                let described = property["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty());
                assert!(described, "{} {name}", tool.name);
                if let Some(default) = property.get("default") {
                    assert!(is_of(property["type"].as_str().unwrap(), default));
                }
            }
            let required = schema.get("required").and_then(Json::as_array);
            for name in required.into_iter().flatten() {
                assert!(properties.contains_key(name.as_str().unwrap()));
            }
            for (name, _) in tool.defaults {
                assert!(properties.contains_key(*name), "{} {name}", tool.name);
            }
        }
    }

    #[test]
    fn parameters_are_those_of_the_route() {
        let groups = input(find("groups").unwrap());
        assert_eq!(groups["properties"]["by"]["enum"][0], "endpoint");
        assert_eq!(groups["properties"]["by"]["default"], "endpoint");
        assert_eq!(groups["properties"]["limit"]["minimum"], 0);
        assert!(groups.get("required").is_none());
        let item = input(find("item").unwrap());
        assert!(item.get("required").is_none(), "one of two routes is asked");
        let packets = input(find("packets").unwrap());
        assert_eq!(packets["required"], json!(["stream"]));
        for (tool, name) in [
            ("recording_remove", "name"),
            ("archive_days", "store"),
            ("archive_reels", "store"),
        ] {
            assert_eq!(input(find(tool).unwrap())["required"], json!([name]));
        }
        let add = input(find("recording_add").unwrap());
        assert_eq!(add["required"], json!(["name", "kfl"]));
    }

    #[test]
    fn arguments_are_held_against_the_schema() {
        let fault = |tool: &str, arguments: Json| {
            let fault = fault(find(tool).unwrap(), arguments.as_object().unwrap());
            fault.unwrap_or_default()
        };
        assert_eq!(fault("items", json!({"q": "http", "limit": 5})), "");
        assert_eq!(fault("items", json!({"since": 5, "until": "5m"})), "");
        assert!(
            fault("items", json!({"query": "http"}))
                .starts_with("items has no argument query; there are q,")
        );
        assert!(fault("items", json!({"limit": "5"})).contains("type integer"));
        assert!(fault("items", json!({"limit": -5})).contains("type integer"));
        assert!(fault("status", json!({"q": ""})).contains("it takes none"));
        assert_eq!(
            fault("packets", json!({})),
            "packets needs the argument stream"
        );
        assert_eq!(
            fault(
                "recording_add",
                json!({"name": "a", "kfl": "http", "days": 1})
            ),
            ""
        );
    }
}
