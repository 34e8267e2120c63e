//! Tests that take minutes, which run when they are asked for.

/// Whether they are; when not, a line says that `test`, such as `the Ceph test`, is skipped.
#[expect(
    clippy::disallowed_methods,
    reason = "slow tests are asked for by the environment"
)]
pub fn is_asked_for(test: &str) -> bool {
    let is_asked = std::env::var("TAPEDECK_SLOW").is_ok_and(|value| value == "1");
    if !is_asked {
        println!("skipped: {test} is slow; set TAPEDECK_SLOW=1 to run it");
    }
    is_asked
}
