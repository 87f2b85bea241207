//! Times in RFC 3339's form, and as microseconds since 1970.

use toml::value::{Datetime, Offset};

/// Microseconds since 1970 as `2026-01-02T03:04:05.000006Z`.
pub fn rfc3339(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// Year, month and day of a day since 1970, in eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// Microseconds since 1970 as `2026-01-02 03:04:05`, the timestamp of an 8.x event.
pub fn sql(micros: i64) -> String {
    let text = rfc3339(micros);
    match text.split_once('.') {
        Some((seconds, _)) => seconds.replace('T', " "),
        None => text,
    }
}

/// Reads `2026-01-02 03:04:05`; none for any other form, and for days that are none.
pub fn from_sql(text: &str) -> Option<i64> {
    let micros = parse(&format!("{text}Z"))?;
    (sql(micros) == text).then_some(micros)
}

/// Microseconds since 1970; None when the text is no time, or has no offset.
pub fn parse(text: &str) -> Option<i64> {
    text.parse().ok().as_ref().and_then(micros)
}

/// The instant that a date, a time and an offset name together.
pub fn micros(time: &Datetime) -> Option<i64> {
    let (date, clock) = (time.date?, time.time?);
    let minutes = match time.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let minute = i64::from(clock.hour) * 60 + i64::from(clock.minute) - minutes;
    let seconds = days * 86_400 + minute * 60 + i64::from(clock.second.unwrap_or_default());
    Some(seconds * 1_000_000 + i64::from(clock.nanosecond.unwrap_or_default() / 1000))
}

/// Days from 1970-01-01, in years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_that_are_read() {
        let table = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T01:00:00.25+01:00", Some(951_782_400_250_000)),
            ("1969-12-31T23:59:59Z", Some(-1_000_000)),
            ("2000-02-29T00:00:00", None),
            ("2000-02-29", None),
            ("yesterday", None),
        ];
        for (text, micros) in table {
            assert_eq!(parse(text), micros, "{text}");
        }
    }

    #[test]
    fn times_that_are_written() {
        for (micros, text) in [
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_735_689_599_999_999, "2024-12-31T23:59:59.999999Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(rfc3339(micros), text);
        }
    }

    #[test]
    fn the_timestamps_of_8_x_come_back_as_they_were() {
        assert_eq!(from_sql("2000-02-29 00:00:00"), Some(951_782_400_000_000));
        assert_eq!(sql(951_782_400_000_000), "2000-02-29 00:00:00");
        for text in ["2001-02-29 00:00:00", "2001-2-03 00:00:00", "2001-02-03T00:00:00", ""] {
            assert_eq!(from_sql(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9TZ:.+-]{0,30}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_can_be_read(micros in 0..4_000_000_000_000_000i64) {
            prop_assert_eq!(parse(&rfc3339(micros)), Some(micros));
        }

        #[test]
        fn no_time_panics(micros in any::<i64>()) {
            rfc3339(micros);
        }
    }
}
