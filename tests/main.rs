//! All integration tests, in one binary.

mod captures;
mod tidy;
