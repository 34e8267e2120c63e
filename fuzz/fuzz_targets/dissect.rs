//! Any bytes, any gaps, both directions, at every dissector: no panic, no endless loop, and all that
//! comes out can be shown.
//!
//! ```text
//! input = protocol u8 (the environment's goes first), opening u8, steps as in `Play::input`
//! ```

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tapedeck::dissect::{Protocol, Protocols};
use tapedeck_fuzz::{Play, chosen, picked, stream};

static CHOSEN: OnceLock<Option<&'static dyn Protocol>> = OnceLock::new();

fuzz_target!(
    init: {
        CHOSEN.get_or_init(chosen);
    },
    |input: &[u8]| {
        let [protocol, opening, steps @ ..] = input else {
            return;
        };
        let protocol = CHOSEN.get().copied().flatten().unwrap_or_else(|| picked(*protocol));
        for transport in protocol.transports() {
            let info = stream(*transport, *opening);
            let dissector = protocol.start(&info.into());
            Play::new(info, &Protocols::all(), protocol, dissector).input(steps);
        }
    }
);
