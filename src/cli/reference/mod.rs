//! The reference of scripting, rendered from the lists that the program itself runs on.
//!
//! In: the globals of scripts, the hooks, the fields of items and protocols. Out: `tapedeck.d.ts` for
//! editors and the pages of `docs/reference/`. Never: a fact of its own where a list has it; a test
//! fails when a committed copy differs, and `UPDATE=1` writes it anew.

mod hooks;
#[cfg(test)]
mod pages;
mod signature;
mod typescript;

pub use typescript::render as declarations;

/// Name of the type declarations beside scripts.
pub const DECLARATIONS: &str = "tapedeck.d.ts";

#[cfg(test)]
mod tests;
