//! LDAP over TCP, and without connection over UDP.
//!
//! In: BER messages. Out: one item an operation, a search with all its entries; abandon and unbind
//! have no response, notifications of the server no request. Never: passwords (their length is
//! shown), values of attributes that hold some, what SASL or TLS protects. Standards: RFC 4511,
//! RFC 4515 (filters), RFC 1798 and [MS-ADTS] section 3.1.1.3 (UDP).
//!
//! ```text
//! request  = {type, operation, messageId, <members of the operation>, controls?, summary}
//! response = {type, operation, messageId, resultCode, resultName, matchedDN, diagnosticMessage,
//!             referral?, responseName?, responseValue?, controls?, intermediates?,
//!             entries, references, results, truncated?}               the last line for a search
//! results  = [{objectName, attributes: [{type, vals}]} | {referral}]
//! ```
//!
//! Members have the RFC's names. Values that are not UTF-8 are base64.

mod answers;
mod ber;
mod dissector;
mod filter;
mod names;
mod parser;
mod render;

use crate::dissect::Stream;
use crate::item::{Columns, Field, FieldType, ProtocolInfo, field};
use crate::packet::Transport;

use super::{Dissector, Probe, Protocol, Verdict};
use dissector::Ldap as LdapDissector;
use parser::Front;

/// Line of [`super::PROTOCOLS`].
pub struct Ldap;

/// The item's protocol object.
pub static LDAP: ProtocolInfo = ProtocolInfo {
    name: "ldap",
    version: "3",
    abbr: "LDAP",
    long_name: "Lightweight Directory Access Protocol",
    macro_name: "ldap",
    background: "#5c6bc0",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc4511",
    ports: &["389", "3268"],
    layer4: "tcp",
    priority: 5,
};

/// The same over UDP.
pub static CLDAP: ProtocolInfo = ProtocolInfo {
    layer4: "udp",
    ..LDAP
};

static KINDS: &[&ProtocolInfo] = &[&LDAP, &CLDAP];

/// Name of the extended operation after which TLS begins (RFC 4511 section 4.14).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// Name of the extended operation whose values are passwords (RFC 3062).
const PASSWORD_MODIFY: &[u8] = b"1.3.6.1.4.1.4203.1.11.1";

#[rustfmt::skip]
const FIELDS: &[Field] = &[
    field("request.type", FieldType::Text, "what was asked, as `search request`"),
    field("request.operation", FieldType::Text, "operation, as `search`; the same on both sides"),
    field("request.messageId", FieldType::Int, "identifier of the operation on its connection"),
    field("request.summary", FieldType::Text, "name or base object and filter that the request is about"),
    field("request.version", FieldType::Int, "protocol version of a bind"),
    field("request.name", FieldType::Text, "who binds"),
    field("request.authentication", FieldType::Text, "`simple` or `sasl`"),
    field("request.passwordLength", FieldType::Int, "octets of the password of a simple bind; the password itself is not kept"),
    field("request.mechanism", FieldType::Text, "SASL mechanism"),
    field("request.credentialsLength", FieldType::Int, "octets of SASL credentials; they are not kept"),
    field("request.baseObject", FieldType::Text, "where a search begins"),
    field("request.scope", FieldType::Text, "`baseObject`, `singleLevel`, `wholeSubtree`"),
    field("request.derefAliases", FieldType::Text, "when aliases are followed"),
    field("request.sizeLimit", FieldType::Int, "entries wanted at most; 0 is no limit"),
    field("request.timeLimit", FieldType::Int, "seconds that a search may take; 0 is no limit"),
    field("request.typesOnly", FieldType::Bool, "whether only names of attributes are wanted"),
    field("request.filter", FieldType::Text, "filter of a search, in the form of RFC 4515"),
    field("request.attributes", FieldType::List, "attributes that are wanted, or of a new entry: type, vals"),
    field("request.object", FieldType::Text, "entry that is modified"),
    field("request.changes", FieldType::List, "modifications: operation, type, vals"),
    field("request.entry", FieldType::Text, "entry that is added, deleted, renamed or compared"),
    field("request.newrdn", FieldType::Text, "new relative name"),
    field("request.deleteoldrdn", FieldType::Bool, "whether the old relative name goes"),
    field("request.newSuperior", FieldType::Text, "new parent"),
    field("request.attributeDesc", FieldType::Text, "attribute that is compared"),
    field("request.assertionValue", FieldType::Text, "value that it is compared with"),
    field("request.abandonedId", FieldType::Int, "operation that is given up"),
    field("request.requestName", FieldType::Text, "object identifier of an extended operation"),
    field("request.requestValue", FieldType::Text, "its value, base64"),
    field("request.extension", FieldType::Text, "name of the extended operation, as `StartTLS`"),
    field("request.controls", FieldType::List, "controls: controlType, name, criticality, controlValue"),
    field("response.type", FieldType::Text, "last response, as `search result done`"),
    field("response.operation", FieldType::Text, "operation, as `search`"),
    field("response.messageId", FieldType::Int, "identifier of the operation; 0 when nobody asked"),
    field("response.resultCode", FieldType::Int, "how it went; 0 is success"),
    field("response.resultName", FieldType::Text, "the same in a word, as `noSuchObject`"),
    field("response.matchedDN", FieldType::Text, "nearest entry that exists"),
    field("response.diagnosticMessage", FieldType::Text, "message for people"),
    field("response.referral", FieldType::List, "servers to ask instead"),
    field("response.serverSaslCredsLength", FieldType::Int, "octets of the SASL challenge"),
    field("response.responseName", FieldType::Text, "object identifier of an extended response"),
    field("response.responseValue", FieldType::Text, "its value, base64"),
    field("response.extension", FieldType::Text, "name of the extended response"),
    field("response.controls", FieldType::List, "controls, as in `request`"),
    field("response.intermediates", FieldType::Int, "count of intermediate responses"),
    field("response.entries", FieldType::Int, "count of entries that a search found"),
    field("response.references", FieldType::Int, "count of references that a search found"),
    field("response.results", FieldType::List, "the first of them: objectName and attributes, or referral"),
    field("response.truncated", FieldType::Bool, "true when not all of them are shown"),
    field("data.type", FieldType::Text, "`protected data`: SASL protects what follows"),
    field("data.operation", FieldType::Text, "`protected`"),
    field("data.mechanism", FieldType::Text, "SASL mechanism that protects it"),
    field("data.summary", FieldType::Text, "the same in a line"),
];

impl Protocol for Ldap {
    fn name(&self) -> &'static str {
        "ldap"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Tcp, Transport::Udp]
    }

    fn kinds(&self) -> &'static [&'static ProtocolInfo] {
        KINDS
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn columns(&self) -> Columns {
        Columns {
            method: "request.operation",
            status: "response.resultName",
            summary: "request.summary",
        }
    }

    fn probe(&self, probe: &Probe<'_>) -> Verdict {
        let datagram = probe.stream.name.transport == Transport::Udp;
        let up = begins(probe.to_server, datagram);
        let down = begins(probe.to_client, datagram);
        match (up, down) {
            // Either side may have been joined inside a message, which says nothing.
            (Looks::Message(_), Looks::Other) | (Looks::Other, Looks::Message(_))
                if !datagram && !probe.stream.is_from_start() =>
            {
                Verdict::Certain
            }
            (Looks::Other, _) | (_, Looks::Other) => Verdict::No,
            // One side asks, the other answers.
            (Looks::Message(up), Looks::Message(down)) if up == down => Verdict::No,
            (Looks::Message(_), _) | (_, Looks::Message(_)) => Verdict::Certain,
            (Looks::Nothing, Looks::Nothing) => Verdict::Unsure,
        }
    }

    fn start(&self, stream: &Stream) -> Box<dyn Dissector> {
        Box::new(LdapDissector::new(stream))
    }

    fn restore(&self, stream: &Stream, state: &[u8]) -> Option<Box<dyn Dissector>> {
        LdapDissector::restore(stream, state).map(|dissector| Box::new(dissector) as _)
    }

    #[cfg(test)]
    fn samples(&self) -> Vec<super::robustness::Sample> {
        tests::samples()
    }
}

/// What the first bytes of a side are.
enum Looks {
    /// A message; true for a request.
    Message(bool),
    /// Something else.
    Other,
    /// Not enough to tell.
    Nothing,
}

fn begins(bytes: &[u8], datagram: bool) -> Looks {
    match Front::parse(bytes) {
        // A datagram holds whole messages.
        Ok(Some(front)) if datagram && front.total > bytes.len() => Looks::Other,
        Ok(Some(front)) => Looks::Message(front.operation.is_request()),
        Ok(None) if datagram && !bytes.is_empty() => Looks::Other,
        Ok(None) => Looks::Nothing,
        Err(()) => Looks::Other,
    }
}

#[cfg(test)]
mod tests;
