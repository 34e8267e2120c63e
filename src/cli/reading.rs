//! What commands that read much of an archive share: time ranges, and asking before a large read.

use std::io::{BufRead, IsTerminal, Write};

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use clap::Args;

use super::exit::Failure;
use super::recordings::size;
use crate::investigate::{Opened, Span};
use crate::time::{Clock, SystemClock, Timestamp};
use crate::units;

/// A time range: from, and to without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment behind it.
    pub to: Timestamp,
}

impl Range {
    /// All of time.
    pub const ALL: Range = Range {
        from: Timestamp::from_nanos(i64::MIN),
        to: Timestamp::from_nanos(i64::MAX),
    };

    /// Whether a moment lies in it.
    pub fn has(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    /// The same for whoever asks an archive by its indexes.
    pub fn span(&self) -> Span {
        let last = self.to.nanos().saturating_sub(1);
        Span {
            from: (self.from != Range::ALL.from).then_some(self.from),
            to: (self.to != Range::ALL.to).then_some(Timestamp::from_nanos(last)),
        }
    }

    /// Reads `FROM..TO`, each a time or nothing; `now` is what times ago are counted from.
    ///
    /// # Errors
    /// One sentence, when a part is no time or the range is empty.
    pub fn parse(text: &str, now: Timestamp) -> Result<Range, String> {
        let Some((from, to)) = text.split_once("..") else {
            return Err(format!(
                "{text} is no range; write FROM..TO, as 2023-11-14T22:00:00Z..2023-11-14T23:00:00Z"
            ));
        };
        let end = |text: &str, otherwise| match text.trim() {
            "" => Ok(otherwise),
            text => moment(text, now),
        };
        Range {
            from: end(from, Range::ALL.from)?,
            to: end(to, Range::ALL.to)?,
        }
        .checked()
    }

    fn checked(self) -> Result<Range, String> {
        match self.from < self.to {
            true => Ok(self),
            false => Err("the range ends before it begins".to_owned()),
        }
    }
}

/// A time as people write it: RFC 3339, a date with or without a time in UTC, Unix seconds, or how
/// long before `now`, as `1h`.
///
/// # Errors
/// One sentence, when it is none of these.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        if (0.0..9e9).contains(&seconds) {
            return Ok(Timestamp::from_nanos((seconds * 1e9) as i64));
        }
    } else if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return at
            .timestamp_nanos_opt()
            .map(Timestamp::from_nanos)
            .ok_or_else(|| far(text));
    } else if let Some(ago) = units::duration(text) {
        return Ok(now - ago);
    }
    let forms = [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ];
    let naive = forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(|| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()?
                .and_hms_opt(0, 0, 0)
        });
    match naive {
        Some(at) => at
            .and_utc()
            .timestamp_nanos_opt()
            .map(Timestamp::from_nanos)
            .ok_or_else(|| far(text)),
        None => Err(format!(
            "{text} is no time; write 2023-11-14T22:00:00Z, 2023-11-14 22:00, Unix seconds, or a time \
             ago such as 1h"
        )),
    }
}

fn far(text: &str) -> String {
    format!("{text} is too far away")
}

/// A part of the source's time.
#[derive(Debug, Clone, Default, Args)]
pub struct RangeArgs {
    /// From this time on: RFC 3339, a date and time in UTC, Unix seconds, or how long ago, as 1h
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,

    /// Up to this time, without it
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

impl RangeArgs {
    /// Whether either end is given.
    pub fn is_given(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// The range.
    ///
    /// # Errors
    /// When an end is no time, or the range is empty.
    pub fn range(&self) -> Result<Range, Failure> {
        let now = SystemClock.now();
        let end = |text: &Option<String>, flag: &str, otherwise| match text {
            None => Ok(otherwise),
            Some(text) => {
                moment(text, now).map_err(|why| Failure::usage(format!("--{flag}: {why}")))
            }
        };
        Range {
            from: end(&self.from, "from", Range::ALL.from)?,
            to: end(&self.to, "to", Range::ALL.to)?,
        }
        .checked()
        .map_err(|why| Failure::usage(format!("--from and --to: {why}")))
    }
}

/// What is read without asking unless told otherwise.
const MAX_READ: &str = "10Gi";

/// How much may be read without asking.
#[derive(Debug, Clone, Args)]
pub struct MaxReadArgs {
    /// Ask before more than this is read
    #[arg(long, value_name = "SIZE", default_value = MAX_READ, value_parser = quantity)]
    max_read: String,

    /// Read without asking
    #[arg(long)]
    yes: bool,
}

/// A size, as it is written.
fn quantity(text: &str) -> Result<String, String> {
    match units::quantity(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write a size such as 10Gi".to_owned()),
    }
}

impl Default for MaxReadArgs {
    fn default() -> MaxReadArgs {
        MaxReadArgs {
            max_read: MAX_READ.to_owned(),
            yes: false,
        }
    }
}

impl MaxReadArgs {
    /// Says how much will be read, and asks when it is more than allowed.
    ///
    /// # Errors
    /// When it is more and nobody is there to be asked, or the answer is no.
    pub fn announce(&self, opened: &Opened, times: u64) -> Result<(), Failure> {
        let most = units::quantity(&self.max_read).unwrap_or(u64::MAX);
        let Some(bytes) = opened.bytes.map(|bytes| bytes.saturating_mul(times)) else {
            eprintln!("Reading standard input");
            return Ok(());
        };
        eprintln!("Reading {}, {}", objects(opened), size(bytes));
        if bytes <= most || self.yes {
            return Ok(());
        }
        let more = format!("{} is more than --max-read {}", size(bytes), self.max_read);
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Err(Failure::usage(format!("{more}; raise it, or say --yes")));
        }
        eprint!("{more}; read it all? [y/N] ");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        input.lock().read_line(&mut answer)?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::usage("nothing was read")),
        }
    }
}

/// `1 object`, `3 of 40 objects`.
fn objects(opened: &Opened) -> String {
    let all = opened.objects + opened.left_out;
    let noun = if all == 1 { "object" } else { "objects" };
    match opened.left_out {
        0 => format!("{all} {noun}"),
        _ => format!("{} of {all} {noun}", opened.objects),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn spans_hold_what_ranges_hold() {
        let range = Range::parse("100..200", Timestamp::default()).unwrap();
        let at = |second| Timestamp::from_secs(second, 0);
        for moment in [at(99), at(100), at(199), at(200)] {
            assert_eq!(range.span().contains(moment), range.has(moment));
        }
        assert_eq!(Range::ALL.span(), Span::default());
    }

    #[test]
    fn times_and_ranges_are_read_as_people_write_them() {
        let at = Timestamp::from_secs(1_700_000_000, 0);
        let now = Timestamp::from_secs(1_700_003_600, 0);
        let moment = |text| moment(text, now);
        let parse = |text| Range::parse(text, now);
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14 22:13:20",
            "1700000000",
            "2023-11-14T23:13:20+01:00",
            "1h",
            "60m",
        ] {
            assert_eq!(moment(text), Ok(at), "{text}");
        }
        assert_eq!(
            moment("2023-11-14"),
            Ok(Timestamp::from_secs(1_699_920_000, 0))
        );
        assert!(moment("yesterday").unwrap_err().contains("is no time"));
        let range = parse("2023-11-14..2023-11-15").unwrap();
        assert!(range.has(at) && !range.has(range.to));
        assert!(parse("..2023-11-15").unwrap().has(Timestamp::default()));
        assert!(parse("2h..1h").unwrap().has(at - Duration::from_secs(1)));
        assert!(parse("2023-11-15..2023-11-14").is_err());
        assert!(parse("2023-11-15").unwrap_err().contains("FROM..TO"));
    }
}
