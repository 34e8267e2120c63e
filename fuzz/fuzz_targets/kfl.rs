//! Any text as a query of both dialects, evaluated on any JSON and on any flat record: no panic, no
//! endless loop.
//!
//! ```text
//! input = length of the query u16 little-endian, query (UTF-8), item (JSON, else a flat record)
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use tapedeck::item::ENVELOPE;
use tapedeck::item::flat::Flat;
use tapedeck::item::json::JsonNode;
use tapedeck::kfl::{self, Dialect, Schema};
use tapedeck::time::Timestamp;

fuzz_target!(|input: &[u8]| {
    let [low, high, rest @ ..] = input else {
        return;
    };
    let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
    let (text, item) = rest.split_at(length);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let json: Option<serde_json::Value> = serde_json::from_slice(item).ok();
    let now = Timestamp::from_secs(1_790_000_000, 0);
    for schema in [
        Schema::new(ENVELOPE, []),
        Schema::empty(),
        Schema::variables(),
    ] {
        let _ = kfl::explain(text, &schema, now);
        let _ = kfl::convert(text, &schema);
        let _ = kfl::complete(text, text.len(), None, &schema);
        for dialect in [Dialect::V1, Dialect::V2] {
            let Ok(query) = kfl::compile_as(text, dialect, &schema) else {
                continue;
            };
            query.packet_condition();
            query.column_condition(now);
            match (&json, Flat::new(item)) {
                (Some(json), _) => drop(query.view(JsonNode(json), now)),
                (None, Some(flat)) => drop(query.view(flat, now)),
                (None, None) => {}
            }
        }
    }
});
