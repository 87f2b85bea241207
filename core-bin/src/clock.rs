//! Times as text: RFC 3339 for the wires, SQLite's form for chains that came from 8.x.

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
    let micros = parse_rfc3339(&format!("{text}Z"))?;
    (sql(micros) == text).then_some(micros)
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

/// Microseconds since 1970 of `2026-11-20T10:00:00Z`, with or without a fraction and an offset of
/// hours and minutes; none for anything else.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let digits =
        rest.strip_prefix('.').map_or(0, |r| r.bytes().take_while(u8::is_ascii_digit).count());
    let (fraction, offset) = if digits > 0 { rest.split_at(1 + digits) } else { ("", rest) };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let real = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60;
    if !real || second > 60 || civil(days(year, month, day)) != (year, month, day) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let micros =
        fraction.get(1..).unwrap_or_default().bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = micros.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((seconds - offset_seconds(offset)?) * 1_000_000 + micros)
}

fn offset_seconds(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let [hours, minutes] = numbers(&text[1..], ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Exactly `N` numbers of so many digits each.
fn numbers<const N: usize>(text: &str, between: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut out = [0; N];
    let mut parts = text.split(between);
    for (number, width) in out.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == width)?;
        *number = part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(out)
}

/// The day since 1970: the other direction of `civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-11-20",
            "2026-02-30T00:00:00Z",
            "2026-11-20T10:00:00",
            "2026-11-20T25:00:00Z",
            "2026-11-20T10:00:00+1",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
        let hour = parse_rfc3339("2026-11-20T10:00:00+01:00");
        assert_eq!(hour, parse_rfc3339("2026-11-20T09:00:00.000Z"));
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
        fn times_round_trip(micros in -62_000_000_000_000_000_i64..200_000_000_000_000_000) {
            prop_assert_eq!(parse_rfc3339(&rfc3339(micros)), Some(micros));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = parse_rfc3339(&text);
        }
    }
}
