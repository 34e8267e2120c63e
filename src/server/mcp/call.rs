//! One call of a tool: from its arguments to the requests that it makes, and from their answers to what
//! an assistant is told.
//!
//! In: a tool, arguments that its schema allows. Out: JSON or text of a bounded size with notes about
//! what is not in it, or the sentence of the route that refused.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tokio::time::Instant;

use super::super::openapi;
use super::super::routes::{self, Route};
use super::ask::{Answered, Asked, Way};
use super::compare::{self, Side};
use super::tools::{How, Tool};
use super::{fit, span};
use crate::time::Timestamp;

/// Bytes that one answer has about at most: some sixteen thousand tokens.
const MAX_TOLD: usize = 64 << 10;

/// Time that an answer about an archive is waited for, which is read bit by bit.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two looks at it.
const PACE: Duration = Duration::from_millis(50);

/// Groups of a span that are held against those of another.
const COMPARED_GROUPS: &str = "1000";

/// What a call came to.
pub(super) struct Told {
    /// JSON, or text as a JSON string.
    pub(super) value: Json,
    pub(super) notes: Vec<String>,
}

/// Makes the call.
///
/// # Errors
/// One sentence: what a route said against it.
pub(super) async fn call(
    tool: &Tool,
    arguments: &Map<String, Json>,
    way: &dyn Way,
    now: Timestamp,
) -> Result<Told, String> {
    let mut arguments = arguments.clone();
    for (name, value) in tool.defaults {
        if !arguments.contains_key(*name) {
            arguments.insert((*name).to_owned(), json!(value));
        }
    }
    // The id of a row is the worker's name, a slash and what the route calls the id.
    let whole_id = arguments.get("id").and_then(Json::as_str);
    if let Some((worker, id)) = whole_id.and_then(|id| id.split_once('/')) {
        let (worker, id) = (json!(worker), json!(id));
        arguments.insert("worker".to_owned(), worker);
        arguments.insert("id".to_owned(), id);
    }
    let value = match tool.how {
        How::Plain => ask_tool(tool, &arguments, way).await?,
        How::Span => {
            let bounds = [span::SINCE, span::UNTIL];
            narrow(&mut arguments, bounds, way, now).await?;
            ask_tool(tool, &arguments, way).await?
        }
        How::Compare => {
            let limit = arguments.remove("limit");
            let limit = limit.as_ref().and_then(|limit| match limit {
                Json::String(text) => text.parse().ok(),
                other => other.as_u64(),
            });
            let limit = usize::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
            arguments.insert("limit".to_owned(), json!(COMPARED_GROUPS));
            let [a, b, c, d] = span::COMPARED.map(|(name, _)| name);
            let before = side(tool, &arguments, [a, b], way, now).await?;
            let after = side(tool, &arguments, [c, d], way, now).await?;
            let mut compared = compare::compare(&before, &after, limit);
            let behind = [&before, &after].map(|side| behind(&side.answer));
            compared["behind"] = behind.into_iter().sum::<u64>().into();
            compared
        }
    };
    Ok(told(value))
}

/// One of two spans that are compared.
async fn side(
    tool: &Tool,
    arguments: &Map<String, Json>,
    bounds: [&str; 2],
    way: &dyn Way,
    now: Timestamp,
) -> Result<Side, String> {
    let mut arguments = arguments.clone();
    let [since, until] = narrow(&mut arguments, bounds, way, now).await?;
    span::COMPARED
        .iter()
        .for_each(|(bound, _)| drop(arguments.remove(*bound)));
    let length = until
        .unwrap_or_default()
        .saturating_sub(since.unwrap_or_default());
    if length <= 0 {
        return Err(format!("{} must lie behind {}", bounds[1], bounds[0]));
    }
    Ok(Side {
        minutes: length as f64 / 60_000.0,
        answer: ask_tool(tool, &arguments, way).await?,
    })
}

/// Takes bounds of time out of the arguments and narrows the query by them; answers the bounds, in
/// milliseconds.
async fn narrow(
    arguments: &mut Map<String, Json>,
    bounds: [&str; 2],
    way: &dyn Way,
    now: Timestamp,
) -> Result<[Option<i64>; 2], String> {
    let mut moments = [None; 2];
    for (name, moment) in bounds.iter().zip(&mut moments) {
        if let Some(value) = arguments.remove(*name) {
            *moment = Some(span::moment(name, &value, now)?);
        }
    }
    let [since, until] = moments;
    let Some(clause) = span::clause(since, until)? else {
        return Ok(moments);
    };
    let q = arguments.remove("q").unwrap_or_else(|| json!(""));
    let route = routes::find("get", "/query/narrow").ok_or("queries are not narrowed here")?;
    let asked = Map::from_iter([("q".to_owned(), q), ("clause".to_owned(), json!(clause))]);
    let narrowed = ask(route, &asked, way).await?;
    arguments.insert("q".to_owned(), narrowed["query"].clone());
    Ok(moments)
}

/// Asks the route of a tool that the arguments fill.
async fn ask_tool(
    tool: &Tool,
    arguments: &Map<String, Json>,
    way: &dyn Way,
) -> Result<Json, String> {
    let mut of_tool = tool.routes();
    let Some(route) =
        of_tool.find(|route| route.in_path().all(|name| arguments.contains_key(name)))
    else {
        let ways: Vec<String> = tool
            .routes()
            .map(|route| route.in_path().collect::<Vec<_>>().join(" and "))
            .collect();
        return Err(format!("{} needs {}", tool.name, ways.join(", or ")));
    };
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = ask(route, arguments, way).await?;
        if behind(&answer) == 0 || Instant::now() >= until {
            return Ok(answer);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// How much of an archive is still to be read for this answer.
fn behind(answer: &Json) -> u64 {
    answer["behind"].as_u64().unwrap_or_default()
}

async fn ask(
    route: &'static Route,
    arguments: &Map<String, Json>,
    way: &dyn Way,
) -> Result<Json, String> {
    read(way.ask(fill(route, arguments)).await?)
}

/// The request that arguments make of a route: those of its path, those of its body, and all others as
/// parameters.
fn fill(route: &'static Route, arguments: &Map<String, Json>) -> Asked {
    let path: Vec<String> = route
        .path
        .split('/')
        .map(|part| {
            let value = routes::placeholder(part).and_then(|name| arguments.get(name));
            value.map_or_else(|| part.to_owned(), |value| percent(&text_of(value)))
        })
        .collect();
    let of_path: Vec<&str> = route.in_path().collect();
    let is_known = |name: &str| route.parameters.iter().any(|one| one.name == name);
    let has_body = openapi::json_body(route).is_some();
    let mut path = path.join("/");
    let mut body = Map::new();
    let mut sign = '?';
    for (name, value) in arguments {
        if of_path.contains(&name.as_str()) {
            continue;
        }
        if is_known(name) {
            path.push(sign);
            path.push_str(&format!("{name}={}", percent(&text_of(value))));
            sign = '&';
        } else if has_body {
            body.insert(name.clone(), value.clone());
        }
    }
    Asked {
        route,
        path,
        body: has_body.then_some(Json::Object(body)),
    }
}

fn text_of(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn read(answer: Answered) -> Result<Json, String> {
    if answer.status != 200 {
        return Err(answer.refusal());
    }
    match answer.is_json {
        true => serde_json::from_slice(&answer.body)
            .map_err(|error| format!("the answer cannot be read: {error}")),
        false => Ok(Json::String(
            String::from_utf8_lossy(&answer.body).into_owned(),
        )),
    }
}

/// The answer at a bounded size, with notes about what is not in it.
fn told(mut value: Json) -> Told {
    let mut notes = Vec::new();
    let behind = behind(&value);
    if behind > 0 {
        notes.push(format!(
            "{behind} items are not read yet; ask the same again for an answer about all of them."
        ));
    }
    let unknown = value["unknown"].as_u64().unwrap_or_default();
    if unknown > 0 {
        notes.push(format!(
            "{unknown} groups are among the {COMPARED_GROUPS} largest of one span alone, and smaller groups of the \
             other are not read: whether they appeared or vanished is not known. A narrower q tells."
        ));
    }
    let cuts = fit::fit(&mut value, MAX_TOLD);
    if !cuts.is_empty() {
        notes.push(format!(
            "Cut to {} KiB: {}. Ask for less: a smaller limit, a narrower q or a shorter span.",
            MAX_TOLD >> 10,
            cuts.sentence()
        ));
    }
    if cuts.lists
        && let Some(answer) = value.as_object_mut()
        && answer.shift_remove("next").is_some()
    {
        notes.push(
            "The cursor next is left out, since it leads past what was cut; it is there with a smaller limit."
                .to_owned(),
        );
    }
    Told { value, notes }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::tools::find;
    use super::*;

    /// A path with its body.
    type Noted = (String, Option<Json>);

    /// Notes what is asked, and answers from a list.
    #[derive(Default)]
    struct Noting {
        asked: Mutex<Vec<Noted>>,
        answers: Mutex<Vec<(u16, Json)>>,
    }

    #[async_trait::async_trait]
    impl Way for Noting {
        async fn ask(&self, asked: Asked) -> Result<Answered, String> {
            self.asked.lock().unwrap().push((asked.path, asked.body));
            let mut answers = self.answers.lock().unwrap();
            let (status, body) = if answers.is_empty() {
                (200, json!({}))
            } else {
                answers.remove(0)
            };
            let body = body.to_string().into_bytes();
            Ok(Answered {
                status,
                is_json: true,
                body,
            })
        }
    }

    fn ask(
        tool: &str,
        arguments: Json,
        answers: &[(u16, Json)],
    ) -> (Result<Told, String>, Vec<Noted>) {
        let way = Noting::default();
        way.answers.lock().unwrap().extend(answers.iter().cloned());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let now = Timestamp::from_secs(1_700_000_000, 0);
        let called = call(
            find(tool).unwrap(),
            arguments.as_object().unwrap(),
            &way,
            now,
        );
        let told = runtime.block_on(called);
        (told, way.asked.into_inner().unwrap())
    }

    fn path(tool: &str, arguments: Json) -> String {
        let (_, asked) = ask(tool, arguments, &[]);
        asked
            .last()
            .map(|(path, _)| path.clone())
            .unwrap_or_default()
    }

    #[test]
    fn arguments_fill_path_parameters_and_body() {
        assert_eq!(
            path("items", json!({"q": "http and src.name == \"a&b\""})),
            "/items?q=http%20and%20src%2Ename%20%3D%3D%20%22a%26b%22&limit=50"
        );
        assert_eq!(path("items", json!({"limit": 3})), "/items?limit=3");
        assert_eq!(
            path("item", json!({"number": 7, "place": "s3://b/"})),
            "/item/7?place=s3%3A%2F%2Fb%2F"
        );
        assert_eq!(
            path("item", json!({"worker": "10.0.0.1:8897", "id": "../x"})),
            "/item/%2E%2E/x"
        );
        assert_eq!(
            path("item", json!({"id": "10.0.0.1:8897/0.pcap-1"})),
            "/item/10%2E0%2E0%2E1%3A8897/0%2Epcap%2D1"
        );
        assert_eq!(
            path("script_switch", json!({"path": "a.js", "on": true})),
            "/scripts/switch?path=a%2Ejs&on=true"
        );
        let (_, asked) = ask(
            "recording_add",
            json!({"name": "a", "kfl": "http", "days": 1}),
            &[],
        );
        assert_eq!(
            asked,
            [(
                "/recordings/add".to_owned(),
                Some(json!({"name": "a", "kfl": "http", "days": 1}))
            )]
        );
        let (told, asked) = ask("item", json!({}), &[]);
        assert_eq!(told.err().unwrap(), "item needs number, or worker and id");
        assert!(asked.is_empty());
    }

    #[test]
    fn a_span_narrows_the_query_before_it_is_asked() {
        let narrowed = (200, json!({"query": "narrowed"}));
        let (_, asked) = ask("items", json!({"q": "http", "since": "15m"}), &[narrowed]);
        assert!(
            asked[0]
                .0
                .starts_with("/query/narrow?q=http&clause=timestamp%20%3E%3D%20datetime"),
            "{asked:?}"
        );
        assert_eq!(asked[1].0, "/items?limit=50&q=narrowed");
        let refused = (400, json!({"error": "the filter is invalid"}));
        let (told, _) = ask("items", json!({"q": "http (", "since": "15m"}), &[refused]);
        assert_eq!(told.err().unwrap(), "the filter is invalid");
    }

    #[test]
    fn two_spans_are_asked_for_and_must_have_a_length() {
        let bounds = json!({"before_since": 0, "before_until": 60_000, "after_since": 60_000, "after_until": 120_000});
        let groups = (
            200,
            json!({"groups": [{"labels": ["/a"], "count": 2}], "all": {"count": 2}}),
        );
        let none = (200, json!({"groups": [], "all": {"count": 0}}));
        let narrowed = || (200, json!({"query": "q"}));
        let (told, asked) = ask("compare", bounds, &[narrowed(), groups, narrowed(), none]);
        let told = told.unwrap().value;
        assert_eq!(told["groups"][0]["verdict"], "vanished");
        assert_eq!(told["before"]["perMinute"], 2.0);
        assert_eq!(asked[1].0, "/groups?limit=1000&by=endpoint&q=q");
        let turned =
            json!({"before_since": 60_000, "before_until": 0, "after_since": 0, "after_until": 1});
        let (told, _) = ask("compare", turned, &[]);
        assert_eq!(
            told.err().unwrap(),
            "before_until must lie behind before_since"
        );
    }

    #[test]
    fn groups_that_only_one_span_has_are_told_as_unknown_where_the_other_is_cut() {
        let bounds = json!({"before_since": 0, "before_until": 60_000, "after_since": 60_000, "after_until": 120_000});
        let groups = (
            200,
            json!({"groups": [{"labels": ["/a"], "count": 2}], "all": {"count": 2}}),
        );
        let cut = (200, json!({"groups": [], "all": {"count": 0}, "more": 300}));
        let narrowed = || (200, json!({"query": "q"}));
        let (told, _) = ask("compare", bounds, &[narrowed(), groups, narrowed(), cut]);
        let told = told.unwrap();
        assert_eq!(told.value["groups"][0]["verdict"], "unknown");
        assert!(told.notes[0].starts_with("1 groups"), "{:?}", told.notes);
    }

    #[test]
    fn an_answer_that_is_not_whole_is_asked_for_again() {
        let (told, asked) = ask(
            "groups",
            json!({}),
            &[(200, json!({"behind": 5})), (200, json!({"behind": 0}))],
        );
        assert_eq!((asked.len(), told.unwrap().notes.len()), (2, 0));
    }

    #[test]
    fn a_long_answer_is_cut_and_says_so() {
        let rows: Vec<Json> = (0..5000)
            .map(|n| json!({"n": n, "summary": "x".repeat(50)}))
            .collect();
        let (told, _) = ask(
            "items",
            json!({}),
            &[(200, json!({"rows": rows, "next": 9}))],
        );
        let told = told.unwrap();
        assert!(fit::size(&told.value) <= MAX_TOLD);
        assert!(told.value.get("next").is_none());
        assert!(
            told.notes[0].contains("rows ") && told.notes[0].contains(" of 5000"),
            "{:?}",
            told.notes
        );
        assert!(told.notes[1].contains("smaller limit"), "{:?}", told.notes);
    }
}
