//! The wiring: threads, bounded queues, shutdown.

pub mod host;
