//! Items that are printed where they are made: on the workers' threads.
//!
//! In: the items of a worker, one at a time. Out: lines, in the order in which a consumer would have
//! had the items. Never: an item handed to another thread, so that its bytes are read and let go
//! where they are at hand.

use crate::item::Item;
use crate::packet::StreamId;

/// Turns items into lines; each worker has one of its own.
pub trait Printer: Send {
    /// Appends the line of `item` to `out`, when it is wanted.
    fn print(&mut self, item: &Item, out: &mut Vec<u8>) -> Printed;
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printed {
    /// It has a line.
    Line,
    /// It is not wanted.
    Nothing,
    /// Whether it is wanted could not be decided.
    Undecided,
}

/// Takes the lines, one thread at a time.
pub trait Taker: Send {
    /// The next line; empty for an item about which the printer could not decide.
    fn take(&mut self, line: &[u8]);

    /// The lines of a step are all taken.
    fn on_step(&mut self) {}

    /// The run is over.
    fn on_end(&mut self) {}
}

/// A run that prints.
pub struct Printing {
    /// A printer for each worker.
    pub printer: Box<dyn Fn() -> Box<dyn Printer>>,
    /// Where the lines go.
    pub taker: Box<dyn Taker>,
}

/// The lines of one worker in one step.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

/// Where a line ends, and its place among those of all workers.
#[derive(Debug, Clone, Copy)]
struct Mark {
    ordinal: u64,
    stream: StreamId,
    end: usize,
}

impl Mark {
    fn place(&self) -> (u64, StreamId) {
        (self.ordinal, self.stream)
    }
}

impl Lines {
    /// The lines as they stand.
    fn each<'l>(&'l self, mut each: impl FnMut(&Mark, &'l [u8])) {
        let mut start = 0;
        for mark in &self.marks {
            each(mark, self.bytes.get(start..mark.end).unwrap_or_default());
            start = mark.end;
        }
    }

    /// Lets `printer` add what it makes of an item.
    pub(super) fn print(&mut self, item: &Item, printer: &mut dyn Printer) {
        let before = self.bytes.len();
        match printer.print(item, &mut self.bytes) {
            Printed::Line => {}
            Printed::Undecided => self.bytes.truncate(before),
            Printed::Nothing => return self.bytes.truncate(before),
        }
        self.marks.push(Mark {
            ordinal: item.ordinal,
            stream: item.stream.stream,
            end: self.bytes.len(),
        });
    }
}

/// Hands the lines of all workers to `taker`, in packet order; within a stream as they stand.
pub(super) fn merge(found: &[Lines], taker: &mut dyn Taker) {
    if let [lines] = found
        && lines.marks.is_sorted_by_key(Mark::place)
    {
        return lines.each(|_, line| taker.take(line));
    }
    let mut all = Vec::with_capacity(found.iter().map(|lines| lines.marks.len()).sum());
    for lines in found {
        lines.each(|mark, line| all.push((mark.place(), line)));
    }
    // Within a stream the lines already stand in order, so the sort must be stable.
    all.sort_by_key(|(place, _)| *place);
    for (_, line) in all {
        taker.take(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::sample;

    struct Named(&'static str);

    impl Printer for Named {
        fn print(&mut self, item: &Item, out: &mut Vec<u8>) -> Printed {
            out.extend_from_slice(format!("{}{}", self.0, item.ordinal).as_bytes());
            match item.index {
                0 => Printed::Line,
                1 => Printed::Nothing,
                _ => Printed::Undecided,
            }
        }
    }

    struct Keep(Vec<String>);

    impl Taker for Keep {
        fn take(&mut self, line: &[u8]) {
            self.0.push(String::from_utf8_lossy(line).into_owned());
        }
    }

    #[test]
    fn lines_of_workers_come_in_packet_order() {
        let lines = |name, ordinals: &[(u64, u64, u32)]| {
            let mut lines = Lines::default();
            for (ordinal, stream, index) in ordinals {
                let mut item = sample::http();
                (item.ordinal, item.index) = (*ordinal, *index);
                item.stream.stream = StreamId(*stream);
                lines.print(&item, &mut Named(name));
            }
            lines
        };
        let found = [
            lines("a", &[(3, 2, 0), (5, 2, 0), (4, 0, 2)]),
            lines("b", &[(3, 1, 0), (9, 1, 1), (5, 2, 0)]),
        ];
        let mut keep = Keep(Vec::new());
        merge(&found, &mut keep);
        assert_eq!(keep.0, ["b3", "a3", "", "a5", "b5"]);
    }
}
