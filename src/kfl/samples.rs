//! Queries over the items that every dissector makes of its own samples.
//!
//! In: the published queries, a clause for each variable, the examples of the reference page. Out:
//! that plan and tree, and all forms of an item, give one answer. Never: items made by hand.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::v2::vars::Type;
use super::*;
use crate::dissect::robustness::{Feed, Sample};
use crate::dissect::{Draft, PROTOCOLS, Protocols};
use crate::item::json::{JsonNode, to_string};
use crate::item::{ENVELOPE, Item, Peer, flat, sample};
use crate::packet::Direction;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000, 0);

/// An item in its three forms.
pub(crate) struct Forms {
    pub item: Item,
    pub flat: Vec<u8>,
    pub json: Json,
}

/// Items of the samples of every protocol.
pub(crate) fn items() -> Vec<Forms> {
    let samples = PROTOCOLS.iter().flat_map(|protocol| protocol.samples());
    samples
        .flat_map(|sample| items_of(&sample))
        .map(|item| {
            let mut flat = Vec::new();
            flat::encode(&item, &mut flat);
            let mut json: Json = serde_json::from_str(&to_string(item.node())).unwrap();
            // What is no item of ours is compared as it is.
            json["elapsedTime"] = (item.elapsed_nanos / 1000).into();
            Forms { item, flat, json }
        })
        .collect()
}

fn items_of(sample: &Sample) -> Vec<Item> {
    let mut feed = Feed::new(sample.transport, sample.server_port, &Protocols::all());
    for (direction, bytes) in &sample.turns {
        feed.chunk(*direction, bytes);
    }
    feed.fin(Direction::ToServer).fin(Direction::ToClient);
    let name = sample.transport;
    let numbered = (0..).zip(feed.end());
    numbered
        .map(|(index, draft)| {
            let mut item = item_of(draft, sample.server_port);
            item.index = index;
            item.stream.transport = name;
            item
        })
        .collect()
}

fn item_of(draft: Draft, server_port: u16) -> Item {
    let made = sample::http();
    let (mut client, mut server) = (made.src.clone(), Peer::unresolved(made.dst.endpoint));
    client.endpoint.port = 40_000;
    server.endpoint.port = server_port;
    let (src, dst) = match draft.from_client {
        true => (client, server),
        false => (server, client),
    };
    Item {
        protocol: draft.kind,
        src,
        dst,
        start: draft.start,
        elapsed_nanos: draft.elapsed_nanos,
        request_size: draft.request_size,
        response_size: draft.response_size,
        request: draft.request,
        response: draft.response,
        data: draft.data,
        error: draft.error,
        ordinal: draft.ordinal,
        ..made
    }
}

/// The rows of the table under `heading` in the reference: the query and its other cells.
pub(crate) fn published(reference: &str, heading: &str) -> Vec<(String, Vec<String>)> {
    let section = reference.split(heading).nth(1).unwrap_or_default();
    let section = section.split("\n#").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(query, rest)| {
            let cells = rest.split('|').map(|cell| cell.trim().to_owned());
            (query.replace("\\|", "|"), cells.collect())
        })
        .collect()
}

/// The page that publishes queries; `None` where it is not at hand.
pub(crate) fn reference() -> Option<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/reference/kfl.md");
    std::fs::read_to_string(path).ok()
}

/// Valid queries of a dialect: those published, and those that our own lists give.
pub(crate) fn queries(dialect: Dialect) -> Vec<String> {
    let mut all: Vec<String> = match dialect {
        Dialect::V1 => HELPERS
            .iter()
            .map(|helper| helper.example.to_owned())
            .collect(),
        Dialect::V2 => FUNCTIONS
            .iter()
            .map(|function| function.example.to_owned())
            .collect(),
    };
    for var in VARS {
        let name = var.name;
        all.extend(match (dialect, var.ty) {
            (Dialect::V1, _) => vec![format!("{name} == 1"), format!("!({name} != \"a\")")],
            (_, Type::Bool) => vec![name.to_owned()],
            (_, Type::Int) => vec![format!("{name} > 0"), format!("{name} in [0, 3, 200]")],
            (_, Type::Text) => vec![format!("{name} != \"\""), format!("{name}.contains(\"e\")")],
            (_, Type::Time) => vec![format!("{name} < now()")],
            (_, Type::List) => vec![
                format!("size({name}) > 0"),
                format!("{name}.exists(x, x.startsWith(\"a\"))"),
            ],
            (_, Type::Map(_)) => vec![
                format!("\"Host\" in {name}"),
                format!("map_get({name}, \"Content-Type\", \"\") != \"\""),
            ],
            (_, Type::Bytes) => vec![format!("size({name}) > 0")],
        });
    }
    let page = reference().unwrap_or_default();
    for heading in ["### 15.1 v1 era", "### 15.2 KFL2 era"] {
        all.extend(
            published(&page, heading)
                .into_iter()
                .map(|(query, _)| query),
        );
    }
    all.retain(|text| compiled(text, dialect).is_some());
    all
}

fn compiled(text: &str, dialect: Dialect) -> Option<Query> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::new(ENVELOPE, []));
    compile_as(text, dialect, &SCHEMA).ok()
}

/// The one answer about an item; says how the answers differ when they do.
fn answer(query: &Query, forms: &Forms) -> Result<Verdict, String> {
    let (node, json) = (forms.item.node(), JsonNode(&forms.json));
    let flat = flat::Flat::new(&forms.flat).ok_or("no record")?;
    let answers = [
        query.matches(node, NOW),
        query.by_tree(node, NOW),
        query.matches(flat, NOW),
        query.matches(json, NOW),
    ];
    let [first, rest @ ..] = answers;
    match rest.iter().all(|other| *other == first) {
        true => Ok(first),
        false => Err(format!("{query}: {answers:?} about {}", forms.json)),
    }
}

#[test]
fn each_query_has_one_answer_about_each_item() {
    let items = items();
    let protocols: std::collections::HashSet<_> =
        items.iter().map(|forms| forms.item.protocol.abbr).collect();
    assert!(protocols.len() >= 15, "{protocols:?}");
    let mut matched = 0;
    for dialect in [Dialect::V1, Dialect::V2] {
        let queries = queries(dialect);
        assert!(queries.len() > 200, "{}", queries.len());
        for text in queries {
            let query = compiled(&text, dialect).unwrap();
            let found = items.iter().filter(|forms| {
                let answer = answer(&query, forms).unwrap_or_else(|why| panic!("{why}"));
                answer == Verdict::Match
            });
            matched += usize::from(found.count() > 0);
        }
    }
    // Queries that match nothing would prove nothing.
    assert!(matched > 300, "{matched}");
}

/// Some queries of one dialect, joined.
fn joined(dialect: Dialect) -> impl Strategy<Value = String> {
    let [and, or] = match dialect {
        Dialect::V1 => ["and", "or"],
        Dialect::V2 => ["&&", "||"],
    };
    let sign = prop::sample::select(vec![and, or]);
    let part = (prop::sample::select(queries(dialect)), any::<bool>());
    let part = part.prop_map(|(text, negated)| match negated {
        true => format!("!({text})"),
        false => format!("({text})"),
    });
    (part.clone(), prop::collection::vec((sign, part), 1..4)).prop_map(|(first, rest)| {
        rest.iter()
            .fold(first, |text, (sign, part)| format!("{text} {sign} {part}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn joined_queries_have_one_answer(v1 in joined(Dialect::V1), v2 in joined(Dialect::V2)) {
        static ITEMS: LazyLock<Vec<Forms>> = LazyLock::new(items);
        for (text, dialect) in [(v1, Dialect::V1), (v2, Dialect::V2)] {
            let Some(query) = compiled(&text, dialect) else { continue };
            for forms in ITEMS.iter() {
                let answer = answer(&query, forms);
                prop_assert!(answer.is_ok(), "{:?}", answer);
            }
        }
    }
}
