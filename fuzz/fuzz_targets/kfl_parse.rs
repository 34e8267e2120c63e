//! Any text at detection and at the parsers of both dialects: no panic, and a caret that can be drawn.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tapedeck::kfl::{Dialect, Schema, compile, compile_as};

fuzz_target!(|text: &str| {
    let schema = Schema::empty();
    let results = [
        compile(text, &schema),
        compile_as(text, Dialect::V1, &schema),
        compile_as(text, Dialect::V2, &schema),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        assert!(error.line > 0 && error.column > 0 && error.offset <= text.len());
        assert!(error.caret(text).ends_with('^'));
    }
});
