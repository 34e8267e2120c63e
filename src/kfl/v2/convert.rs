//! Times and conversions of the second dialect (reference section 12.4).
//!
//! In: texts and values. Out: values; `None` where the reference has an error. Never: a local time
//! zone.

use chrono::{DateTime, Datelike, FixedOffset, TimeDelta, TimeZone, Timelike, Utc};

/// A part of a point or length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfYear,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// The accessors by name.
pub(crate) const PARTS: &[(&str, Part)] = &[
    ("getFullYear", Part::FullYear),
    ("getMonth", Part::Month),
    ("getDate", Part::Date),
    ("getDayOfMonth", Part::DayOfMonth),
    ("getDayOfYear", Part::DayOfYear),
    ("getDayOfWeek", Part::DayOfWeek),
    ("getHours", Part::Hours),
    ("getMinutes", Part::Minutes),
    ("getSeconds", Part::Seconds),
    ("getMilliseconds", Part::Milliseconds),
];

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// So far from UTC at all times.
    Fixed(FixedOffset),
    /// A zone of the IANA database.
    Named(chrono_tz::Tz),
}

impl Zone {
    pub(crate) const UTC: Zone = Zone::Fixed(FixedOffset::east_opt(0).expect("zero is in range"));

    /// A zone by its name or as `+hh:mm`.
    pub(crate) fn parse(text: &str) -> Option<Zone> {
        if matches!(text, "UTC" | "GMT" | "Z" | "Etc/UTC") {
            return Some(Zone::UTC);
        }
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return text.parse().ok().map(Zone::Named);
        }
        let (sign, rest) = match text.as_bytes().first()? {
            b'-' => (-1, text.get(1..)?),
            b'+' => (1, text.get(1..)?),
            _ => (1, text),
        };
        let (hours, minutes) = rest.split_once(':')?;
        let number = |digits: &str, below: i32| {
            let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain
                .then(|| digits.parse::<i32>().ok())
                .flatten()
                .filter(|value| *value < below)
        };
        let seconds = number(hours, 24)? * 3600 + number(minutes, 60)? * 60;
        FixedOffset::east_opt(sign * seconds).map(Zone::Fixed)
    }

    /// Part `part` of `at` in this zone.
    pub(crate) fn part(self, at: DateTime<Utc>, part: Part) -> i64 {
        match self {
            Zone::Fixed(offset) => part_of(&at.with_timezone(&offset), part),
            Zone::Named(zone) => part_of(&at.with_timezone(&zone), part),
        }
    }
}

fn part_of<Z: TimeZone>(at: &DateTime<Z>, part: Part) -> i64 {
    match part {
        Part::FullYear => at.year().into(),
        Part::Month => at.month0().into(),
        Part::Date => at.day().into(),
        Part::DayOfMonth => at.day0().into(),
        Part::DayOfYear => at.ordinal0().into(),
        Part::DayOfWeek => at.weekday().num_days_from_sunday().into(),
        Part::Hours => at.hour().into(),
        Part::Minutes => at.minute().into(),
        Part::Seconds => at.second().into(),
        Part::Milliseconds => at.timestamp_subsec_millis().into(),
    }
}

/// Part `part` of a length of time; `None` for parts that only points have.
pub(crate) fn part_of_span(length: TimeDelta, part: Part) -> Option<i64> {
    Some(match part {
        Part::Hours => length.num_hours(),
        Part::Minutes => length.num_minutes(),
        Part::Seconds => length.num_seconds(),
        Part::Milliseconds => i64::from(length.subsec_nanos() / 1_000_000),
        _ => return None,
    })
}

/// A point in time as RFC 3339 has it, from year 1 to year 9999.
pub(crate) fn timestamp(text: &str) -> Option<DateTime<Utc>> {
    // RFC 3339 wants a `T`; what the parser takes besides is refused.
    let strict = text
        .as_bytes()
        .get(10)
        .is_some_and(|byte| matches!(byte, b'T' | b't'));
    let at = DateTime::parse_from_rfc3339(text).ok().filter(|_| strict)?;
    in_range(at.to_utc())
}

/// `at` when its year is from 1 to 9999.
pub(crate) fn in_range(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (1..=9999).contains(&at.year()).then_some(at)
}

/// A point in time from epoch seconds.
pub(crate) fn from_seconds(seconds: i64) -> Option<DateTime<Utc>> {
    in_range(DateTime::from_timestamp(seconds, 0)?)
}

/// Nanoseconds of each unit of a length of time.
const UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A length of time such as `1h30m` or `-1.5s`.
pub(crate) fn duration(text: &str) -> Option<TimeDelta> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(TimeDelta::zero());
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (digits, tail) = (rest.get(..number)?, rest.get(number..)?);
        let unit = tail
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(tail.len());
        let nanos = UNITS
            .iter()
            .find(|(name, _)| Some(*name) == tail.get(..unit))?
            .1;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        // More digits than these are below a nanosecond of every unit.
        if whole.len() > 18 || fraction.len() > 18 || whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let number = |digits: &str| {
            digits
                .parse::<i128>()
                .or(if digits.is_empty() { Ok(0) } else { Err(()) })
                .ok()
        };
        let scale = 10i128.pow(u32::try_from(fraction.len()).ok()?);
        total += number(whole)? * nanos + number(fraction)? * nanos / scale;
        rest = tail.get(unit..)?;
    }
    let nanos = i64::try_from(total * sign).ok()?;
    Some(TimeDelta::nanoseconds(nanos))
}

/// A length of time in seconds, as `string()` shows it.
pub(crate) fn span_text(length: TimeDelta) -> String {
    let nanos =
        i128::from(length.num_seconds()) * 1_000_000_000 + i128::from(length.subsec_nanos());
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, part) = (
        nanos.unsigned_abs() / 1_000_000_000,
        nanos.unsigned_abs() % 1_000_000_000,
    );
    let fraction = format!("{part:09}");
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{dot}{fraction}s")
}

/// `true` and `false` in the usual spellings.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_add_up_their_parts() {
        assert_eq!(duration("1h30m"), Some(TimeDelta::minutes(90)));
        assert_eq!(duration("-1.5s"), Some(TimeDelta::milliseconds(-1500)));
        assert_eq!(duration("1us2ns"), Some(TimeDelta::nanoseconds(1002)));
        for text in ["", "5", "1d", "5 minutes", "h", ".s", "99999999999999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(span_text(TimeDelta::milliseconds(-1500)), "-1.5s");
    }

    #[test]
    fn zones_shift_the_parts() {
        let at = timestamp("2026-03-14T22:00:00Z").unwrap();
        let zone = |text| Zone::parse(text).unwrap();
        assert_eq!(zone("+02:30").part(at, Part::Hours), 0);
        assert_eq!(zone("+02:30").part(at, Part::DayOfWeek), 0);
        assert_eq!(zone("UTC").part(at, Part::DayOfWeek), 6);
        assert_eq!(zone("Europe/Prague").part(at, Part::Hours), 23);
        assert_eq!(Zone::parse("+25:00"), None);
        assert_eq!(Zone::parse("Europe/Atlantis"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_conversions_panic(text in "[-+0-9.:TZhmsunµ]{0,40}") {
            let _ = (duration(&text), timestamp(&text), Zone::parse(&text));
        }
    }
}
