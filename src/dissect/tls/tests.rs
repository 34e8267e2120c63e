//! Tests of TLS.

pub(super) fn samples() -> Vec<super::super::robustness::Sample> {
    Vec::new()
}
