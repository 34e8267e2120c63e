//! What a list shows of an item: method, status and a summary, by paths that each protocol names.

use std::borrow::Cow;

use super::{Kind, Node, lookup};

/// Paths of an item that lists show; a number in a path is an element of a list.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// What was asked, in a word.
    pub method: &'static str,
    /// How it went.
    pub status: &'static str,
    /// What it was about.
    pub summary: &'static str,
}

/// Characters of a summary that lists show.
pub const MAX_SUMMARY: usize = 200;

/// The text at `path` of any scalar; empty when there is none.
pub fn shown<'a, N: Node<'a>>(node: N, path: &str) -> Cow<'a, str> {
    let path = Some(path).filter(|path| !path.is_empty());
    listed(path.and_then(|path| lookup(node, path)))
}

/// The text of a place that holds a scalar; empty for any other, and for none.
pub fn listed<'a, N: Node<'a>>(node: Option<N>) -> Cow<'a, str> {
    let Some(node) = node else {
        return Cow::Borrowed("");
    };
    match node.kind() {
        Kind::Text => cut(node.text().unwrap_or_default()),
        Kind::Int => Cow::Owned(node.int().unwrap_or_default().to_string()),
        Kind::Float => Cow::Owned(node.float().unwrap_or_default().to_string()),
        Kind::Bool => Cow::Borrowed(if node.bool() == Some(true) {
            "true"
        } else {
            "false"
        }),
        Kind::Null | Kind::List | Kind::Object => Cow::Borrowed(""),
    }
}

fn cut(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= MAX_SUMMARY {
        return text;
    }
    match text.char_indices().nth(MAX_SUMMARY) {
        None => text,
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}
