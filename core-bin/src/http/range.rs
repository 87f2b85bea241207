//! Byte ranges (RFC 9110 §14).

/// More parts than this, or parts that overlap to more than the whole, are not worth answering.
const MAX_PARTS: usize = 64;

/// What a `Range` header asks of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// No range, or one to be ignored.
    Whole,
    /// `from..to` each, in the order asked for; at least one, none of them empty.
    Parts(Vec<(u64, u64)>),
    Unsatisfiable,
}

/// Reads a `Range` value for a body of `size` bytes. What is malformed or of another unit is
/// ignored, as §14.2 says.
pub fn parse(value: &str, size: u64) -> Ranges {
    let Some((unit, set)) = value.split_once('=') else { return Ranges::Whole };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut parts = Vec::new();
    let mut any = false;
    for spec in set.split(',').map(|spec| spec.trim_matches([' ', '\t'])) {
        // The list rule allows empty elements (§5.6.1).
        if spec.is_empty() {
            continue;
        }
        any = true;
        match part(spec, size) {
            Some(Some(range)) => parts.push(range),
            Some(None) => {}
            None => return Ranges::Whole,
        }
        if parts.len() > MAX_PARTS {
            return Ranges::Whole;
        }
    }
    match parts.len() {
        0 if any => Ranges::Unsatisfiable,
        0 => Ranges::Whole,
        1 => Ranges::Parts(parts),
        _ if parts.iter().map(|(from, to)| to - from).sum::<u64>() > size => Ranges::Whole,
        _ => Ranges::Parts(parts),
    }
}

/// One spec: `None` is malformed, `Some(None)` is beyond the body.
fn part(spec: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let length = number(last)?.min(size);
        return Some((length > 0).then(|| (size - length, size)));
    }
    let first = number(first)?;
    let end = match last {
        "" => size,
        _ => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(size)
        }
    };
    Some((first < size).then_some((first, end)))
}

/// Digits; what does not fit is as large as can be.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_of_ranges() {
        let one = |from, to| Ranges::Parts(vec![(from, to)]);
        let table = [
            ("bytes=0-3", one(0, 4)),
            ("Bytes=0-3", one(0, 4)),
            ("bytes=2-", one(2, 10)),
            ("bytes=-3", one(7, 10)),
            ("bytes=-99", one(0, 10)),
            ("bytes=5-99", one(5, 10)),
            ("bytes=0-99999999999999999999", one(0, 10)),
            ("bytes=9-9", one(9, 10)),
            ("bytes= 0-1 , ,8-", Ranges::Parts(vec![(0, 2), (8, 10)])),
            ("bytes=0-1,20-", one(0, 2)),
            ("bytes=0-9,0-9", Ranges::Whole),
            ("bytes=10-", Ranges::Unsatisfiable),
            ("bytes=-0", Ranges::Unsatisfiable),
            ("bytes=99999999999999999999-", Ranges::Unsatisfiable),
            ("bytes=5-2", Ranges::Whole),
            ("bytes=+1-2", Ranges::Whole),
            ("bytes=1", Ranges::Whole),
            ("bytes=-", Ranges::Whole),
            ("bytes=", Ranges::Whole),
            ("bytes", Ranges::Whole),
            ("items=0-1", Ranges::Whole),
            ("bytes=0-1,x", Ranges::Whole),
        ];
        for (value, ranges) in table {
            assert_eq!(parse(value, 10), ranges, "{value}");
        }
        assert_eq!(parse("bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(parse("bytes=-5", 0), Ranges::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn no_value_panics(value in "\\PC{0,30}", size in any::<u64>()) {
            let _ = parse(&value, size);
        }

        #[test]
        fn parts_lie_within_the_body(set in "bytes=[0-9,-]{0,20}", size in 0..200u64) {
            if let Ranges::Parts(parts) = parse(&set, size) {
                for (from, to) in parts {
                    prop_assert!(from < to && to <= size);
                }
            }
        }
    }
}
