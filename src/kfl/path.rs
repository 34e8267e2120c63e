//! Following a selector's steps through a node (reference section 4).
//!
//! In: a node of any form and steps. Out: the value found, if any. Never: recursion over the item;
//! descent keeps its own stack, and every place looked at is charged.

use serde_json::Value as Json;

use super::decode;
use super::ir::Step;
use super::meter::{Meter, Stop};
use super::value::{BYTES_A_STEP, Val};
use crate::item::json::JsonNode;
use crate::item::{Kind, Node};

/// The value at `steps` below `root`; `own` turns a place into a value.
pub(crate) fn value_at<'e, 'm, M, V>(
    root: M,
    steps: &[Step],
    own: &impl Fn(M) -> Val<'e, V>,
    meter: &mut Meter,
) -> Result<Option<Val<'e, V>>, Stop>
where
    M: Node<'m>,
{
    walk(root, steps, false, own, meter)
}

fn walk<'e, 'm, M, V>(
    root: M,
    steps: &[Step],
    xml: bool,
    own: &impl Fn(M) -> Val<'e, V>,
    meter: &mut Meter,
) -> Result<Option<Val<'e, V>>, Stop>
where
    M: Node<'m>,
{
    let mut places = Places::One(root);
    for (at, step) in steps.iter().enumerate() {
        if let Step::Json | Step::Xml = step {
            let inside = steps.get(at + 1..).unwrap_or_default();
            let value = decoded(places.single(), step, inside, meter)?;
            return Ok(Some(value.unwrap_or(Val::Bool(false))));
        }
        places = places.follow(step, xml, meter)?;
        if places.is_none() {
            return Ok(None);
        }
    }
    Ok(match places {
        Places::One(node) => Some(own(node)),
        Places::Many(mut nodes) if nodes.len() == 1 => nodes.pop().map(own),
        Places::Many(nodes) if nodes.is_empty() => None,
        Places::Many(nodes) => Some(Val::List(
            nodes.into_iter().map(own).collect::<Vec<_>>().into(),
        )),
    })
}

/// What `inside` finds in the document that the text at `node` holds.
fn decoded<'e, 'm, M: Node<'m>, V>(
    node: Option<M>,
    step: &Step,
    inside: &[Step],
    meter: &mut Meter,
) -> Result<Option<Val<'e, V>>, Stop> {
    let Some(node) = node else { return Ok(None) };
    if matches!(node.kind(), Kind::List | Kind::Object) {
        return Ok(None);
    }
    let value: Val<'_, M> = Val::of_node(node);
    let text = value.text();
    // Parsing costs about this much more than comparing.
    meter.charge(text.len() * 4 / BYTES_A_STEP + 1)?;
    let xml = *step == Step::Xml;
    let document = if xml {
        decode::xml(&text)
    } else {
        decode::json(&text)
    };
    let Some(document) = document else {
        return Ok(None);
    };
    let own = |node: JsonNode<'_>| own_json(node.0, xml);
    walk(JsonNode(&document), inside, xml, &own, meter)
}

/// A decoded value: of an XML element with attributes or children, its own text.
fn own_json<'e, V>(json: &Json, xml: bool) -> Val<'e, V> {
    match json {
        Json::Object(members) if xml => members
            .get(decode::TEXT)
            .map_or(Val::Text("".into()), Val::of_json),
        Json::Array(list) if xml => {
            let texts = list.iter().map(|element| own_json(element, true));
            Val::List(texts.collect::<Vec<_>>().into())
        }
        _ => Val::of_json(json),
    }
}

/// The places a selector has reached: nearly always one.
enum Places<M> {
    One(M),
    Many(Vec<M>),
}

impl<'m, M: Node<'m>> Places<M> {
    fn is_none(&self) -> bool {
        matches!(self, Places::Many(nodes) if nodes.is_empty())
    }

    fn single(self) -> Option<M> {
        match self {
            Places::One(node) => Some(node),
            Places::Many(mut nodes) if nodes.len() == 1 => nodes.pop(),
            Places::Many(_) => None,
        }
    }

    fn follow(self, step: &Step, xml: bool, meter: &mut Meter) -> Result<Places<M>, Stop> {
        meter.charge(1)?;
        let nodes = match self {
            Places::One(node) => match one(node, step) {
                Some(Some(found)) => return Ok(Places::One(found)),
                Some(None) if !xml => return Ok(Places::Many(Vec::new())),
                _ => vec![node],
            },
            Places::Many(nodes) => nodes,
        };
        let mut found = Vec::new();
        for node in nodes {
            meter.charge(1)?;
            many(node, step, xml, &mut found, meter)?;
        }
        Ok(Places::Many(found))
    }
}

/// The place a step leads to, for steps that lead to one at most.
fn one<'m, M: Node<'m>>(node: M, step: &Step) -> Option<Option<M>> {
    match step {
        Step::Name(name) => Some(node.member(name)),
        Step::Key(name, other) => Some(
            node.member(name)
                .or_else(|| other.as_deref().and_then(|other| node.member(other))),
        ),
        Step::Index(index) => Some(node.element(*index)),
        _ => None,
    }
}

fn many<'m, M: Node<'m>>(
    node: M,
    step: &Step,
    xml: bool,
    found: &mut Vec<M>,
    meter: &mut Meter,
) -> Result<(), Stop> {
    match step {
        Step::Wild => {
            meter.charge(node.len())?;
            found.extend(children(node));
        }
        Step::Descent(name) => {
            let mut open = vec![node];
            while let Some(node) = open.pop() {
                meter.charge(node.len() + 1)?;
                found.extend(node.member(name));
                let from = open.len();
                open.extend(children(node));
                if let Some(added) = open.get_mut(from..) {
                    added.reverse();
                }
            }
        }
        // In XML a name applied to repeated elements applies to each of them.
        Step::Name(_) | Step::Key(..) if xml && node.kind() == Kind::List => {
            meter.charge(node.len())?;
            found.extend(children(node).filter_map(|element| one(element, step).flatten()));
        }
        _ => found.extend(one(node, step).flatten()),
    }
    Ok(())
}

fn children<'m, M: Node<'m>>(node: M) -> impl Iterator<Item = M> {
    let object = node.kind() == Kind::Object;
    (0..node.len()).filter_map(move |index| {
        if object {
            node.entry(index).map(|(_, member)| member)
        } else {
            node.element(index)
        }
    })
}
