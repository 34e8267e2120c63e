//! Tests of QUIC.

pub(super) fn samples() -> Vec<crate::dissect::robustness::Sample> {
    Vec::new()
}
