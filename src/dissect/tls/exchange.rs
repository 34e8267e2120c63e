//! One handshake on its way to becoming an item.
//!
//! In: hellos, certificates and alerts, as they come. Out: one draft. Never: keys.

use bytes::Bytes;

use super::hello::{ClientHello, ServerHello, is_13};
use super::render::{self, flags};
use super::{TLS, names};
use crate::dissect::Draft;
use crate::item::{ItemError, Key, ProtocolInfo, Value};
use crate::time::Timestamp;

/// When something came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) ts: Timestamp,
    pub(super) ordinal: u64,
}

/// An alert (RFC 8446 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alert {
    pub(super) level: u8,
    pub(super) code: u8,
    /// Whether the side that sent the ClientHello sent it.
    pub(super) from_asker: bool,
}

const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const FATAL: u8 = 2;

impl Alert {
    /// Whether it ends the connection in error. TLS 1.3 says so by the code alone
    /// (RFC 8446 section 6.2).
    pub(super) fn is_error(self, is_13: bool) -> bool {
        !matches!(self.code, CLOSE_NOTIFY | USER_CANCELED) && (is_13 || self.level == FATAL)
    }

    fn value(self) -> Value {
        let level = if self.level == FATAL {
            "fatal"
        } else {
            "warning"
        };
        let members: Vec<(Key, Value)> = vec![
            ("type".into(), Value::Static("Alert")),
            ("level".into(), Value::Static(level)),
            ("description".into(), Value::text(names::alert(self.code))),
            ("code".into(), Value::Int(self.code.into())),
            ("summary".into(), Value::text(names::alert(self.code))),
        ];
        Value::Object(members)
    }

    fn error(self) -> ItemError {
        let who = if self.from_asker { "client" } else { "server" };
        ItemError {
            kind: "connection",
            msg: format!("the {who} sent the alert {}", names::alert(self.code)),
        }
    }

    /// The item of an alert that comes outside of a handshake.
    pub(super) fn draft(self, from_client: bool, at: Moment) -> Draft {
        Draft {
            kind: &TLS,
            from_client,
            start: at.ts,
            elapsed_nanos: 0,
            request_size: 0,
            response_size: 0,
            request: Value::Null,
            response: Value::Null,
            data: self.value(),
            error: Some(self.error()),
            ordinal: at.ordinal,
        }
    }
}

/// What was seen of a handshake.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) client_hello: Bytes,
    pub(super) server_hello: Bytes,
    pub(super) encrypted_extensions: Bytes,
    pub(super) server_certificates: Bytes,
    pub(super) client_certificates: Bytes,
    /// When the ClientHello and the ServerHello came.
    pub(super) asked: Moment,
    pub(super) answered: Moment,
    /// Bytes of the messages of each side.
    pub(super) request_size: u64,
    pub(super) response_size: u64,
    pub(super) retried: bool,
    /// Part of it was not captured.
    pub(super) is_damaged: bool,
    /// Each side has said all that the item shows.
    pub(super) server_done: bool,
    pub(super) client_done: bool,
    pub(super) alert: Option<Alert>,
}

impl Exchange {
    /// Whether anything was seen of it.
    pub(super) fn is_open(&self) -> bool {
        !self.client_hello.is_empty() || !self.server_hello.is_empty()
    }

    /// The item; `carried` are [`flags`] of the transport, `completed` is the packet that brought
    /// the last part.
    pub(super) fn draft(
        &self,
        kind: &'static ProtocolInfo,
        carried: u8,
        from_client: bool,
        completed: u64,
    ) -> Draft {
        let (asked, answered) = (!self.client_hello.is_empty(), !self.server_hello.is_empty());
        let client = ClientHello::parse(&self.client_hello).ok();
        let server = ServerHello::parse(&self.server_hello).ok();
        let mut flag = carried;
        if server.is_some_and(|hello| is_13(hello.version())) {
            flag |= flags::TLS13;
        }
        if self.retried {
            flag |= flags::RETRIED;
        }
        if self.is_resumed(client.as_ref(), server.as_ref()) {
            flag |= flags::RESUMED;
        }
        let is_bad = (asked && client.is_none()) || (answered && server.is_none());
        let start = if asked { self.asked } else { self.answered };
        let elapsed = if answered {
            self.answered.ts.since(start.ts).as_nanos()
        } else {
            0
        };
        Draft {
            kind,
            from_client,
            start: start.ts,
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size: self.request_size,
            response_size: self.response_size,
            request: if asked {
                let parts = [&self.client_hello[..], &self.client_certificates];
                Value::lazy(render::pack(flag, &parts), render::request)
            } else {
                Value::Null
            },
            response: match (answered, self.alert) {
                (true, _) => {
                    let parts = [
                        &self.server_hello[..],
                        &self.encrypted_extensions,
                        &self.server_certificates,
                    ];
                    Value::lazy(render::pack(flag, &parts), render::response)
                }
                (false, Some(alert)) if !alert.from_asker => alert.value(),
                (false, _) => Value::Null,
            },
            data: Value::Null,
            error: self.error(asked, answered, is_bad),
            ordinal: completed,
        }
    }

    fn error(&self, asked: bool, answered: bool, is_bad: bool) -> Option<ItemError> {
        let error = |kind, msg: &str| {
            Some(ItemError {
                kind,
                msg: msg.into(),
            })
        };
        if let Some(alert) = self.alert {
            return Some(alert.error());
        }
        if is_bad {
            return error("dissection", "a hello could not be read to its end");
        }
        if !asked {
            return error(
                "pair-not-found",
                "no ClientHello for this ServerHello was captured",
            );
        }
        if !answered {
            return error(
                "timeout",
                "no ServerHello for this ClientHello was captured",
            );
        }
        if self.is_damaged {
            return error("dissection", "part of the handshake was not captured");
        }
        None
    }

    /// TLS 1.3 names the pre-shared key that it took; before, the server repeats the client's
    /// session identifier (RFC 5246 section 7.4.1.3) and sends no certificate.
    fn is_resumed(
        &self,
        client: Option<&ClientHello<'_>>,
        server: Option<&ServerHello<'_>>,
    ) -> bool {
        let Some(server) = server else { return false };
        if server.is_13() {
            return server.extensions.has(super::hello::PRE_SHARED_KEY);
        }
        !server.session_id.is_empty()
            && self.server_certificates.is_empty()
            && client.is_some_and(|client| client.session_id == server.session_id)
    }
}
