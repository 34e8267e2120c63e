//! KFL, the filter language.
//!
//! In: query text. Out: an immutable [`Query`], shared between threads, that decides about any
//! [`Node`](crate::item::Node). Never: clocks (the moment is handed in), fields of its own (the
//! schema is handed in).
