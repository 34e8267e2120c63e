//! What is imposed on rows, and what scripts make of them (`onItemQueried`), on their way to the hub.
//!
//! In: records of rows that some query of the hub asks for. Out: records as they may leave the node.
//! Never: a row that a redaction or a script was to alter and that leaves as it was. The hub's own
//! queries come later, and see what is left.

use crate::deliver::{Asks, Delivered, Delivery, Imposed, withheld};
use crate::hub::message;
use crate::item::flat;
use crate::item::json::JsonNode;
use crate::kfl::{self, Schema};
use crate::time::Timestamp;

/// The rows of `records` as they leave; `query` is what scripts are told.
pub(super) fn delivered(
    imposed: &Imposed,
    asks: Option<&dyn Asks>,
    query: &str,
    records: Vec<u8>,
    now: Timestamp,
) -> Vec<u8> {
    let asks = asks.filter(|asks| asks.wants());
    if asks.is_none() && imposed.query().is_none() {
        return records;
    }
    // Of the query only the text counts here: rows were chosen by it, and the hub filters again.
    let Ok(everything) = kfl::compile("", &Schema::empty()) else {
        return Vec::new();
    };
    let told = asks.map(|asks| Told { asks, query });
    let asks = told.as_ref().map(|told| told as &dyn Asks);
    let delivery = Delivery::new(imposed.before(everything), now, asks);
    let mut out = Vec::with_capacity(records.len());
    for record in flat::records(&records) {
        match delivery.of(record, || record.record().to_vec()) {
            Delivered::Whole => out.extend_from_slice(record.record()),
            Delivered::Altered(copy) => {
                let end = out.len();
                flat::encode_altered(record.number(), record, JsonNode(&copy), &mut out);
                if out.len() > message::MAX_ROWS {
                    // What a script made too large for a message is told without it.
                    out.truncate(end);
                    let place = withheld(JsonNode(&copy));
                    flat::encode_altered(record.number(), record, JsonNode(&place), &mut out);
                }
            }
            Delivered::Nothing | Delivered::Undecided => {}
        }
    }
    out
}

/// Tells scripts the query of the hub.
struct Told<'t> {
    asks: &'t dyn Asks,
    query: &'t str,
}

impl Asks for Told<'_> {
    fn wants(&self) -> bool {
        self.asks.wants()
    }

    fn ask(
        &self,
        record: &[u8],
        _query: &str,
    ) -> Result<Option<serde_json::Value>, crate::script::supervisor::Unanswered> {
        self.asks.ask(record, self.query)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::item::json::AsJson;
    use crate::item::{Node, lookup, sample};
    use crate::script::supervisor::Unanswered;

    /// Fails every second item that it is asked about.
    struct Strict;

    impl Asks for Strict {
        fn wants(&self) -> bool {
            true
        }

        fn ask(&self, record: &[u8], query: &str) -> Result<Option<Json>, Unanswered> {
            assert_eq!(query, "http");
            let item = flat::Flat::new(record).unwrap();
            let mut data = serde_json::to_value(AsJson(item)).unwrap();
            data["failed"] = (item.number() % 2 == 1).into();
            data["request"]["method"] = json!("HIDDEN");
            Ok(Some(data))
        }
    }

    fn records() -> Vec<u8> {
        let mut records = Vec::new();
        for number in 0..5 {
            let mut item = sample::http();
            item.number = number;
            flat::encode(&item, &mut records);
        }
        records
    }

    fn texts(records: &[u8], path: &str) -> Vec<String> {
        let rows = flat::records(records);
        rows.map(|row| {
            let text = lookup(row, path).and_then(Node::text);
            text.unwrap_or_default().into_owned()
        })
        .collect()
    }

    fn passed(imposed: &str, asks: Option<&dyn Asks>) -> Vec<u8> {
        let schema = Schema::new(crate::item::ENVELOPE, []);
        let imposed = Imposed::read(imposed, &schema).unwrap();
        delivered(&imposed, asks, "http", records(), Timestamp::default())
    }

    #[test]
    fn what_scripts_make_of_rows_takes_their_place() {
        let out = passed("", Some(&Strict));
        let seen: Vec<(u64, Option<bool>)> = flat::records(&out)
            .map(|row| (row.number(), lookup(row, "failed").and_then(Node::bool)))
            .collect();
        let expected = [0, 1, 2, 3, 4].map(|number| (number, Some(number % 2 == 1)));
        assert_eq!(seen, expected);
        assert_eq!(texts(&out, "request.method"), ["HIDDEN"; 5]);
        assert_eq!(texts(&out, "id"), texts(&records(), "id"));
        let took = |records: &[u8]| -> Vec<_> {
            flat::records(records).map(Node::elapsed_micros).collect()
        };
        assert_eq!(took(&out), took(&records()));
    }

    #[test]
    fn what_is_imposed_never_leaves_the_node() {
        assert_eq!(passed("", None), records());
        assert_eq!(passed("dns", None), Vec::<u8>::new());
        assert_eq!(passed("http", None), records());
        let out = passed(r#"http and redact("request.headers.Host")"#, None);
        assert_eq!(texts(&out, "request.headers.Host"), ["[REDACTED]"; 5]);
        let bytes = String::from_utf8_lossy(&out).into_owned();
        assert!(!bytes.contains("cart.shop"), "{bytes}");
    }
}
