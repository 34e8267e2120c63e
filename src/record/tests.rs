//! Tests of recordings from match to store.
