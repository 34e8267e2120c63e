//! The bound on the work that one query may do on one item.
//!
//! In: charges, as evaluation goes. Out: [`Stop::Bound`] when there were too many. Never: a clock;
//! the same item and query always stop at the same place.

/// Steps that evaluating one item may take: about a tenth of a second on a slow machine, some
/// thousand times what a usual query on a usual item needs.
pub const MAX_STEPS: u64 = 2_000_000;

/// Why an expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Something is missing: the part it stands in is false (first dialect).
    Collapse,
    /// An error: absorbed by `&&` and `||`, else no match (second dialect).
    Failed,
    /// The bound on steps was met.
    Bound,
}

/// What is left to spend.
#[derive(Debug, Clone)]
pub(crate) struct Meter(u64);

impl Meter {
    pub(crate) fn full() -> Meter {
        Meter(MAX_STEPS)
    }

    /// Takes `steps` off what is left.
    pub(crate) fn charge(&mut self, steps: usize) -> Result<(), Stop> {
        self.0 = self.0.checked_sub(steps as u64).ok_or(Stop::Bound)?;
        Ok(())
    }
}
