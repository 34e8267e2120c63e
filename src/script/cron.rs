//! When a job is due: robfig's cron syntax, seconds first, in UTC.
//!
//! In: the text of `jobs.schedule`. Out: the next moment after a given one. Never: a clock.
//! The `croner` crate reads the fields; a thin layer turns what only robfig allows into what it
//! reads: five fields (second 0 is put in front), `?` in every field, a step beyond the end of its
//! field (`*/60`), `@every 5s`, `@midnight`.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::time::Timestamp;

/// Longest schedule text that is read.
const MAX_TEXT: usize = 256;

/// Longest pause of `@every` (100 years): what is longer is a mistake.
const MAX_EVERY: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Lowest and highest value of each field: second, minute, hour, day of month, month, day of week.
const BOUNDS: [(u32, u32); 6] = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];

/// Names of the descriptors, each with its fields.
const DESCRIPTORS: &[(&str, &str)] = &[
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
];

/// A schedule that was read.
#[derive(Debug, Clone)]
pub(crate) enum Schedule {
    /// Six fields.
    Fields(Box<Cron>),
    /// A pause between two runs, whole seconds.
    Every(Duration),
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScheduleError {
    /// Neither five nor six fields.
    #[error(
        "the cron \"{0}\" has {1} fields, write six: second minute hour day-of-month month day-of-week"
    )]
    Fields(String, usize),
    /// A field that cannot be read.
    #[error("the cron \"{0}\" cannot be read: {1}")]
    Unreadable(String, String),
    /// `@every` without a usable duration, or an unknown descriptor.
    #[error("the cron \"{0}\" is no descriptor, write for example @hourly, @daily or @every 30s")]
    Descriptor(String),
}

impl Schedule {
    /// Reads a schedule.
    pub(crate) fn parse(text: &str) -> Result<Schedule, ScheduleError> {
        let text = text.trim();
        if text.len() > MAX_TEXT {
            let start: String = text.chars().take(40).collect();
            return Err(ScheduleError::Unreadable(start, "it is too long".into()));
        }
        let lower = text.to_ascii_lowercase();
        if lower.starts_with('@') {
            if let Some(pause) = lower.strip_prefix("@every ") {
                return go_duration(pause.trim())
                    .filter(|pause| *pause <= MAX_EVERY)
                    .map(|pause| Schedule::Every(Duration::from_secs(pause.as_secs().max(1))))
                    .ok_or_else(|| ScheduleError::Descriptor(text.into()));
            }
            let fields = DESCRIPTORS.iter().find(|(name, _)| *name == lower);
            let (_, fields) = fields.ok_or_else(|| ScheduleError::Descriptor(text.into()))?;
            return Schedule::fields(text, fields);
        }
        match text.split_whitespace().count() {
            5 => Schedule::fields(text, &format!("0 {text}")),
            6 => Schedule::fields(text, text),
            count => Err(ScheduleError::Fields(text.into(), count)),
        }
    }

    fn fields(text: &str, six: &str) -> Result<Schedule, ScheduleError> {
        let plain: Vec<String> = six
            .split_whitespace()
            .zip(BOUNDS)
            .map(|(field, bounds)| plain_field(field, bounds))
            .collect();
        let cron = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .build()
            .parse(&plain.join(" "))
            .map_err(|error| ScheduleError::Unreadable(text.into(), error.to_string()))?;
        Ok(Schedule::Fields(Box::new(cron)))
    }

    /// The first due moment after `after`, on a whole second; `None` when there is none any more.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Schedule::Every(pause) => Some(Timestamp::from_secs(after.secs(), 0) + *pause),
            Schedule::Fields(cron) => {
                let next = cron.find_next_occurrence(&after.utc(), false).ok()?;
                let next = Timestamp::from_secs(next.timestamp(), 0);
                (next > after).then_some(next)
            }
        }
    }
}

/// Rewrites one field into what croner reads.
fn plain_field(field: &str, (low, high): (u32, u32)) -> String {
    let parts: Vec<String> = field
        .split(',')
        .map(|part| {
            let part = part.replace('?', "*");
            let Some((range, step)) = part.split_once('/') else {
                return part;
            };
            let (start, end) = match range.split_once('-') {
                _ if range == "*" => (Some(low), Some(high)),
                Some((start, end)) => (start.parse().ok(), end.parse().ok()),
                // robfig: "N/step" means "N-max/step".
                None => (range.parse().ok(), Some(high)),
            };
            match (start, end, step.parse::<u32>()) {
                // A step beyond the end leaves the first value alone.
                (Some(start), Some(end), Ok(step)) if step > 0 && start <= end => {
                    if step > end - start {
                        start.to_string()
                    } else {
                        format!("{start}-{end}/{step}")
                    }
                }
                _ => part,
            }
        })
        .collect();
    parts.join(",")
}

/// Reads a Go duration (`1h30m`, `1.5s`, `300ms`).
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number
            * match rest.get(..unit)? {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = rest.get(unit..)?;
    }
    (total > 0.0)
        .then(|| Duration::try_from_secs_f64(total).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seconds from the start of 2024-02-03 (a Saturday) to the next runs.
    fn runs(text: &str, count: usize) -> Vec<i64> {
        let start = Timestamp::from_secs(1_706_918_400, 0);
        let schedule = Schedule::parse(text).unwrap_or_else(|error| panic!("{error}"));
        let mut at = start;
        (0..count)
            .map_while(|_| {
                at = schedule.next(at)?;
                Some(at.secs() - start.secs())
            })
            .collect()
    }

    #[test]
    fn seconds_stand_first() {
        assert_eq!(runs("*/20 * * * * *", 4), [20, 40, 60, 80]);
        assert_eq!(runs("20 * * * * *", 2), [20, 80]);
        assert_eq!(runs("0 0 * * * *", 2), [3600, 7200]);
        assert_eq!(runs("0 */5 * * * *", 2), [300, 600]);
        assert_eq!(runs("* * * * * *", 3), [1, 2, 3]);
    }

    #[test]
    fn five_fields_run_at_second_zero() {
        assert_eq!(runs("*/1 * * * *", 2), [60, 120]);
    }

    #[test]
    fn a_step_beyond_the_field_is_its_first_value() {
        assert_eq!(runs("*/60 * * * * *", 2), [60, 120]);
        assert_eq!(runs("0 */90 * * * *", 2), [3600, 7200]);
        assert_eq!(runs("10/100 * * * * *", 2), [10, 70]);
    }

    #[test]
    fn lists_ranges_and_names_are_read() {
        assert_eq!(runs("5,10-12 0 0 * * ?", 4), [5, 10, 11, 12]);
        assert_eq!(runs("50/5 * * * * *", 3), [50, 55, 110]);
        // The next Sunday, and the next first of March at six.
        assert_eq!(runs("0 0 0 * * SUN", 1), [86_400]);
        assert_eq!(runs("0 0 0 ? * sun", 1), [86_400]);
        assert_eq!(runs("0 0 6 1 mar *", 1), [27 * 86_400 + 6 * 3600]);
    }

    #[test]
    fn descriptors_are_read() {
        assert_eq!(runs("@hourly", 2), [3600, 7200]);
        assert_eq!(runs("@midnight", 1), [86_400]);
        assert_eq!(runs("@every 5s", 2), [5, 10]);
        assert_eq!(runs("@every 1h30m", 2), [5400, 10_800]);
        assert_eq!(runs("@every 300ms", 2), [1, 2]);
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for text in [
            "",
            "x",
            "* * *",
            "60 * * * * *",
            "@often",
            "@every",
            "* * * * * * *",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
        let error = Schedule::parse("* * *").unwrap_err().to_string();
        assert!(error.contains("has 3 fields"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[@*/0-9a-zA-Z,? LW#-]{0,40}") {
            if let Ok(schedule) = Schedule::parse(&text) {
                let at = Timestamp::from_secs(1_706_918_400, 5);
                if let Some(next) = schedule.next(at) {
                    prop_assert!(next > at);
                }
            }
        }
    }
}
