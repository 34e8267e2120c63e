//! The child's side: one script in a process of its own, without files, network or rights.
//!
//! In: messages of the parent on standard input, a socket. Out: messages on the same socket. Never:
//! an effect; each is asked of the parent.

mod aliases;
mod data;
