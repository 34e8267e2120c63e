//! Rows and items as they are delivered (`deliver`), and which streams have any.

use std::collections::HashSet;
use std::convert::Infallible;

use serde_json::{Value as Json, json};

use super::row_json;
use crate::deliver::{Delivered, Delivery, Imposed};
use crate::item::json::{AsJson as NodeJson, JsonNode};
use crate::item::packed::Held;
use crate::item::{Item, Node, flat, lookup};
use crate::kfl::Verdict;
use crate::packet::StreamName;
use crate::pipeline::Rows;
use crate::time::Timestamp;

/// What is delivered of a row of the ring.
pub(super) fn held(delivery: &Delivery<'_>, node: Held<'_>) -> Delivered {
    delivery.of(node, || node.record().into_owned())
}

/// The same of a row that is known to match.
pub(super) fn held_match(delivery: &Delivery<'_>, node: Held<'_>) -> Delivered {
    delivery.of_match(node, || node.record().into_owned())
}

/// The same of an item of an archive that is known to match.
pub(super) fn stored_match(delivery: &Delivery<'_>, item: &Item) -> Delivered {
    delivery.of_match(item.node(), || record_of(item))
}

/// The same of any item of an archive.
pub(super) fn stored(delivery: &Delivery<'_>, item: &Item) -> Delivered {
    delivery.of(item.node(), || record_of(item))
}

fn record_of(item: &Item) -> Vec<u8> {
    let mut record = Vec::new();
    flat::encode(item, &mut record);
    record
}

/// What adds items up, of each as much as is delivered of it.
pub(super) trait Adds {
    /// Adds an item.
    fn add<'a, N: Node<'a>>(&mut self, item: N);

    /// Adds what is delivered of an item.
    fn add_delivered<'a, N: Node<'a>>(&mut self, delivered: &Delivered, item: N) {
        match delivered {
            Delivered::Whole => self.add(item),
            Delivered::Altered(copy) => self.add(JsonNode(copy)),
            Delivered::Nothing | Delivered::Undecided => {}
        }
    }
}

/// What the list shows of an item.
pub(super) fn row<'a, N: Node<'a>>(delivered: &Delivered, number: u64, item: N) -> Option<Json> {
    match delivered {
        Delivered::Whole => Some(row_json(number, item)),
        Delivered::Altered(copy) => Some(row_json(number, JsonNode(copy))),
        Delivered::Nothing | Delivered::Undecided => None,
    }
}

/// An item with all its fields.
///
/// ```text
/// {"row": {...}, "item": {...}}
/// ```
pub(super) fn detail<'a, N: Node<'a>>(delivered: Delivered, number: u64, item: N) -> Option<Json> {
    let row = row(&delivered, number, item)?;
    let whole = match delivered {
        Delivered::Altered(copy) => copy,
        _ => serde_json::to_value(NodeJson(item)).ok()?,
    };
    Some(json!({"row": row, "item": whole}))
}

/// Whether the packets of streams may leave a run: what is imposed lets through an item of each.
///
/// # Errors
/// One sentence: what is imposed redacts, or hides what is held of a stream.
pub fn streams_shown(
    rows: &Rows,
    imposed: &Imposed,
    streams: &[StreamName],
    now: Timestamp,
) -> Result<(), String> {
    imposed.lets_packets()?;
    let Some(query) = imposed.query() else {
        return Ok(());
    };
    let mut left: HashSet<String> = streams.iter().map(ToString::to_string).collect();
    let Ok(()) = rows.try_each(|row| {
        if let Some(node) = row.node()
            && !left.is_empty()
            && let Some(name) = lookup(node, "stream").and_then(Node::text)
            && left.contains(&*name)
            && query.matches(node, now) == Verdict::Match
        {
            left.remove(&*name);
        }
        Ok::<(), Infallible>(())
    });
    match left.into_iter().min() {
        None => Ok(()),
        Some(name) => Err(hidden(&name)),
    }
}

/// The same of a stream of an earlier run, no item of which is held.
///
/// # Errors
/// One sentence: something is imposed.
pub fn earlier_shown(imposed: &Imposed, stream: StreamName) -> Result<(), String> {
    imposed.lets_packets()?;
    match imposed.query() {
        None => Ok(()),
        Some(_) => Err(hidden(&stream.to_string())),
    }
}

/// For a stream of which nothing is shown.
pub(super) fn hidden(name: &str) -> String {
    format!(
        "no item of {name} that tap.globalFilter lets through is held, so its packets stay here"
    )
}
