//! A message that tells what filters and lists read, and is put in the item's shape only for more.
//!
//! In: a message that is over. Out: a value that equals the one of [`shape`]. Never: a copy of bytes.

use bytes::Bytes;

use super::exchange::Message;
use super::parser::{StartLine, Version};
use super::shape;
use crate::item::{Outline, Told, Value};

/// The value of a message.
pub(super) fn of(mut message: Box<Message>) -> Value {
    // What is made later takes the bytes along without copying them.
    message.kept.join();
    Value::Outlined(message)
}

impl Outline for Message {
    fn told(&self, name: &str) -> Option<Told<'_>> {
        match (&self.head.start, name) {
            (StartLine::Request { method, .. }, "method") => Some(Told::Text(method)),
            (StartLine::Request { target, .. }, "url" | "targetUri") => Some(Told::Text(target)),
            (StartLine::Request { method, target }, "path") => {
                shape::path_of(method, target).map(Told::Text)
            }
            (StartLine::Response { status, .. }, "status") => Some(Told::Int((*status).into())),
            (StartLine::Response { reason, .. }, "statusText") => Some(Told::Text(reason)),
            (StartLine::Response { .. }, "redirectURL") => {
                Some(Told::Text(&self.head.fields.location))
            }
            (_, "httpVersion") => match self.head.version {
                Version::Named(1, 1) => Some(Told::Static("HTTP/1.1")),
                _ => None,
            },
            (_, "bodySize") => i64::try_from(self.body_size).ok().map(Told::Int),
            _ => None,
        }
    }

    fn copied(&self) -> Box<dyn Outline> {
        Box::new(self.clone())
    }

    fn whole(&self) -> &Value {
        self.made.get_or_init(|| {
            let (mut head, kept) = (self.head.clone(), self.kept.clone());
            if !self.trailers.is_empty() {
                head.bytes = Bytes::from([&*head.bytes, &*self.trailers].concat());
            }
            match head.start {
                StartLine::Request { .. } => shape::request(head, self.body_size, kept),
                StartLine::Response { .. } => shape::response(head, self.body_size, kept),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dissect::http::parser::{self, Parsed};
    use crate::item::sample::told_as_made;
    use crate::time::Timestamp;

    const PATHS: [&str; 12] = [
        "method",
        "url",
        "targetUri",
        "path",
        "httpVersion",
        "status",
        "statusText",
        "redirectURL",
        "bodySize",
        "headers",
        "headers.Host",
        "absent",
    ];

    fn outlined(head: &'static str, asks: bool, body: &'static str) -> Value {
        let bytes = Bytes::from_static(head.as_bytes());
        let parsed = match asks {
            true => parser::request(&bytes, 0),
            false => parser::response(&bytes, 0),
        };
        let Parsed::Head(head, size) = parsed else {
            panic!("no head");
        };
        let mut message = Message::new(head, size, Timestamp::default());
        message.body_size = body.len() as u64;
        message.kept.push(Bytes::from_static(body.as_bytes()));
        of(message)
    }

    #[test]
    fn what_is_told_is_what_is_made() {
        let samples = [
            ("GET /a/b?c=d#e HTTP/1.1\r\nHost: a\r\n\r\n", true, ""),
            ("POST http://shop/x?y HTTP/1.0\r\n\r\n", true, "body"),
            ("CONNECT shop:443 HTTP/1.1\r\n\r\n", true, ""),
            ("CONNECT /a HTTP/1.1\r\n\r\n", true, ""),
            ("OPTIONS * HTTP/1.1\r\n\r\n", true, ""),
            ("HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n", false, ""),
            ("HTTP/1.0 500 \r\n\r\n", false, "failed"),
        ];
        for (head, asks, body) in samples {
            let value = outlined(head, asks, body);
            let told = told_as_made(&value, &PATHS);
            assert!(told >= 4, "{head}: {told}");
        }
    }
}
