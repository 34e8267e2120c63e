//! When a recording is on: from a time of day, for so long, on so many days.
//!
//! In: what a recording says, when it was made, and the time. Out: whether it is on. Never: a clock.

use std::time::Duration;

use crate::time::Timestamp;

/// A day.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// When a recording is on.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Time of day at which it begins, in minutes of the UTC day; `None` is when it was made.
    pub start: Option<u32>,
    /// On how many days; 0 is every day.
    pub iterations: u32,
    /// How long each time; `None` is on from its start on.
    pub duration: Option<Duration>,
    /// Time after its making at which it ends for good.
    pub expiry: Option<Duration>,
}

/// Where a recording stands in its schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It begins, or begins again, at this time.
    Waiting(Timestamp),
    /// It is on; until this time when there is an end.
    On(Option<Timestamp>),
    /// It will not be on again.
    Ended,
}

impl Schedule {
    /// Where a recording made at `made` stands at `now`.
    pub fn phase(&self, made: Timestamp, now: Timestamp) -> Phase {
        let end = self.expiry.map(|expiry| made + expiry);
        if end.is_some_and(|end| now >= end) {
            return Phase::Ended;
        }
        let first = self.first(made);
        let Some(duration) = self.duration else {
            return match now < first {
                true => Phase::Waiting(first),
                false => Phase::On(end),
            };
        };
        let days = now.since(first).as_secs() / DAY.as_secs();
        let last = match self.iterations {
            0 => u64::MAX,
            count => u64::from(count) - 1,
        };
        if now < first {
            return Phase::Waiting(first);
        }
        let day = days.min(last);
        let begins = first + Duration::from_secs(day.saturating_mul(DAY.as_secs()));
        let until = begins + duration;
        if now < until {
            return Phase::On(Some(end.map_or(until, |end| end.min(until))));
        }
        match day < last {
            true => Phase::Waiting(begins + DAY),
            false => Phase::Ended,
        }
    }

    /// When it is on for the first time: also when it is made in the middle of that.
    fn first(&self, made: Timestamp) -> Timestamp {
        let Some(minutes) = self.start else {
            return made;
        };
        let day = DAY.as_secs().cast_signed();
        let today = made.secs().div_euclid(day) * day + i64::from(minutes) * 60;
        let today = Timestamp::from_secs(today, 0);
        let length = self.duration.unwrap_or(DAY);
        let yesterday = Timestamp::from_secs(today.secs() - day, 0);
        if made < today {
            match self.duration.is_some() && made < yesterday + length {
                true => yesterday,
                false => today,
            }
        } else if made < today + length {
            today
        } else {
            today + DAY
        }
    }
}

/// Minutes of the day in `HH:mm`; `None` when the text is none.
pub(super) fn time_of_day(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| (text.len() <= 2).then(|| text.parse::<u32>().ok())?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_700_049_600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(NOON + seconds, 0)
    }

    #[test]
    fn a_daily_hour_begins_and_ends_on_each_of_its_days() {
        let schedule = Schedule {
            start: time_of_day("13:00"),
            iterations: 2,
            duration: Some(Duration::from_secs(3600)),
            expiry: None,
        };
        let phase = |seconds| schedule.phase(at(0), at(seconds));
        assert_eq!(phase(0), Phase::Waiting(at(3600)));
        assert_eq!(phase(3600), Phase::On(Some(at(7200))));
        assert_eq!(phase(7200), Phase::Waiting(at(3600 + 86_400)));
        assert_eq!(phase(3601 + 86_400), Phase::On(Some(at(7200 + 86_400))));
        assert_eq!(phase(7200 + 86_400), Phase::Ended);
        assert_eq!(phase(10 * 86_400), Phase::Ended);
    }

    #[test]
    fn what_is_made_within_its_hour_is_on_at_once_and_expiry_ends_all() {
        let schedule = Schedule {
            start: time_of_day("11:30"),
            iterations: 0,
            duration: Some(Duration::from_secs(3600)),
            expiry: Some(Duration::from_secs(1000)),
        };
        assert_eq!(schedule.phase(at(0), at(0)), Phase::On(Some(at(1000))));
        assert_eq!(schedule.phase(at(0), at(1000)), Phase::Ended);
        let always = Schedule::default();
        assert_eq!(always.phase(at(0), at(86_400 * 400)), Phase::On(None));
        assert_eq!(time_of_day("24:00"), None);
        assert_eq!(time_of_day("9:05"), Some(545));
    }
}
