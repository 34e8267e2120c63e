//! `docs/reference/item.md`: the data item, what every protocol's items have.

use super::{GENERATED, code, head, row};
use crate::item::{ENVELOPE, FieldType, MAX_ITEM_BODY};

/// Members of the data item, or of a group of them, with what they are in `src/item/mod.rs`.
const RUST: &[(&str, &str)] = &[
    ("id", "Item::id()"),
    ("index", "Item::index"),
    ("stream", "Item::stream"),
    ("worker", "Origin::worker"),
    ("node.ip", "Origin::node_ip"),
    ("node.name", "Origin::node_name"),
    ("node", "Item::origin"),
    ("namespace", "Peer::namespace"),
    ("protocol.macro", "ProtocolInfo::macro_name"),
    ("protocol.backgroundColor", "ProtocolInfo::background"),
    ("protocol.foregroundColor", "ProtocolInfo::foreground"),
    ("protocol.referenceLink", "ProtocolInfo::reference"),
    ("protocol.longName", "ProtocolInfo::long_name"),
    ("protocol.fontSize", "ProtocolInfo::font_size"),
    ("protocol.layer3", "always `ip`"),
    ("protocol", "Item::protocol"),
    ("tls", "Item::tls"),
    ("src.ip", "Endpoint::ip"),
    ("src.port", "Endpoint::port"),
    ("src", "Item::src"),
    ("dst.ip", "Endpoint::ip"),
    ("dst.port", "Endpoint::port"),
    ("dst", "Item::dst"),
    ("timestamp", "Item::start"),
    ("startTime", "Item::start"),
    ("request", "Item::request"),
    ("response", "Item::response"),
    ("requestSize", "Item::request_size"),
    ("responseSize", "Item::response_size"),
    ("elapsedTime", "Item::elapsed_ms()"),
    ("data", "Item::data"),
    ("error.type", "ItemError::kind"),
    ("error", "Item::error"),
    ("entryFile", "Item::stream, Item::index"),
    ("record", "Item::record"),
    ("size", "Item::request_size + Item::response_size"),
    ("tunnel.type", "TunnelKind::name()"),
    ("tunnel.id", "Tunnel::id"),
    ("tunnel.outer", "Tunnel::around"),
    ("tunnel", "Item::tunnel"),
];

const INTRODUCTION: &str = "\
# The data item

One request with its response, or one message: what `onItemCaptured` is told, what KFL queries are
about, and one line of `tapedeck query --format json`. The members below are there for every protocol;
`request`, `response` and `data` hold what [protocols.md](protocols.md) lists.

- Members are enumerable and writable; what a script changes is seen by that script alone. They are accessors, so `Object.getOwnPropertyDescriptor` shows `get` and `set`, and `Object.freeze` does not keep a member from being written; `Object.assign({}, data)` makes a plain copy.
- A side that was not seen is `null`; `error` then says why.
- Names with a capital letter (`data.Protocol.Name`, `data.Request.Path`) lead to the same values, and
  so does `data.pcapFile` to `data.stream`. They are not enumerable.
";

/// The page.
pub(super) fn render() -> String {
    let mut out = GENERATED.to_owned() + INTRODUCTION;
    let kibibytes = MAX_ITEM_BODY / 1024;
    out.push_str(&format!(
        "- A body of more than {kibibytes} KiB is cut there; the whole one is made again from the packets.\n\n"
    ));
    out.push_str(&head(&["path", "holds", "what it is", "in the code"]));
    for field in ENVELOPE {
        out.push_str(&row(&[
            &code(field.path),
            kind(field.kind),
            field.doc,
            &rust(field.path),
        ]));
    }
    out.push_str(
        "\nThe last column names the place in `src/item/mod.rs`; members are written in camel case here and in snake case there.\n",
    );
    out
}

/// What a field holds, in a word.
pub(super) fn kind(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Bool => "boolean",
        FieldType::Int => "whole number",
        FieldType::Float => "number",
        FieldType::Text => "text",
        FieldType::Map => "names with text",
        FieldType::List => "list",
        FieldType::Object => "object",
    }
}

fn rust(path: &str) -> String {
    let exact = RUST.iter().find(|(name, _)| *name == path);
    let text = match (exact, path.split_once('.')) {
        (Some((_, place)), _) => (*place).to_owned(),
        (None, Some(("protocol", member))) => format!("ProtocolInfo::{member}"),
        (None, Some(("src" | "dst", "cpuUsage" | "memoryUsage"))) => return String::new(),
        (None, Some(("src" | "dst", member))) => match member.split('.').next() {
            Some("pod") => "Identity::pod()".to_owned(),
            Some("service") => "Identity::service()".to_owned(),
            _ => format!("Peer::{member}"),
        },
        (None, Some(("error", member))) => format!("ItemError::{member}"),
        (None, Some(("tunnel", _))) => "Tunnel::tuple".to_owned(),
        // Nothing is kept for them: they are the same for all items until a script sets them.
        (None, _) => return String::new(),
    };
    if text.contains('`') {
        text
    } else {
        code(&text)
    }
}
