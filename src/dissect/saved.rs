//! Writing and reading the state of a dissector: counted bytes, times, lists with a cap.
//!
//! In: the parts of a state. Out: bytes, and the parts again. Never: trust in a length or count
//! that was read; what does not fit makes the whole state unreadable. Integers are big-endian.

use bytes::{BufMut, Bytes};

use crate::bytes::Reader;
use crate::time::Timestamp;

/// Appends bytes behind their length as `u32`.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

/// Appends a list behind its count as `u32`.
pub(super) fn put_list<T>(
    out: &mut Vec<u8>,
    list: impl ExactSizeIterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    out.put_u32(u32::try_from(list.len()).unwrap_or(u32::MAX));
    for element in list {
        put(out, element);
    }
}

/// Appends a time that may be missing.
pub(super) fn put_time(out: &mut Vec<u8>, time: Option<Timestamp>) {
    out.put_u8(time.is_some().into());
    out.put_i64(time.unwrap_or_default().nanos());
}

/// Reads a state; `None` anywhere means that it is damaged.
pub(super) struct Saved<'a>(Reader<'a>);

impl<'a> Saved<'a> {
    /// A state from its first byte on.
    pub(super) fn new(state: &'a [u8]) -> Saved<'a> {
        Saved(Reader::new(state))
    }

    /// One byte.
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.0.u8().ok()
    }

    /// A byte that must be 0 or 1.
    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Two bytes.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.0.u16().ok()
    }

    /// Four bytes.
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.0.u32().ok()
    }

    /// Eight bytes.
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.0.u64().ok()
    }

    /// A time.
    pub(super) fn time(&mut self) -> Option<Timestamp> {
        Some(Timestamp::from_nanos(self.u64()?.cast_signed()))
    }

    /// A time that may be missing.
    pub(super) fn time_or_none(&mut self) -> Option<Option<Timestamp>> {
        let there = self.flag()?;
        let time = self.time()?;
        Some(there.then_some(time))
    }

    /// A copy of counted bytes, at most `most` of them.
    pub(super) fn bytes(&mut self, most: usize) -> Option<Bytes> {
        let length = usize::try_from(self.u32()?).ok()?;
        if length > most {
            return None;
        }
        Some(Bytes::copy_from_slice(self.0.take(length).ok()?))
    }

    /// A list of at most `most` elements.
    pub(super) fn list<T>(
        &mut self,
        most: usize,
        mut element: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = usize::try_from(self.u32()?).ok()?;
        if count > most {
            return None;
        }
        (0..count).map(|_| element(self)).collect()
    }

    /// Whether all was read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_read_back_and_caps_hold() {
        let mut out = Vec::new();
        put_bytes(&mut out, b"abc");
        put_list(&mut out, [1u8, 2].iter(), |out, byte| out.push(*byte));
        put_time(&mut out, Some(Timestamp::from_secs(-7, 0)));
        put_time(&mut out, None);
        let mut saved = Saved::new(&out);
        assert_eq!(saved.bytes(3).as_deref(), Some(&b"abc"[..]));
        assert_eq!(saved.list(2, Saved::u8), Some(vec![1, 2]));
        assert_eq!(
            saved.time_or_none(),
            Some(Some(Timestamp::from_secs(-7, 0)))
        );
        assert_eq!(saved.time_or_none(), Some(None));
        assert!(saved.is_empty());
        assert_eq!(Saved::new(&out).bytes(2), None);
        assert_eq!(Saved::new(&[0, 0, 0, 9, 1]).bytes(100), None);
        assert_eq!(Saved::new(&[0xff; 4]).list(10, Saved::u8), None);
    }
}
