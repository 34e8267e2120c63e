//! When the engine looks for garbage, and what keeps the bytes of items until then.
//!
//! boa collects when the objects that it counts have grown by some third, from 1 MiB on. A context
//! has thousands of objects of its own, all of which a collection looks at several times: every few
//! hundred items that costs as much as the items. And it does not count what lies outside of its
//! objects, such as the records of items. So the engine here waits for more objects, and collects
//! when the records that they may hold are many.
//!
//! In: records of items, slices of the batch they came in. Out: collections; what a script kept over
//! one gets bytes of its own, so that one item never holds a whole batch for long. Never: more than
//! [`MAX_RECORDS`] bytes of records that nobody can reach any more, but for those of one item.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use boa_gc::Gc;
use bytes::Bytes;

/// Bytes of objects up to which boa's threshold is raised: what it may let grow before it collects.
const BALLAST: usize = 4 << 20;

/// Bytes of one piece of ballast, which goes over the stack.
const PIECE: usize = 64 << 10;

/// Bytes of records between two collections.
const MAX_RECORDS: usize = 4 << 20;

/// The flat record of an item, for all objects that are made from it.
#[derive(Clone)]
pub(crate) struct Record(Rc<RefCell<Bytes>>);

impl Record {
    /// Of bytes that are the record and nothing else, or a slice of a batch.
    pub(super) fn new(bytes: Bytes) -> Record {
        Record(Rc::new(RefCell::new(bytes)))
    }

    /// The bytes, to be held for longer than a call of the engine.
    pub(crate) fn bytes(&self) -> Bytes {
        self.0.borrow().clone()
    }

    /// The bytes, to be looked at.
    pub(super) fn read(&self) -> Ref<'_, Bytes> {
        self.0.borrow()
    }

    /// Whether somebody else has it.
    fn is_kept(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    /// Lets go of the batch.
    fn own(&self) {
        let own = Bytes::copy_from_slice(&self.0.borrow());
        *self.0.borrow_mut() = own;
    }
}

/// Counts what boa does not.
#[derive(Default)]
pub(super) struct Garbage {
    /// Records since the last collection, and their bytes.
    young: Vec<Record>,
    bytes: usize,
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

    /// Objects are made from a record.
    pub(super) fn made_from(&mut self, record: &Record) {
        self.bytes += record.0.borrow().len();
        self.young.push(record.clone());
    }

    /// Between two calls: collects when it is time.
    pub(super) fn rest(&mut self) {
        if self.bytes < MAX_RECORDS {
            return;
        }
        self.bytes = 0;
        boa_gc::force_collect();
        let kept = self.young.drain(..).filter(Record::is_kept);
        kept.for_each(|record| record.own());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_lets_go_of_its_batch() {
        let batch = Bytes::from(vec![7; MAX_RECORDS]);
        let mut garbage = Garbage::new();
        let kept = Record::new(batch.slice(..10));
        garbage.made_from(&kept);
        garbage.made_from(&Record::new(batch.slice(10..)));
        assert!(!batch.is_unique());
        garbage.rest();
        assert!(batch.is_unique(), "nobody holds the batch");
        assert_eq!(kept.bytes().as_ref(), [7; 10]);
        assert!(garbage.young.is_empty());
    }
}
