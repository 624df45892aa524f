//! Time as a number: nothing here reads a clock.

use std::fmt;
use std::time::Duration;

/// An instant in UTC, in milliseconds since 1970-01-01T00:00:00Z (negative before it).
///
/// All arithmetic saturates, so that a peer's year 9999 or an overflowing delta is just a far instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 9999-12-31T23:59:59.999Z: the last instant that every date format of MM4 can write.
    pub const MAX: Self = Self(253_402_300_799_999);
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The instant `millis` milliseconds after the epoch, clamped to what date formats can write
    /// (the years 1 to 9999).
    pub const fn from_millis(millis: i64) -> Self {
        const MIN: i64 = -62_135_596_800_000;
        if millis > Self::MAX.0 {
            Self::MAX
        } else if millis < MIN {
            Self(MIN)
        } else {
            Self(millis)
        }
    }

    /// The instant `seconds` seconds after the epoch, clamped like [`Timestamp::from_millis`].
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant plus `span`; saturates at [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This instant minus `span`; saturates at the year 1.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this instant is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The civil date and time in UTC: year, month 1-12, day 1-31, hour, minute, second.
    pub fn civil(self) -> (i32, u32, u32, u32, u32, u32) {
        // Days to civil date on the proleptic Gregorian calendar, counted in 400-year eras from 0000-03-01.
        let seconds = self.seconds();
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (
            year as i32,
            month as u32,
            day as u32,
            (rest / 3600) as u32,
            (rest / 60 % 60) as u32,
            (rest % 60) as u32,
        )
    }

    /// The instant of a civil date and time in UTC, or `None` when there is no such date.
    /// A second of 60 (a leap second, RFC 5322 3.3) counts as 59.
    pub fn from_civil(year: i32, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let longest = match month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u32::from(leap),
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=9999).contains(&year) || !(1..=longest).contains(&day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let shifted_year = i64::from(year) - i64::from(month <= 2);
        let era = shifted_year.div_euclid(400);
        let year_of_era = shifted_year.rem_euclid(400);
        let shifted_month = i64::from(if month > 2 { month - 3 } else { month + 9 });
        let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let of_day = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second.min(59));
        Some(Self::from_seconds(days * 86_400 + of_day))
    }

    /// Day of the week, 0 = Sunday.
    pub fn weekday(self) -> usize {
        (self.seconds().div_euclid(86_400) + 4).rem_euclid(7) as usize
    }
}

/// RFC 3339 in UTC with milliseconds, the form of logs and JSON: `2026-03-04T10:15:30.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        let millis = self.0.rem_euclid(1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        let march = Timestamp::from_civil(2025, 3, 4, 10, 15, 30).unwrap();
        assert_eq!(march.seconds(), 1_741_083_330);
        assert_eq!(march.weekday(), 2, "a Tuesday");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_civil(2025, 2, 29, 0, 0, 0), None);
        assert_eq!(Timestamp::from_millis(i64::MAX), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn civil_and_back(millis in -62_135_596_800_000i64..=253_402_300_799_999) {
            let at = Timestamp::from_millis(millis);
            let (y, mo, d, h, mi, s) = at.civil();
            prop_assert_eq!(Timestamp::from_civil(y, mo, d, h, mi, s).unwrap().seconds(), at.seconds());
        }

        #[test]
        fn no_arithmetic_overflows(a in any::<i64>(), span in any::<u64>()) {
            let at = Timestamp::from_millis(a);
            let span = Duration::from_millis(span);
            prop_assert!(at.plus(span) >= at);
            prop_assert!(at.minus(span) <= at);
        }
    }
}
