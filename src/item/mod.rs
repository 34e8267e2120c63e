//! What a dissector yields: one request with its response, or one message.
//!
//! In: typed parts from `dissect`, slices of the stream's bytes among them. Out: an [`Item`] that
//! can be read through [`Node`] like its other forms: [`flat`] (child processes, live rows),
//! [`packed`] (many rows in little room), and JSON (altered `data`, `kfl match`). Never: rendering that nobody asked
//! for. The shape users see is the drop-in's data item (`docs/reference/item.md`).

mod absent;
mod columns;
mod envelope;
pub mod flat;
mod identity;
pub mod json;
mod members;
mod node;
pub mod packed;
mod path;
mod process;
#[cfg(test)]
pub(crate) mod sample;
mod short;
mod tunnel;
mod typed;
mod value;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::packet::{Endpoint, StreamName};
use crate::time::Timestamp;

pub use absent::{Absent, Empty};
pub use columns::{Columns, MAX_SUMMARY, listed, shown};
pub use envelope::ENVELOPE;
pub use identity::{Identity, MAX_TEXT as MAX_IDENTITY};
pub use node::{Kind, Node, int_at, lookup, text_at};
pub use path::Path;
pub use process::Process;
pub use short::ShortText;
pub use tunnel::Tunnels;
pub use typed::ItemNode;
pub use value::{Key, Lazy, Outline, Tell, Told, Value, text_of};

/// Bytes of one body that an item carries at most; the whole body is made again from the packets.
pub const MAX_ITEM_BODY: usize = 256 * 1024;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Float,
    /// Text.
    Text,
    /// Names with text, such as headers.
    Map,
    /// Values in order.
    List,
    /// Members of their own, which are fields too.
    Object,
}

/// One field of an item, as filters, index, scripts and reference pages know it.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Path in the item, members joined by a dot.
    pub path: &'static str,
    /// What it holds.
    pub kind: FieldType,
    /// One sentence for people.
    pub doc: &'static str,
}

/// What is fixed about one kind of item; the `protocol` object of the data item.
#[derive(Debug, PartialEq, Eq)]
pub struct ProtocolInfo {
    /// Name, shared by related kinds: `http` for HTTP/2 and gRPC too.
    pub name: &'static str,
    /// Version, as `1.1`.
    pub version: &'static str,
    /// Short name on the dashboard's stripe.
    pub abbr: &'static str,
    /// Name in full.
    pub long_name: &'static str,
    /// The KFL macro that selects it.
    pub macro_name: &'static str,
    /// Colour of the stripe, `#rrggbb`.
    pub background: &'static str,
    /// Colour of the text on it.
    pub foreground: &'static str,
    /// Size of that text in points.
    pub font_size: u8,
    /// The specification.
    pub reference: &'static str,
    /// Usual ports.
    pub ports: &'static [&'static str],
    /// `tcp`, `udp`, ...
    pub layer4: &'static str,
    /// Order among protocols; 0 is looked at first.
    pub priority: u8,
}

/// Where items come from: the node and the run. One for all items of a source.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the node.
    pub node_name: String,
    /// Address of the node.
    pub node_ip: String,
    /// The per-node capture process, `ip:port`.
    pub worker: String,
    /// Addresses of the interfaces of the machine that captured, as far as it told them; sorted.
    pub addresses: Arc<[IpAddr]>,
}

impl Origin {
    /// Of packets that do not tell where they were captured.
    pub fn offline() -> Origin {
        Origin {
            node_name: "offline".into(),
            node_ip: "127.0.0.1".into(),
            worker: "127.0.0.1:8897".into(),
            addresses: Arc::default(),
        }
    }

    /// The same of a machine whose interfaces have these addresses.
    #[must_use]
    pub fn with_addresses(&self, addresses: &[IpAddr]) -> Origin {
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        addresses.dedup();
        Origin {
            addresses: addresses.into(),
            ..self.clone()
        }
    }
}

/// One side of an item, with the name it had at the time.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Address and port.
    pub endpoint: Endpoint,
    /// Resolved name; empty when unresolved.
    pub name: Arc<str>,
    /// Namespace; empty when unknown or outside the cluster.
    pub namespace: Arc<str>,
    /// How the name was found: `none`, `ip`, `ip-and-port`, `dns`, `tls-sni`, `http-header`, ...
    pub mechanism: &'static str,
    /// Pod, service and more, where the cluster was asked.
    pub identity: Option<Arc<Identity>>,
    /// The process that holds this end, where it is one of this node and was found in time.
    pub process: Option<Arc<Process>>,
}

impl Peer {
    /// A side without a name.
    pub fn unresolved(endpoint: Endpoint) -> Peer {
        // One a thread: threads that count references in one place wait for each other.
        thread_local! {
            static NONE: Arc<str> = Arc::from("");
        }
        let none = NONE.with(Arc::clone);
        Peer {
            endpoint,
            name: none.clone(),
            namespace: none,
            mechanism: "none",
            identity: None,
            process: None,
        }
    }
}

/// What went wrong with an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    /// `dissection`, `connection`, `timeout` or `pair-not-found`.
    pub kind: &'static str,
    /// One sentence.
    pub msg: String,
}

/// One exchange or message.
///
/// Invariants: `number` rises by one an item over the whole run, whatever the number of workers;
/// `index` counts the items of one stream from 0. Both are given by `pipeline`.
#[derive(Debug, Clone)]
pub struct Item {
    /// Run-wide number.
    pub number: u64,
    /// Ordinal within the stream.
    pub index: u32,
    /// The stream it was seen in.
    pub stream: StreamName,
    /// What kind of item it is.
    pub protocol: &'static ProtocolInfo,
    /// Whether it was decrypted from TLS.
    pub tls: bool,
    /// Who asked.
    pub src: Peer,
    /// Who was asked.
    pub dst: Peer,
    /// Time of the request's first packet (of the response, when there is no request).
    pub start: Timestamp,
    /// Time of the response's first packet minus that of the request, never negative.
    pub elapsed_nanos: u64,
    /// Bytes of the request as captured.
    pub request_size: u64,
    /// Bytes of the response as captured.
    pub response_size: u64,
    /// The request; `Null` when unseen.
    pub request: Value,
    /// The response; `Null` when unseen.
    pub response: Value,
    /// Payload of items without request and response.
    pub data: Value,
    /// What went wrong.
    pub error: Option<ItemError>,
    /// Ordinal of the packet that completed it.
    pub ordinal: u64,
    /// Where it comes from.
    pub origin: Arc<Origin>,
    /// Name of the recording it was read back from; empty for live items.
    pub record: Arc<str>,
    /// The tunnels that its packets came in.
    pub tunnel: Option<Tunnels>,
    /// Whether something beside addresses and names tells that it was asked from the node: the packets
    /// themselves (cooked ones say who sent them), or the index that it is from.
    pub asked_here: bool,
}

impl Item {
    /// `<worker>/<stream>-<index>`.
    pub fn id(&self) -> String {
        format!("{}/{}-{}", self.origin.worker, self.stream, self.index)
    }

    /// Milliseconds from request to response, rounded down.
    pub fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.elapsed_nanos / 1_000_000).unwrap_or(i64::MAX)
    }

    /// The root node.
    pub fn node(&self) -> ItemNode<'_> {
        ItemNode::root(self)
    }

    /// Whether it was asked from the node that captured it: from an address of its own, or by one of
    /// its pods.
    pub fn is_outgoing(&self) -> bool {
        let ip = self.src.endpoint.ip;
        let is_here = |asker: &Arc<Identity>| {
            let node = asker.node_name();
            !node.is_empty() && node == self.origin.node_name
        };
        self.asked_here
            || ip.is_loopback()
            || self.origin.addresses.binary_search(&ip).is_ok()
            || self.origin.node_ip.parse() == Ok(ip)
            || self.src.identity.as_ref().is_some_and(is_here)
    }

    /// Whether one of its bodies was cut at [`MAX_ITEM_BODY`].
    pub fn is_cut(&self) -> bool {
        self.request.is_cut() || self.response.is_cut() || self.data.is_cut()
    }
}

/// Cuts a body at [`MAX_ITEM_BODY`]; the flag says whether something was left out.
pub fn cut_body(body: &Bytes) -> (Bytes, bool) {
    (
        body.slice(..body.len().min(MAX_ITEM_BODY)),
        body.len() > MAX_ITEM_BODY,
    )
}

/// An entry for a field list.
pub const fn field(path: &'static str, kind: FieldType, doc: &'static str) -> Field {
    Field { path, kind, doc }
}
