//! Any bytes as a `name_resolution_history.json`: read or refused, and what was read can be asked and
//! written in both forms.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tapedeck::packet::Endpoint;
use tapedeck::resolve::{Form, History};
use tapedeck::time::Timestamp;

fuzz_target!(|input: &[u8]| {
    let mut history = History::new();
    let whole = history.read(input).is_ok();
    let far = |seconds| Timestamp::from_secs(seconds, 0);
    for at in [0, 1_700_000_000, 4_000_000_000] {
        history.lookup_ip([10, 0, 0, 1].into(), far(at));
        let endpoint = Endpoint {
            ip: [10, 0, 0, 1].into(),
            port: 80,
        };
        history.lookup(endpoint, far(at));
    }
    for form in [Form::Full, Form::Deltas] {
        let mut text = Vec::new();
        history
            .write(Timestamp::default(), far(5_000_000_000), form, &mut text)
            .expect("memory takes what is written");
        let mut again = History::new();
        let read = again.read(&text[..]);
        assert!(!whole || read.is_ok(), "what was written can be read");
    }
});
