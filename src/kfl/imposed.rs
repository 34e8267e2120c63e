//! A query behind one that an operator imposes (reference section 8).
//!
//! In: two compiled queries. Out: one that matches what both match, the second reading what the
//! first has redacted. Never: texts glued together; the two may be of different dialects.

use std::sync::Arc;

use super::{Query, Verdict};
use crate::item::Node;
use crate::item::flat::{self, Flat};
use crate::item::json::JsonNode;
use crate::time::Timestamp;

use serde_json::Value as Json;

impl Query {
    /// This query behind `imposed`, which is evaluated first and whose redactions it cannot see
    /// through or undo. Text, dialect, warnings and steering stay those of this query.
    pub fn behind(mut self, imposed: &Query) -> Query {
        if !imposed.is_empty() {
            self.1 = Some(Arc::new(imposed.clone()));
        }
        self
    }

    /// Whether another query stands in front of it.
    pub fn is_behind(&self) -> bool {
        self.1.is_some()
    }

    /// As [`Query::matches`], where `imposed` stands in front.
    pub(super) fn matches_behind<'a, N: Node<'a>>(
        &self,
        imposed: &Query,
        node: N,
        now: Timestamp,
    ) -> Verdict {
        if imposed.redacts() {
            return self.view_behind(imposed, node, now).0;
        }
        match imposed.matches(node, now) {
            Verdict::Match => self.matches_alone(node, now),
            other => other,
        }
    }

    /// As [`Query::view`], where `imposed` stands in front.
    pub(super) fn view_behind<'a, N: Node<'a>>(
        &self,
        imposed: &Query,
        node: N,
        now: Timestamp,
    ) -> (Verdict, Option<Json>) {
        match imposed.view(node, now) {
            (Verdict::Match, None) => self.view_alone(node, now),
            (Verdict::Match, Some(copy)) => {
                // As an item, so that it still takes as long as it took.
                let mut record = Vec::new();
                flat::encode_altered(0, node, JsonNode(&copy), &mut record);
                let Some(item) = Flat::new(&record) else {
                    return (Verdict::NoMatch, None);
                };
                let (verdict, again) = self.view_alone(item, now);
                let altered = (verdict == Verdict::Match).then(|| again.unwrap_or(copy));
                (verdict, altered)
            }
            (other, _) => (other, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kfl::{Dialect, Schema, compile, compile_as};

    /// The verdict and what is delivered.
    fn view(imposed: &str, asked: &str, item: &Json) -> (Verdict, Option<Json>) {
        let compiled = |text| compile_as(text, Dialect::V1, &Schema::empty()).unwrap();
        let query = compiled(asked).behind(&compiled(imposed));
        let now = Timestamp::default();
        let seen = query.view(JsonNode(item), now);
        assert_eq!(query.matches(JsonNode(item), now), seen.0, "{asked}");
        seen
    }

    #[test]
    fn both_must_match_and_the_first_redacts_first() {
        let item = json!({"user": "ann", "pin": "17", "size": 3});
        let hidden = json!({"user": "[REDACTED]", "pin": "17", "size": 3});
        let both = json!({"user": "[REDACTED]", "pin": "[REDACTED]", "size": 3});
        let imposed = r#"size == 3 and redact("user")"#;
        let cases = [
            ("", "", Verdict::Match, None),
            ("size == 3", r#"user == "ann""#, Verdict::Match, None),
            ("size == 4", r#"user == "ann""#, Verdict::NoMatch, None),
            ("size == 3", r#"user == "bob""#, Verdict::NoMatch, None),
            (imposed, "", Verdict::Match, Some(&hidden)),
            (imposed, r#"user == "ann""#, Verdict::NoMatch, None),
            (
                imposed,
                r#"user == "[REDACTED]""#,
                Verdict::Match,
                Some(&hidden),
            ),
            (imposed, r#"redact("pin")"#, Verdict::Match, Some(&both)),
        ];
        for (imposed, asked, verdict, delivered) in cases {
            let seen = view(imposed, asked, &item);
            assert_eq!(seen, (verdict, delivered.cloned()), "{imposed:?} {asked:?}");
        }
    }

    #[test]
    fn an_item_that_was_redacted_takes_as_long_as_before_unless_that_is_hidden() {
        let item = crate::item::sample::http();
        let schema = Schema::new(crate::item::ENVELOPE, []);
        let matches = |imposed: &str, asked: &str| {
            let query = compile(asked, &schema).unwrap();
            let query = query.behind(&compile(imposed, &schema).unwrap());
            query.matches(item.node(), Timestamp::default()) == Verdict::Match
        };
        for asked in ["elapsedTime == 12345", "elapsed_time == 12345"] {
            assert!(matches("http", asked));
            assert!(matches(r#"http and redact("request.path")"#, asked));
            assert!(!matches(r#"http and redact("elapsedTime")"#, asked));
        }
    }

    #[test]
    fn what_is_known_beforehand_takes_both_into_account() {
        let schema = Schema::new(crate::item::ENVELOPE, []);
        let compiled = |text: &str| compile(text, &schema).unwrap();
        let now = Timestamp::default();
        let (dns, port) = (compiled("dns"), compiled(r#"dst.port == "53""#));
        let query = compiled("").behind(&dns);
        assert!(query.is_behind() && !query.is_empty());
        assert!(!compiled("").behind(&compiled("")).is_behind());
        assert_eq!(query.packet_condition(), dns.packet_condition());
        assert_eq!(query.column_condition(now), dns.column_condition(now));
        let both = port.clone().behind(&dns);
        assert!(both.paths().is_superset(&port.paths()));
        assert!(both.paths().is_superset(&dns.paths()));
        assert!(both.column_condition(now).is_some());
        // What the first one redacts, the columns still have: the second tells nothing about them.
        let redacting = compiled(r#"dns and redact("dst.port")"#);
        let behind = port.behind(&redacting);
        assert_eq!(
            behind.column_condition(now),
            redacting.column_condition(now)
        );
        assert_eq!(behind.packet_condition(), redacting.packet_condition());
    }
}
