//! Times as queries write them.
//!
//! In: text. Out: points in time and lengths of time; `None` for any other format. Never: a clock
//! or a local time zone.

use chrono::{NaiveDate, NaiveTime};

/// Epoch milliseconds of `11/14/2023, 10:13:20.000 PM` in UTC (reference section 6).
pub(crate) fn datetime(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(", ")?;
    let (clock, half) = rest.split_once(' ')?;
    let mut parts = date.split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(number(year, 4)?).ok()?,
        number(month, 2)?,
        number(day, 2)?,
    )?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, nanos(fraction)?),
        None => (clock, 0),
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (number(parts.next()?, 2)?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !(1..=12).contains(&hour) || minute.len() != 2 || second.len() != 2
    {
        return None;
    }
    let hour = hour % 12
        + match half {
            "AM" => 0,
            "PM" => 12,
            _ => return None,
        };
    let time =
        NaiveTime::from_hms_nano_opt(hour, number(minute, 2)?, number(second, 2)?, fraction)?;
    Some(date.and_time(time).and_utc().timestamp_millis())
}

fn number(digits: &str, most: usize) -> Option<u32> {
    let plain = !digits.is_empty() && digits.len() <= most;
    (plain && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

/// Nanoseconds of 1 to 9 fraction digits.
pub(crate) fn nanos(fraction: &str) -> Option<u32> {
    let value = number(fraction, 9)?;
    let missing = 9 - u32::try_from(fraction.len()).ok()?;
    Some(value * 10u32.pow(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noon_and_midnight_are_told_apart() {
        assert_eq!(datetime("1/1/1970, 12:00:00 AM"), Some(0));
        assert_eq!(datetime("01/01/1970, 12:00:00.5 PM"), Some(43_200_500));
        assert_eq!(
            datetime("11/14/2023, 10:13:20.000 PM"),
            Some(1_700_000_000_000)
        );
    }

    #[test]
    fn other_formats_are_refused() {
        for text in [
            "2023-11-14",
            "13/40/2023, 1:00:00 AM",
            "1/1/70, 1:00:00 AM",
            "1/1/1970, 0:00:00 AM",
            "1/1/1970, 1:00:00",
            "1/1/1970, 1:00:00. AM",
            "",
        ] {
            assert_eq!(datetime(text), None, "{text}");
        }
    }
}
