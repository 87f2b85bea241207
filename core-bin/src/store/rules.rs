//! What is kept of old bodies, how long worlds live, and what they may take, by pattern.

use super::quota::Quotas;
use crate::path::WorldPath;
use crate::pattern::Pattern;

/// The header by which a PUT gives its world a lifetime, in whole seconds.
pub const LIFETIME_HEADER: &str = "x-elastik-ttl";

const SECOND_US: i64 = 1_000_000;

/// All rules; empty ones change nothing.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    history: Vec<(Pattern, Limit)>,
    lifetime: Vec<(Pattern, i64)>,
    pub quotas: Quotas,
    /// What all kept versions may take, in bytes.
    pub max_history: Option<u64>,
    /// How many rows of the log are kept.
    pub max_log: Option<u64>,
}

/// One bound on what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Versions(u64),
    AgeUs(i64),
    Bytes(u64),
}

/// What is kept of a world's old bodies; all bounds hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    pub versions: Option<u64>,
    /// Counted from when the version was replaced, in microseconds.
    pub age_us: Option<i64>,
    pub bytes: Option<u64>,
}

impl Rules {
    /// From `PATTERN=LIMIT,…`: for history `20` (versions), `30d` (age) or `10MiB`; for lifetimes
    /// an age.
    pub fn parse(history: &str, lifetime: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for (pattern, limit) in pairs(history)? {
            rules.history.push((pattern, Limit::parse(limit)?));
        }
        for (pattern, limit) in pairs(lifetime)? {
            match Limit::parse(limit)? {
                Limit::AgeUs(age) if age > 0 => rules.lifetime.push((pattern, age)),
                _ => return Err(format!("{limit:?} is not a time such as 90s, 12h or 30d")),
            }
        }
        Ok(rules)
    }

    /// The same rules, and quotas from `PREFIX*=LIMIT,…`.
    pub fn with_quotas(self, text: &str) -> Result<Self, String> {
        Ok(Self { quotas: Quotas::parse(text)?, ..self })
    }

    /// What is kept of this world's old bodies; none when nothing is.
    pub fn history(&self, path: &WorldPath) -> Option<Keep> {
        let mut keep = None;
        for (_, limit) in self.history.iter().filter(|(pattern, _)| pattern.matches(path)) {
            let keep = keep.get_or_insert_with(Keep::default);
            match *limit {
                Limit::Versions(count) => keep.versions = least(keep.versions, count),
                Limit::AgeUs(age) => keep.age_us = least(keep.age_us, age),
                Limit::Bytes(bytes) => keep.bytes = least(keep.bytes, bytes),
            }
        }
        keep
    }

    /// When a world that is put now goes away: by its own header, else by the first rule that fits.
    pub fn expiry(
        &self,
        path: &WorldPath,
        headers: &[(String, String)],
        now_us: i64,
    ) -> Option<i64> {
        let own = headers.iter().find(|(name, _)| name == LIFETIME_HEADER);
        let own = own.and_then(|(_, value)| value.trim().parse::<u32>().ok());
        let by_rule = || self.lifetime.iter().find(|(pattern, _)| pattern.matches(path));
        let lifetime = match own {
            Some(seconds) => i64::from(seconds) * SECOND_US,
            None => by_rule()?.1,
        };
        Some(now_us.saturating_add(lifetime))
    }
}

fn least<T: Ord + Copy>(old: Option<T>, new: T) -> Option<T> {
    Some(old.map_or(new, |old| old.min(new)))
}

pub(super) fn pairs(text: &str) -> Result<Vec<(Pattern, &str)>, String> {
    let rules = text.split(',').map(str::trim).filter(|rule| !rule.is_empty());
    rules
        .map(|rule| {
            let (pattern, limit) =
                rule.rsplit_once('=').ok_or_else(|| format!("{rule:?} is not PATTERN=LIMIT"))?;
            let pattern = Pattern::parse(pattern)
                .map_err(|why| format!("{pattern:?} is not a pattern: {}", why.text()))?;
            Ok((pattern, limit))
        })
        .collect()
}

impl Limit {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(at);
        let wrong = || format!("{text:?} is not a limit such as 20, 30d or 10MiB");
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let times = |factor: u64| number.checked_mul(factor).filter(|n| *n <= i64::MAX as u64 / 2);
        let age = |seconds: u64| times(seconds * SECOND_US as u64).map(|us| Self::AgeUs(us as i64));
        match unit {
            "" => Some(Self::Versions(number)),
            "s" => age(1),
            "m" => age(60),
            "h" => age(3600),
            "d" => age(86_400),
            "B" => Some(Self::Bytes(number)),
            "KiB" => times(1 << 10).map(Self::Bytes),
            "MiB" => times(1 << 20).map(Self::Bytes),
            "GiB" => times(1 << 30).map(Self::Bytes),
            _ => None,
        }
        .ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> WorldPath {
        WorldPath::parse(text).unwrap()
    }

    #[test]
    fn the_strictest_of_all_that_fit_holds() {
        let rules = Rules::parse("home/n/*=20, n/a/*=30d,home/n/*=5, home/n/*=2KiB", "").unwrap();
        let keep = rules.history(&path("n/a/b")).unwrap();
        assert_eq!((keep.versions, keep.bytes), (Some(5), Some(2048)));
        assert_eq!(keep.age_us, Some(30 * 86_400 * SECOND_US));
        assert_eq!(rules.history(&path("n/b")).unwrap().age_us, None);
        assert_eq!(rules.history(&path("m")), None);
    }

    #[test]
    fn a_worlds_own_lifetime_goes_before_the_rules() {
        let rules = Rules::parse("", "tmp/*=1h").unwrap();
        let own = [(LIFETIME_HEADER.to_owned(), "5".to_owned())];
        assert_eq!(rules.expiry(&path("tmp/a"), &[], 0), Some(3600 * SECOND_US));
        assert_eq!(rules.expiry(&path("tmp/a"), &own, 7), Some(5 * SECOND_US + 7));
        assert_eq!(rules.expiry(&path("home/a"), &[], 0), None);
    }

    #[test]
    fn what_is_no_rule_is_refused_by_name() {
        for (history, lifetime) in [("home/*", ""), ("a*=x", ""), ("a*=5y", ""), ("", "a*=5")] {
            assert!(Rules::parse(history, lifetime).is_err(), "{history:?} {lifetime:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = Rules::parse(&text, &text);
        }
    }
}
