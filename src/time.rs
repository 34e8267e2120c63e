//! Points in time, and the clock as an input.
//!
//! Time comes with the packet or from a [`Clock`], never from the system directly: that is why a
//! replay equals the live run.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Nanoseconds since the Unix epoch, UTC; reaches from 1677 to 2262.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Timestamp {
        Timestamp(nanos)
    }

    /// From seconds and a fraction in nanoseconds; what does not fit is the nearest bound.
    pub const fn from_secs(secs: i64, nanos: u32) -> Timestamp {
        Timestamp(
            secs.saturating_mul(1_000_000_000)
                .saturating_add(nanos as i64),
        )
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The part below a second, in nanoseconds.
    pub const fn subsec_nanos(self) -> u32 {
        self.0.rem_euclid(1_000_000_000) as u32
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// From RFC 3339, as [`Timestamp`] shows itself; `None` for other text and years that do not
    /// fit.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let at = chrono::DateTime::parse_from_rfc3339(text).ok()?;
        at.timestamp_nanos_opt().map(Timestamp)
    }

    /// The date and time of day as chrono holds it.
    pub fn utc(self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::from_timestamp_nanos(self.0)
    }
}

/// Bytes of a time as RFC 3339 with nine fraction digits.
const RFC_3339: usize = 30;

impl Timestamp {
    /// Appends the text that [`fmt::Display`] gives.
    pub fn append_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rfc3339());
    }

    /// By hand: lists and scripts read it of each item, and the general formatter costs more than
    /// the rest of a line.
    fn rfc3339(self) -> [u8; RFC_3339] {
        const DAY: i64 = 86_400;
        let (days, second) = (self.secs().div_euclid(DAY), self.secs().rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        put(&mut text, 0..4, year as u32);
        put(&mut text, 5..7, month as u32);
        put(&mut text, 8..10, day as u32);
        put(&mut text, 11..13, (second / 3600) as u32);
        put(&mut text, 14..16, (second / 60 % 60) as u32);
        put(&mut text, 17..19, (second % 60) as u32);
        put(&mut text, FRACTION, self.subsec_nanos());
        text
    }
}

/// Where the fraction of a second stands.
const FRACTION: std::ops::Range<usize> = 20..29;

/// Writes the last digits of a number; none here has more than nine, and short numbers are divided
/// faster.
fn put(text: &mut [u8; RFC_3339], place: std::ops::Range<usize>, mut number: u32) {
    for digit in text.get_mut(place).unwrap_or_default().iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Texts of times that come one after the other: those of one second have all but the fraction in
/// common.
#[derive(Debug, Clone)]
pub struct TimeTexts {
    second: i64,
    text: [u8; RFC_3339],
}

impl Default for TimeTexts {
    fn default() -> TimeTexts {
        let first = Timestamp::default();
        TimeTexts {
            second: first.secs(),
            text: first.rfc3339(),
        }
    }
}

impl TimeTexts {
    /// Appends the text that [`Timestamp::append_to`] does.
    pub fn append(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        if self.second == time.secs() {
            put(&mut self.text, FRACTION, time.subsec_nanos());
        } else {
            self.second = time.secs();
            self.text = time.rfc3339();
        }
        out.extend_from_slice(&self.text);
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March on, so that the leap day is the last; 400 of them have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let since = days + 719_468;
    let (era, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_month)
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, by: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)),
        )
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, by: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)),
        )
    }
}

/// RFC 3339 in UTC with nine fraction digits, the form scripts see in `startTime`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.rfc3339();
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The system's wall clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// A clock that is set from outside: packet time in offline runs, any moment in tests.
#[derive(Debug, Default)]
pub struct SetClock(AtomicI64);

impl SetClock {
    /// A clock that shows `at`.
    pub fn at(at: Timestamp) -> SetClock {
        SetClock(AtomicI64::new(at.0))
    }

    /// Moves the clock to `at`, never backwards.
    pub fn advance(&self, at: Timestamp) {
        self.0.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Sets the clock to `at`, also back, as the system's is set.
    #[cfg(test)]
    pub(crate) fn set(&self, at: Timestamp) {
        self.0.store(at.0, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_nine_fraction_digits() {
        let at = Timestamp::from_secs(1_706_933_106, 700_800);
        assert_eq!(at.to_string(), "2024-02-03T04:05:06.000700800Z");
        assert_eq!(at.millis(), 1_706_933_106_000);
        assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(Timestamp::parse("9999-01-01T00:00:00Z"), None);
    }

    #[test]
    fn times_that_follow_each_other_are_written_as_each_alone() {
        let mut texts = TimeTexts::default();
        for nanos in [
            0,
            1,
            -1,
            -1_000_000_000,
            999_999_999,
            1_706_933_106_000_700_800,
            i64::MAX,
        ] {
            for at in [
                nanos,
                nanos.saturating_add(1),
                nanos.saturating_sub(86_400 << 30),
            ] {
                let (mut alone, mut after) = (Vec::new(), Vec::new());
                Timestamp(at).append_to(&mut alone);
                texts.append(Timestamp(at), &mut after);
                assert_eq!(after, alone);
            }
        }
    }

    #[test]
    fn a_set_clock_never_goes_back() {
        let clock = SetClock::at(Timestamp::from_secs(5, 0));
        clock.advance(Timestamp::from_secs(3, 0));
        assert_eq!(clock.now(), Timestamp::from_secs(5, 0));
    }
}
