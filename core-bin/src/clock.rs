//! Times as text: RFC 3339 for people, SQLite's form for chains that came from 8.x.

/// Microseconds since 1970 as `2026-01-02T03:04:05.000006Z`.
pub fn rfc3339(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
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
    let (date, time) = text.split_once(' ')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let micros = seconds.checked_mul(1_000_000)?;
    // What does not come back as it was written is not in this form, or no such time exists.
    (sql(micros) == text).then_some(micros)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse::<u32>().ok().map(i64::from));
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(found)
}

/// Days since 1970, the inverse of `civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_that_are_known() {
        for (micros, text) in [
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_735_689_599_999_999, "2024-12-31T23:59:59.999999Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(rfc3339(micros), text);
        }
        assert_eq!(from_sql("2000-02-29 00:00:00"), Some(951_782_400_000_000));
        for text in ["2001-02-29 00:00:00", "2001-2-03 00:00:00", "2001-02-03T00:00:00", "now", ""]
        {
            assert_eq!(from_sql(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_time_panics(micros in any::<i64>()) {
            rfc3339(micros);
        }

        #[test]
        fn seconds_of_four_digit_years_round_trip(seconds in -62_135_596_800_i64..253_402_300_800) {
            prop_assert_eq!(from_sql(&sql(seconds * 1_000_000)), Some(seconds * 1_000_000));
        }

        #[test]
        fn no_text_panics(text in "[-0-9: ]{0,24}") {
            let _ = from_sql(&text);
        }
    }
}
