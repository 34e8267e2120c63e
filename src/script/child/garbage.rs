//! When the engine looks for garbage, and what keeps the bytes of items until then.
//!
//! boa collects when the objects that it counts have grown by some third, from 1 MiB on. A context
//! has thousands of objects of its own, all of which a collection looks at several times: every few
//! hundred items that costs as much as the items. And it does not count what lies outside of its
//! objects, such as the records of items. So the engine here waits for more objects, and collects
//! when the records that they may hold are many.
//!
//! In: records of items, parts of the batch they came in. Out: collections; what a script kept over
//! one gets bytes of its own, so that one item never holds a whole batch for long. Never: more than
//! [`MAX_RECORDS`] bytes of records that nobody can reach any more, but for those of one item.

use std::cell::{Ref, RefCell};
use std::ops::{Deref, Range};
use std::rc::Rc;

use boa_gc::Gc;
use bytes::Bytes;

/// Bytes of objects up to which boa's threshold is raised: what it may let grow before it collects.
const BALLAST: usize = 4 << 20;

/// Bytes of one piece of ballast, which goes over the stack.
const PIECE: usize = 64 << 10;

/// Bytes of records between two collections.
const MAX_RECORDS: usize = 4 << 20;

/// Bytes of a record, and what they are a part of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Span {
    batch: Option<Rc<Bytes>>,
    range: Range<usize>,
}

impl Span {
    /// The part of a batch at `range`.
    pub(super) fn of(batch: &Rc<Bytes>, range: Range<usize>) -> Span {
        Span {
            batch: Some(batch.clone()),
            range,
        }
    }

    /// All of some bytes.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Span {
        let bytes = bytes.into();
        Span {
            range: 0..bytes.len(),
            batch: Some(Rc::new(bytes)),
        }
    }
}

impl Deref for Span {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let batch = self.batch.as_deref();
        let part = batch.and_then(|batch| batch.get(self.range.clone()));
        part.unwrap_or_default()
    }
}

/// The flat record of an item, for all objects that are made from it.
#[derive(Clone, Default)]
pub(crate) struct Record(Rc<RefCell<Span>>);

impl Record {
    /// Of the bytes of a record.
    pub(super) fn new(bytes: Span) -> Record {
        Record(Rc::new(RefCell::new(bytes)))
    }

    /// The bytes, to be held for longer than a call of the engine.
    pub(crate) fn bytes(&self) -> Span {
        self.0.borrow().clone()
    }

    /// The bytes, to be looked at.
    pub(super) fn read(&self) -> Ref<'_, Span> {
        self.0.borrow()
    }

    /// Whether somebody else has it.
    fn is_kept(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    /// Lets go of the batch.
    fn own(&self) {
        let own = Span::whole(self.0.borrow().to_vec());
        self.0.replace(own);
    }
}

/// Counts what boa does not.
#[derive(Default)]
pub(super) struct Garbage {
    /// Records since the last collection that somebody has, or had.
    young: Vec<Record>,
    /// Their bytes, and those of others of which something was made that nobody took back.
    bytes: usize,
    /// A record that nobody has.
    spare: Option<Record>,
}

impl Garbage {
    /// Raises boa's threshold, which follows what is in use and never falls: there is no other way to
    /// set it.
    pub(super) fn new() -> Garbage {
        let pieces = (0..BALLAST / PIECE).map(|_| Gc::new([0_u8; PIECE]));
        let ballast: Vec<Gc<[u8; PIECE]>> = pieces.collect();
        drop(ballast);
        boa_gc::force_collect();
        Garbage::default()
    }

    /// A record of these bytes.
    pub(super) fn record(&mut self, bytes: Span) -> Record {
        match self.spare.take() {
            Some(spare) => {
                spare.0.replace(bytes);
                spare
            }
            None => Record::new(bytes),
        }
    }

    /// After the call that was given `record`; `left` says whether objects were made from it that
    /// did not come back.
    pub(super) fn was_given(&mut self, record: Record, left: bool) {
        if left {
            self.bytes += record.read().len();
        }
        if record.is_kept() {
            self.young.push(record);
        } else {
            record.0.take();
            self.spare = Some(record);
        }
    }

    /// Between two calls: collects when it is time, and has `take_back` look at what was left.
    pub(super) fn rest(&mut self, take_back: impl FnOnce()) {
        if self.bytes < MAX_RECORDS {
            return;
        }
        self.bytes = 0;
        boa_gc::force_collect();
        take_back();
        let kept = self.young.drain(..).filter(Record::is_kept);
        kept.for_each(|record| record.own());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_lets_go_of_its_batch() {
        let batch = Rc::new(Bytes::from(vec![7; MAX_RECORDS]));
        let mut garbage = Garbage::new();
        let kept = garbage.record(Span::of(&batch, 0..10));
        garbage.was_given(kept.clone(), true);
        let other = garbage.record(Span::of(&batch, 10..batch.len()));
        garbage.was_given(other.clone(), true);
        drop(other);
        assert_eq!(Rc::strong_count(&batch), 3);
        garbage.rest(|| {});
        assert_eq!(Rc::strong_count(&batch), 1, "nobody holds the batch");
        assert_eq!(**kept.read(), [7; 10]);
        assert!(garbage.young.is_empty());
    }

    #[test]
    fn a_record_that_nobody_kept_is_the_next_one() {
        let batch = Rc::new(Bytes::from_static(b"first second"));
        let mut garbage = Garbage::default();
        let first = garbage.record(Span::of(&batch, 0..5));
        garbage.was_given(first, false);
        assert_eq!(Rc::strong_count(&batch), 1);
        let second = garbage.record(Span::of(&batch, 6..12));
        assert_eq!(**second.read(), *b"second");
        assert!(garbage.young.is_empty() && garbage.bytes == 0);
    }
}
