//! What a recording did, and what a manifest says that it lacks.
//!
//! In: counts. Out: coverage and remarks of a manifest. Never: losses of capture, spool and dissection,
//! which are the run's.

use crate::record::manifest::Covered;
use crate::time::Timestamp;

/// What a recording did since it began.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stats {
    pub(crate) streams: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) matches: u64,
    pub(crate) undecided: u64,
    pub(crate) refused: u64,
    pub(crate) not_written: u64,
    /// Those among them that came while the outbox was full.
    pub(crate) stopped: u64,
    /// Streams whose first packets were no longer to be had when they were taken.
    pub(crate) beheaded: u64,
    /// Such streams of earlier runs, of which their own reels tell.
    pub(crate) beheaded_earlier: u64,
    /// Packets that the spool had no longer when their turn came to be copied.
    pub(crate) missed: u64,
    /// Streams that went on in a next reel without their state.
    pub(crate) stateless: u64,
    pub(crate) last_match: Option<Timestamp>,
    pub(crate) error: Option<String>,
    /// Streams not taken because the day's limit was met, and what was seen of them.
    pub(crate) limited: u64,
    pub(crate) left_out: Option<Covered>,
}

impl Stats {
    /// Packets that it lacks, by reason.
    pub(crate) fn coverage(&self) -> impl Iterator<Item = (String, Covered)> {
        let counted = [
            ("recording_not_written", self.not_written - self.stopped),
            ("outbox_full", self.stopped),
            ("look_back_overwritten", self.missed),
        ];
        let counted = counted
            .into_iter()
            .filter(|(_, packets)| *packets > 0)
            .map(|(reason, packets)| (reason, Covered::new(packets, 0, None)));
        let left_out = self.left_out.clone();
        let left_out = left_out.map(|left_out| ("recording_limit", left_out));
        counted
            .chain(left_out)
            .map(|(reason, covered)| (reason.to_owned(), covered))
    }

    /// Sentences about streams that are not there, or not whole.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.undecided > 0 {
            remarks.push(format!(
                "{} streams were kept because the query could not be decided in time",
                self.undecided
            ));
        }
        if self.beheaded > 0 {
            remarks.push(format!(
                "{} streams lack their first packets, which were no longer in the spool at the match",
                self.beheaded
            ));
        }
        if self.stateless > 0 {
            remarks.push(format!(
                "{} streams go on without their state, for which there was no room: what was open in them \
                 at the end of a reel stands there as far as it had come",
                self.stateless
            ));
        }
        if self.limited > 0 {
            remarks.push(format!(
                "{} streams were not taken because the recording had met its limit of bytes a day",
                self.limited
            ));
        }
        if self.refused > 0 {
            remarks.push(format!(
                "{} streams were not kept because too many were followed at once",
                self.refused
            ));
        }
        remarks
    }
}
