//! Rows of the list, as the page gets them.

use serde_json::{Value as Json, json};

use crate::dissect;
use crate::item::{Columns, Node, lookup, shown};

/// What the list shows of one item.
///
/// ```text
/// {"n": 7, "id": "...", "protocol": {"abbr","macro","background","foreground"}, "method", "status",
///  "summary", "src": {"ip","port","name","namespace"}, "dst": {...}, "timestamp": ms, "elapsed": ms,
///  "stream", "index", "size", "error": text or null, "passed", "failed"}
/// ```
pub fn row_json<'a, N: Node<'a>>(number: u64, item: N) -> Json {
    let text = |path: &str| {
        lookup(item, path)
            .and_then(Node::text)
            .unwrap_or_default()
            .into_owned()
    };
    let int = |path: &str| lookup(item, path).and_then(Node::int).unwrap_or_default();
    let flag = |path: &str| lookup(item, path).and_then(Node::bool).unwrap_or_default();
    let abbr = text("protocol.abbr");
    let columns = columns_of(&abbr);
    let side = |side: &str| {
        json!({
            "ip": text(&format!("{side}.ip")),
            "port": text(&format!("{side}.port")),
            "name": text(&format!("{side}.name")),
            "namespace": text(&format!("{side}.namespace")),
        })
    };
    json!({
        "n": number,
        "id": text("id"),
        "protocol": {
            "abbr": abbr,
            "macro": text("protocol.macro"),
            "background": text("protocol.backgroundColor"),
            "foreground": text("protocol.foregroundColor"),
        },
        "method": shown(item, columns.method),
        "status": shown(item, columns.status),
        "summary": shown(item, columns.summary),
        "src": side("src"),
        "dst": side("dst"),
        "timestamp": int("timestamp"),
        "elapsed": int("elapsedTime"),
        "stream": text("stream"),
        "index": int("index"),
        "size": int("size"),
        "error": lookup(item, "error.msg").and_then(Node::text),
        "passed": flag("passed"),
        "failed": flag("failed"),
    })
}

/// The columns of the protocol whose items have this short name.
pub fn columns_of(abbr: &str) -> Columns {
    let protocol = dissect::PROTOCOLS
        .iter()
        .find(|protocol| protocol.kinds().iter().any(|kind| kind.abbr == abbr));
    protocol
        .map(|protocol| protocol.columns())
        .unwrap_or_default()
}
