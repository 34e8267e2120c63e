//! Days of an archive and hours of them, the newest first, and what their folders are called.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::reel::Reel;
use super::reels::{Archive, LONGEST_EXCHANGE, LOOK_BACK};
use super::span::Span;
use crate::index;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Hours of a day that are listed one by one, at the same time; of more the day is listed as a whole.
const FEW_HOURS: usize = 16;

/// The same behind the newest day, of which nobody said that more is wanted.
const FEWER_HOURS: u32 = 4;

/// A part of an archive that is listed at once: a day of a cluster, or an hour of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its folder.
    pub(super) folder: String,
    /// Of a day, only the hours below this one.
    until: u32,
}

impl Piece {
    fn of(folder: String) -> Piece {
        Piece { folder, until: 24 }
    }

    /// Its day, and which part of it comes first when the newest is wanted.
    fn order(&self) -> (Option<Timestamp>, u32) {
        (day_of(&self.folder), self.until)
    }

    fn is_day(&self) -> bool {
        hour_of(&self.folder).is_none()
    }

    /// Nanoseconds behind which no reel in it has an item.
    fn bound(&self) -> i64 {
        day_of(&self.folder).map_or(i64::MAX, |day| {
            let end = hour_of(&self.folder).map_or(self.until, |hour| hour + 1);
            (start_of(day, end) + LOOK_BACK).nanos() - 1
        })
    }
}

impl Archive {
    /// What is listed for the reels that may hold items of `span`.
    pub(super) fn pieces(&self, span: &Span) -> Result<Vec<Piece>, StoreError> {
        let days = self.partitions(span)?;
        let mut pieces = Vec::new();
        for day in days {
            let hours = hours(&day, span);
            match hours.len() <= FEW_HOURS && self.has_hours(&day)? {
                true => pieces.extend(hours.map(|hour| Piece::of(hour_folder(&day, hour)))),
                false => pieces.push(Piece::of(day)),
            }
        }
        Ok(pieces)
    }

    /// Whether a folder is a day whose hours have to be listed.
    fn has_hours(&self, folder: &str) -> Result<bool, StoreError> {
        let last = folder.trim_end_matches('/').rsplit('/').next();
        let is_day = last.is_some_and(|last| last.starts_with("date=")) && day_of(folder).is_some();
        Ok(is_day && !self.rollups()?.tells(folder))
    }

    /// The reels of one piece that may hold items of `span`.
    pub(super) fn list_piece(
        &self,
        piece: &Piece,
        span: &Span,
    ) -> Result<Vec<Arc<Reel>>, StoreError> {
        let mut reels = self.list(&piece.folder, span)?;
        if piece.until < 24 {
            reels.retain(|reel| hour_of(&reel.stem).is_none_or(|hour| hour < piece.until));
        }
        Ok(reels)
    }
}

/// Reels, the newest days first.
pub(super) struct Days {
    archive: Arc<Archive>,
    /// The newest last.
    pieces: Vec<Piece>,
    span: Span,
    /// Whether nothing was listed yet.
    is_first: bool,
}

impl Days {
    /// The days of `pieces`, in which only reels of `span` count.
    pub(super) fn new(archive: Arc<Archive>, mut pieces: Vec<Piece>, span: Span) -> Days {
        pieces.sort_by_key(Piece::order);
        Days {
            archive,
            pieces,
            span,
            is_first: true,
        }
    }

    /// Days that are not listed yet.
    pub(super) fn left(&self) -> usize {
        self.pieces.iter().filter(|piece| piece.is_day()).count()
    }

    /// The reels of the next day, or of some hours of it, of all clusters; `None` when there are no
    /// more.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Arc<Reel>>>, StoreError> {
        let Some(newest) = self.pieces.last() else {
            return Ok(None);
        };
        let newest = newest.order();
        let mut now = Vec::new();
        while let Some(piece) = self.pieces.pop_if(|last| last.order() == newest) {
            now.push(piece);
        }
        let mut reels = Vec::new();
        self.archive.add(&now, &self.span, &mut reels)?;
        if std::mem::take(&mut self.is_first) {
            self.split(&reels)?;
        }
        Ok(Some(reels))
    }

    /// Puts the hours of the next day that can hold what is newer than the newest of `reels` in front
    /// of the others, where they are few.
    fn split(&mut self, reels: &[Arc<Reel>]) -> Result<(), StoreError> {
        let newest = reels.iter().filter_map(|reel| {
            let index = reel.index.as_ref()?;
            Some(index::span_of(&index.key)?.1)
        });
        let Some(newest) = newest.max() else {
            return Ok(());
        };
        let Some(day) = self.pieces.last().map(Piece::order) else {
            return Ok(());
        };
        let (Some(start), 24) = day else {
            return Ok(());
        };
        // An hour that is over a whole look-back before the newest item holds nothing newer.
        let since = Timestamp::from_secs(newest, 0);
        let first = (0..24).find(|hour| start_of(start, hour + 1) + LOOK_BACK > since);
        let Some(first) = first.filter(|first| *first >= 24 - FEWER_HOURS) else {
            return Ok(());
        };
        let at = self.pieces.partition_point(|piece| piece.order() < day);
        let mut split = Vec::new();
        for piece in self.pieces.split_off(at) {
            if !self.archive.has_hours(&piece.folder)? {
                split.push(piece);
                continue;
            }
            let hours = (first..24).map(|hour| Piece::of(hour_folder(&piece.folder, hour)));
            split.extend(hours);
            split.push(Piece {
                until: first,
                ..piece
            });
        }
        split.sort_by_key(Piece::order);
        self.pieces.extend(split);
        Ok(())
    }

    /// Nanoseconds behind which no reel that is not listed yet has an item.
    pub(super) fn bound(&self) -> i64 {
        let next = self.pieces.last().map(Piece::order);
        let pieces = self.pieces.iter().rev();
        let pieces = pieces.take_while(|piece| Some(piece.order()) == next);
        pieces.map(Piece::bound).max().unwrap_or(i64::MIN)
    }
}

/// The hours of a day whose reels may hold items of `span`.
fn hours(day: &str, span: &Span) -> Range<u32> {
    let Some(start) = day_of(day) else {
        return 0..24;
    };
    // What goes back without an end will want the rest of the day too.
    let Some(from) = span.from else { return 0..24 };
    let first = (0..24).find(|hour| start_of(start, hour + 1) + LOOK_BACK > from);
    let behind = (0..24).find(|hour| {
        let to = span.to.map(|to| to + LONGEST_EXCHANGE);
        to.is_some_and(|to| start_of(start, *hour) > to)
    });
    first.unwrap_or(24)..behind.unwrap_or(24)
}

fn start_of(day: Timestamp, hour: u32) -> Timestamp {
    day + Duration::from_secs(u64::from(hour) * 3600)
}

/// The folder of an hour of a day.
pub(super) fn hour_folder(day: &str, hour: u32) -> String {
    format!("{day}hour={hour:02}/")
}

/// What stands behind `name` in a folder or a key below one.
fn part<'f>(folder: &'f str, name: &str) -> Option<&'f str> {
    folder.split('/').find_map(|part| part.strip_prefix(name))
}

/// The hour that a folder or a key below one names.
pub(super) fn hour_of(folder: &str) -> Option<u32> {
    let hour = part(folder, "hour=")?;
    hour.parse().ok()
}

/// Start of the day of a `date=YYYY-MM-DD/` folder.
pub(super) fn day_of(folder: &str) -> Option<Timestamp> {
    let date = part(folder, "date=")?;
    let day = chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let start = day.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    Some(Timestamp::from_secs(start, 0))
}

/// Whether the hour of a key begins so long after the range that neither it nor a later one can hold
/// what was asked in the range.
pub(super) fn is_late(key: &str, span: &Span) -> bool {
    match (day_of(key), hour_of(key), span.to) {
        (Some(day), Some(hour), Some(to)) => start_of(day, hour) > to + LONGEST_EXCHANGE,
        _ => false,
    }
}

/// The folder of the hour before (`by` -1) or behind (`by` 1) that of a reel's folder.
pub(super) fn hour_beside(folder: &str, by: i64) -> Option<String> {
    let hour = part(folder, "hour=")?;
    let day = day_of(folder)?;
    let at = day.secs() + hour.parse::<i64>().ok()? * 3600 + by * 3600;
    let at = chrono::DateTime::from_timestamp(at, 0)?;
    let date = part(folder, "date=")?;
    let other = folder.replacen(
        &format!("date={date}"),
        &at.format("date=%Y-%m-%d").to_string(),
        1,
    );
    Some(other.replacen(
        &format!("hour={hour}"),
        &at.format("hour=%H").to_string(),
        1,
    ))
}
