//! Quotas per prefix: what the bodies of all worlds under it may take together, in bytes.

use std::sync::Arc;

use super::judge::grows;
use super::rules::{Limit, pairs};
use super::{Head, Op, Refusal};
use crate::path::WorldPath;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What its worlds' paths begin with.
    pub prefix: String,
    pub bytes: u64,
}

/// All rules; each that fits a path holds.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Arc<[Quota]>);

/// What is used of each quota, in the order of the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares(pub Vec<u64>);

impl Quotas {
    /// From `PREFIX*=10MiB,…`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rule = |(pattern, limit): (crate::pattern::Pattern, &str)| {
            let prefix = pattern.prefix().filter(|prefix| prefix.contains('/'));
            match (prefix, Limit::parse(limit)?) {
                (Some(prefix), Limit::Bytes(bytes)) => Ok(Quota { prefix, bytes }),
                _ => Err(format!("a quota is PREFIX*=SIZE, as home/cam/*=500MiB; got {text:?}")),
            }
        };
        pairs(text)?.into_iter().map(rule).collect::<Result<_, _>>().map(Self)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Quota> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules that hold for a path, with their places.
    pub fn of<'a>(&'a self, path: &'a WorldPath) -> impl Iterator<Item = (usize, &'a Quota)> {
        let fits = |(_, quota): &(usize, &Quota)| path.as_str().starts_with(&quota.prefix);
        self.0.iter().enumerate().filter(fits)
    }

    /// Nothing is used yet.
    pub fn unused(&self) -> Shares {
        Shares(vec![0; self.0.len()])
    }

    /// A world's body had `old` bytes and has `new` ones now.
    pub fn count(&self, shares: &mut Shares, path: &WorldPath, old: u64, new: u64) {
        for (place, _) in self.of(path) {
            if let Some(used) = shares.0.get_mut(place) {
                *used = (*used + new).saturating_sub(old);
            }
        }
    }

    /// Judges an op against every quota that holds for its path.
    pub fn judge(
        &self,
        op: &Op,
        current: Option<&Head>,
        shares: &Shares,
        memory: bool,
    ) -> Result<(), Refusal> {
        let Some((old, new)) = grows(op, current) else { return Ok(()) };
        for (place, &Quota { bytes: quota, .. }) in self.of(&op.path) {
            let used = shares.0.get(place).copied().unwrap_or(0);
            let after = used - old.min(used) + new;
            if after > quota {
                return Err(full(used, quota, after, memory));
            }
        }
        Ok(())
    }
}

/// Memory and storage say different things when they are full; needed is what is missing.
pub fn full(used: u64, quota: u64, after: u64, memory: bool) -> Refusal {
    if memory {
        Refusal::MemoryFull { quota }
    } else {
        Refusal::StorageFull { used, quota, needed: after.saturating_sub(quota) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_rule_that_fits_counts() {
        let quotas = Quotas::parse("cam/*=1KiB, home/cam/front*=10B").unwrap();
        let path = |text| WorldPath::parse(text).unwrap();
        let places = |text| quotas.of(&path(text)).map(|(place, _)| place).collect::<Vec<_>>();
        assert_eq!(places("cam/front/1"), [0, 1]);
        assert_eq!(places("cam/back"), [0]);
        assert_eq!(places("camera"), [] as [usize; 0]);
        let mut shares = quotas.unused();
        quotas.count(&mut shares, &path("cam/front/1"), 0, 7);
        quotas.count(&mut shares, &path("cam/front/1"), 7, 9);
        assert_eq!(shares.0, [9, 9]);
    }

    #[test]
    fn what_is_no_prefix_or_size_is_refused() {
        for text in ["*=1B", "h*=1B", "home/a=1B", "home/*/x*=1B", "home/a/*=5", "home/a/*=5d"] {
            assert!(Quotas::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = Quotas::parse(&text);
        }
    }
}
