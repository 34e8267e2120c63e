//! The wiring: threads, bounded queues, shutdown.
