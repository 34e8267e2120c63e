//! Which places of an item a query reads, so that what holds only these places can answer it.

use std::collections::BTreeSet;

use crate::item::ENVELOPE;
use crate::kfl::explain::collect;
use crate::kfl::v2::vars::{self, How};
use crate::kfl::{Dialect, Query};

impl Query {
    /// Paths of all that deciding about an item may read, each with everything below it.
    ///
    /// Whether a side of the exchange was seen is `request.present` or `response.present`, which no
    /// item has.
    pub fn paths(&self) -> BTreeSet<String> {
        let mut paths = self.own_paths();
        paths.extend(self.1.iter().flat_map(|imposed| imposed.paths()));
        paths
    }

    fn own_paths(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        if let Some(expr) = &self.0.expr {
            collect(expr, &mut names);
        }
        let mut paths = BTreeSet::new();
        for name in names {
            // In the first dialect a variable stands in where items have nothing of its name.
            let read = vars::find(&name);
            match read.filter(|_| self.dialect() == Dialect::V2 || !is_field(&name)) {
                Some(var) => add(var.how, &mut paths),
                None => {
                    paths.insert(name);
                }
            }
        }
        paths
    }
}

/// Whether items have something at the root of a path.
fn is_field(path: &str) -> bool {
    let root = |path: &str| path.split('.').next().map(str::to_owned);
    let of_path = root(path);
    ENVELOPE.iter().any(|field| root(field.path) == of_path) || of_path.as_deref() == Some("data")
}

fn add(how: How, paths: &mut BTreeSet<String>) {
    let mut is = |path: &str| {
        paths.insert(path.to_owned());
    };
    match how {
        How::Path(path) => is(path.split(".*").next().unwrap_or(path)),
        How::Parts(name) | How::Upper(name) | How::Dotted(name) => {
            for part in ["request", "response", "data"] {
                is(&format!("{part}.{name}"));
            }
        }
        How::Named(_) | How::Abbr(..) | How::Layer4(..) | How::Protocol => is("protocol"),
        How::Always | How::Absent => {}
        How::Present(side) => is(&format!("{side}.present")),
        How::Sender(_) => is("request.sender"),
        How::SentBy(_, name) => {
            is("request.sender");
            is(&format!("request.{name}"));
        }
        How::Elapsed => is(crate::kfl::eval::ELAPSED),
        How::Namespace(side)
        | How::Pod(side)
        | How::Service(side)
        | How::ServiceNamespace(side)
        | How::DnsName(side) => is(side),
        How::Both(_) | How::Process(_) => {
            is("src");
            is("dst");
        }
        How::HttpVersion => is("request.httpVersion"),
        How::GrpcMethod => is("request.path"),
        How::DnsAnswers => is("response.answers"),
        How::GrpcStatus | How::DnsStatus => is("response"),
    }
}

#[cfg(test)]
mod tests {
    use crate::item::ENVELOPE;
    use crate::kfl::{Schema, compile};

    #[test]
    fn paths_are_what_deciding_reads() {
        let schema = Schema::new(ENVELOPE, []);
        let paths = |text: &str| {
            let paths = compile(text, &schema).unwrap().paths();
            paths.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            paths("http and response.status == 500"),
            "protocol.abbr response.status"
        );
        assert_eq!(
            paths("request.headers[\"Host\"] == \"a\""),
            "request.headers"
        );
        assert_eq!(
            paths("status_code >= 500 && src.namespace == \"shop\""),
            "response.status src"
        );
        assert_eq!(
            paths("http and status_code == 500 and elapsed_time > 5"),
            "elapsedTime protocol.abbr response.status"
        );
        assert_eq!(paths("https && true"), "protocol.abbr tls");
    }
}
