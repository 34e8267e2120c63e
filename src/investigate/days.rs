//! Days of an archive, the newest first, and what their folders are called.

use std::sync::Arc;
use std::time::Duration;

use super::reel::Reel;
use super::reels::{Archive, LONGEST_EXCHANGE, LOOK_BACK, PARALLEL};
use super::span::Span;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Reels, the newest days first.
pub(super) struct Days {
    archive: Arc<Archive>,
    /// The newest last.
    partitions: Vec<String>,
    span: Span,
}

impl Days {
    /// The days of `partitions`, in which only reels of `span` count.
    pub(super) fn new(archive: Arc<Archive>, mut partitions: Vec<String>, span: Span) -> Days {
        partitions.sort_by_key(|partition| day_of(partition));
        Days {
            archive,
            partitions,
            span,
        }
    }

    /// Partitions that are not listed yet.
    pub(super) fn left(&self) -> usize {
        self.partitions.len()
    }

    /// The reels of the next day, of all clusters; `None` when there are no more.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Arc<Reel>>>, StoreError> {
        let Some(newest) = self.partitions.last() else {
            return Ok(None);
        };
        let newest = day_of(newest);
        let mut days = Vec::new();
        while let Some(partition) = self.partitions.pop_if(|last| day_of(last) == newest) {
            days.push(partition);
        }
        let mut reels = Vec::new();
        for days in days.chunks(PARALLEL) {
            self.archive.add(days, &self.span, &mut reels)?;
        }
        Ok(Some(reels))
    }

    /// Nanoseconds behind which no reel that is not listed yet has an item.
    pub(super) fn bound(&self) -> i64 {
        match self.partitions.last() {
            None => i64::MIN,
            Some(partition) => day_of(partition).map_or(i64::MAX, |start| {
                (start + Duration::from_secs(24 * 3600) + LOOK_BACK).nanos() - 1
            }),
        }
    }
}

/// Start of the day of a `date=YYYY-MM-DD/` folder.
pub(super) fn day_of(folder: &str) -> Option<Timestamp> {
    let date = folder
        .split('/')
        .find_map(|part| part.strip_prefix("date="))?;
    let day = chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let start = day.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    Some(Timestamp::from_secs(start, 0))
}

/// Whether the hour of a key begins so long after the range that neither it nor a later one can hold
/// what was asked in the range.
pub(super) fn is_late(key: &str, span: &Span) -> bool {
    let hour = key.split('/').find_map(|part| part.strip_prefix("hour="));
    let hour = hour.and_then(|hour| hour.parse::<u64>().ok());
    match (day_of(key), hour, span.to) {
        (Some(day), Some(hour), Some(to)) => {
            day + Duration::from_secs(hour * 3600) > to + LONGEST_EXCHANGE
        }
        _ => false,
    }
}

/// The folder of the hour before (`by` -1) or behind (`by` 1) that of a reel's folder.
pub(super) fn hour_beside(folder: &str, by: i64) -> Option<String> {
    let hour = folder
        .split('/')
        .find_map(|part| part.strip_prefix("hour="))?;
    let day = day_of(folder)?;
    let at = day.secs() + hour.parse::<i64>().ok()? * 3600 + by * 3600;
    let at = chrono::DateTime::from_timestamp(at, 0)?;
    let date = folder
        .split('/')
        .find_map(|part| part.strip_prefix("date="))?;
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
