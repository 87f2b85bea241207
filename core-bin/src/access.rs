//! Who asks and what they may: tokens, tiers, scopes.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::path::WorldPath;
use crate::pattern::Pattern;

/// What a token is good for; a higher tier includes the lower ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    #[default]
    Anonymous,
    Read,
    Write,
    Approve,
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub tier: Tier,
    /// The name of a scoped token.
    pub name: Option<Arc<str>>,
    /// The only worlds that are there for this identity; None is all.
    pub scope: Option<Arc<Pattern>>,
    /// From then on the token is unknown.
    pub expires: Option<SystemTime>,
    /// Came as Basic, which a browser sends by itself, other sites' requests included.
    pub ambient: bool,
}

impl Identity {
    /// Whether this world is there for the identity at all.
    pub fn sees(&self, path: &WorldPath) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.matches(path))
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    Read(&'a WorldPath),
    /// Lists, usage and counters.
    Look,
    Listen,
    Write(&'a WorldPath),
    Delete(&'a WorldPath),
}

/// Why something is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The token is known, but not good for this: 403 instead of 401.
    pub known: bool,
    pub why: &'static str,
}

/// All tokens that are known, as digests.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    known: Vec<Known>,
    reads_are_public: bool,
}

#[derive(Clone, Debug)]
struct Known {
    digest: [u8; 32],
    identity: Identity,
}

impl Tokens {
    /// The three tiers; without a read token everybody reads.
    pub fn new(read: Option<&str>, write: Option<&str>, approve: Option<&str>) -> Self {
        let tiers = [(read, Tier::Read), (write, Tier::Write), (approve, Tier::Approve)];
        let known = tiers.into_iter().filter_map(|(token, tier)| {
            let digest = Sha256::digest(token?).into();
            Some(Known { digest, identity: Identity { tier, ..Identity::default() } })
        });
        Self { known: known.collect(), reads_are_public: read.is_none() }
    }

    pub fn has_read(&self) -> bool {
        !self.reads_are_public
    }

    pub fn has_write(&self) -> bool {
        self.has(Tier::Write)
    }

    pub fn has_approve(&self) -> bool {
        self.has(Tier::Approve)
    }

    fn has(&self, tier: Tier) -> bool {
        self.known.iter().any(|known| known.identity.tier == tier)
    }

    /// Whose `Authorization` this is; anonymous when it is missing, malformed or unknown.
    pub fn identify(&self, authorization: Option<&[u8]>) -> Identity {
        let Some((token, ambient)) = authorization.and_then(presented) else {
            return Identity::default();
        };
        let digest: [u8; 32] = Sha256::digest(&token).into();
        // Every digest is compared, whatever the earlier ones gave.
        let mut found = Identity::default();
        for known in &self.known {
            let equal: bool = known.digest.ct_eq(&digest).into();
            if equal && known.identity.tier > found.tier {
                found = known.identity.clone();
            }
        }
        if found.expires.is_some_and(|end| SystemTime::now() >= end) {
            return Identity::default();
        }
        found.ambient = ambient;
        found
    }

    /// Whether `who` may do `what`.
    pub fn may(&self, who: &Identity, what: Action<'_>) -> Result<(), Denied> {
        let (needed, why) = self.needed(what);
        let known = who.tier > Tier::Anonymous;
        if who.tier < needed {
            return Err(Denied { known, why });
        }
        match what {
            Action::Delete(path) if path.is_ledger() => {
                Err(Denied { known, why: "delete ledger is append-only" })
            }
            Action::Read(path) | Action::Write(path) | Action::Delete(path) if !who.sees(path) => {
                Err(Denied { known, why: "the token is for other worlds" })
            }
            _ => Ok(()),
        }
    }

    fn needed(&self, what: Action<'_>) -> (Tier, &'static str) {
        let reader = if self.reads_are_public { Tier::Anonymous } else { Tier::Read };
        let write_why = "write requires token; system worlds need approve token";
        match what {
            Action::Read(_) | Action::Look => (reader, "read requires read token"),
            Action::Listen => (reader, "listen requires read token"),
            Action::Write(path) if path.is_system() => (Tier::Approve, write_why),
            Action::Write(_) => (Tier::Write, write_why),
            Action::Delete(_) => {
                (Tier::Approve, "delete requires token; system worlds need approve token")
            }
        }
    }
}

/// The token within an `Authorization` value, and whether it is ambient (Basic).
fn presented(value: &[u8]) -> Option<(Vec<u8>, bool)> {
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at(at);
    let token = rest.trim_ascii_start();
    if token.is_empty() {
        return None;
    }
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some((token.to_vec(), false));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = STANDARD.decode(token).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some((pair[colon + 1..].to_vec(), true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens() -> Tokens {
        Tokens::new(Some("r"), Some("w"), Some("a"))
    }

    #[test]
    fn authorization_in_all_its_forms() {
        let table: [(&[u8], Tier); 12] = [
            (b"Bearer w", Tier::Write),
            (b"bEaReR   w", Tier::Write),
            (b"Basic Onc=", Tier::Write),
            (b"basic dTp3", Tier::Write),
            (b"Basic dw==", Tier::Anonymous),
            (b"Basic %%%", Tier::Anonymous),
            (b"Bearer", Tier::Anonymous),
            (b"Bearer ", Tier::Anonymous),
            (b"Bearerw", Tier::Anonymous),
            (b"Digest w", Tier::Anonymous),
            (b"Bearer ww", Tier::Anonymous),
            (b"Bearer a", Tier::Approve),
        ];
        for (value, tier) in table {
            assert_eq!(tokens().identify(Some(value)).tier, tier, "{value:?}");
        }
        assert!(tokens().identify(Some(b"Basic Onc=")).ambient);
        let same = Tokens::new(Some("x"), Some("x"), None);
        assert_eq!(same.identify(Some(b"Bearer x")).tier, Tier::Write);
    }

    /// core.md §2.4, cell by cell.
    #[test]
    fn the_table_of_tiers() {
        let world = |text| WorldPath::parse(text).unwrap();
        let (home, tmp, var) = (world("home/a"), world("tmp/a"), world("var/a"));
        let (etc, log, ledger) = (world("etc/a"), world("var/log/a"), WorldPath::ledger());
        let below = world("var/log/deletes/y");
        let table = [
            (Action::Read(&home), Tier::Read),
            (Action::Look, Tier::Read),
            (Action::Listen, Tier::Read),
            (Action::Write(&home), Tier::Write),
            (Action::Write(&tmp), Tier::Write),
            (Action::Write(&var), Tier::Write),
            (Action::Write(&etc), Tier::Approve),
            (Action::Write(&log), Tier::Approve),
            (Action::Write(&ledger), Tier::Approve),
            (Action::Delete(&home), Tier::Approve),
            (Action::Delete(&tmp), Tier::Approve),
            (Action::Delete(&below), Tier::Approve),
        ];
        for (action, needed) in table {
            for tier in [Tier::Anonymous, Tier::Read, Tier::Write, Tier::Approve] {
                let who = Identity { tier, ..Identity::default() };
                let denied = tokens().may(&who, action).err();
                assert_eq!(denied.is_none(), tier >= needed, "{action:?} {tier:?}");
                assert!(denied.is_none_or(|d| d.known == (tier > Tier::Anonymous)));
            }
        }
        let root = Identity { tier: Tier::Approve, ..Identity::default() };
        assert!(tokens().may(&root, Action::Delete(&ledger)).is_err());
        let nobody = Identity::default();
        let public = Tokens::new(None, None, Some("a"));
        assert!(public.may(&nobody, Action::Read(&home)).is_ok());
        assert!(public.may(&nobody, Action::Write(&home)).is_err());
    }

    proptest! {
        #[test]
        fn no_authorization_panics(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = tokens().identify(Some(&value));
        }

        #[test]
        fn no_other_token_passes(token in "[a-z]{2,9}") {
            let value = format!("Bearer {token}");
            prop_assert_eq!(tokens().identify(Some(value.as_bytes())).tier, Tier::Anonymous);
        }
    }
}
