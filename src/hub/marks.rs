//! Marks that scripts give rows on their way to the hub (`onItemQueried`).

use std::time::Duration;

use crate::hub::message;
use crate::item::flat;
use crate::item::json::{AsJson, JsonNode};
use crate::server::Run;

/// Time for the marks of one batch.
const MARKS_PATIENCE: Duration = Duration::from_secs(2);

/// Rows with the marks that scripts give them (`onItemQueried`), as far as patience goes: a script
/// that is slow costs marks and not rows.
pub(super) fn marked(run: &dyn Run, query: &str, records: Vec<u8>) -> Vec<u8> {
    let begun = std::time::Instant::now();
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    for record in flat::records(&records) {
        let start = at;
        at += record.record().len();
        let altered = match begun.elapsed() < MARKS_PATIENCE {
            true => run.queried(record.record(), query),
            false => None,
        };
        let is_set = |mark: &&str| {
            altered
                .as_ref()
                .is_some_and(|altered| altered[mark] == true)
        };
        let marks: Vec<&str> = ["passed", "failed"].into_iter().filter(is_set).collect();
        if marks.is_empty() {
            if let Some(out) = &mut out {
                out.extend_from_slice(record.record());
            }
            continue;
        }
        let out = out.get_or_insert_with(|| records.get(..start).unwrap_or_default().to_vec());
        let mut item = serde_json::to_value(AsJson(record)).unwrap_or_default();
        for mark in marks {
            item[mark] = true.into();
        }
        flat::encode_altered(record, JsonNode(&item), out);
    }
    match out {
        // What grew too large goes without marks.
        Some(out) if out.len() <= message::MAX_ROWS => out,
        _ => records,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::Value as Json;

    use super::*;
    use crate::item::{Node, lookup, sample};
    use crate::packet::StreamName;

    /// Fails every second item that it is asked about.
    struct Strict;

    impl Run for Strict {
        fn status(&self) -> Json {
            Json::Null
        }

        fn stream_pcap(&self, _: StreamName, _: &mut dyn Write) -> Result<u64, String> {
            Ok(0)
        }

        fn scripts(&self) -> Json {
            Json::Null
        }

        fn console(&self, _: u64) -> Json {
            Json::Null
        }

        fn jobs(&self) -> Json {
            Json::Null
        }

        fn run_job(&self, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn queried(&self, record: &[u8], query: &str) -> Option<Json> {
            assert_eq!(query, "http");
            let number = flat::Flat::new(record)?.number();
            Some(serde_json::json!({"failed": number % 2 == 1}))
        }
    }

    #[test]
    fn marks_of_scripts_go_along_with_their_rows() {
        let mut records = Vec::new();
        for number in 0..5 {
            let mut item = sample::http();
            item.number = number;
            flat::encode(&item, &mut records);
        }
        let marked = marked(&Strict, "http", records.clone());
        let seen: Vec<(u64, Option<bool>)> = flat::records(&marked)
            .map(|row| (row.number(), lookup(row, "failed").and_then(Node::bool)))
            .collect();
        let expected = [0, 1, 2, 3, 4].map(|number| (number, Some(number % 2 == 1)));
        assert_eq!(seen, expected);
        let methods = |records: &[u8]| -> Vec<String> {
            flat::records(records)
                .map(|row| {
                    lookup(row, "request.method")
                        .and_then(Node::text)
                        .unwrap()
                        .into_owned()
                })
                .collect()
        };
        assert_eq!(methods(&marked), methods(&records));
    }
}
