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
    /// SHA-256 of the token: tells one token's requests from another's.
    pub digest: [u8; 32],
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
    /// Lists of worlds.
    Look,
    /// Numbers about the whole store.
    Survey,
    Listen,
    /// Writes to several worlds, each judged besides.
    Batch,
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
    known: Vec<Identity>,
    reads_are_public: bool,
}

impl Tokens {
    /// The three tiers; without a read token everybody reads.
    pub fn new(read: Option<&str>, write: Option<&str>, approve: Option<&str>) -> Self {
        let tiers = [(read, Tier::Read), (write, Tier::Write), (approve, Tier::Approve)];
        let known = tiers.into_iter().filter_map(|(token, tier)| {
            let digest = Sha256::digest(token?).into();
            Some(Identity { tier, digest, ..Identity::default() })
        });
        Self { known: known.collect(), reads_are_public: read.is_none() }
    }

    /// These tokens and others, each with a name and a scope of its own.
    pub fn with(&self, scoped: impl IntoIterator<Item = Identity>) -> Self {
        let mut all = self.clone();
        all.known.extend(scoped);
        all
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
        self.known.iter().any(|known| known.tier == tier && known.scope.is_none())
    }

    /// Whose `Authorization` this is; anonymous when it is missing, malformed or unknown.
    pub fn identify(&self, authorization: Option<&[u8]>) -> Identity {
        let Some((token, ambient)) = authorization.and_then(presented) else {
            return Identity::default();
        };
        let digest: [u8; 32] = Sha256::digest(&token).into();
        Identity { ambient, ..self.find(&digest) }
    }

    /// Whom a token's digest belongs to now; anonymous when it is unknown or has expired.
    pub fn find(&self, digest: &[u8; 32]) -> Identity {
        // Every digest is compared, whatever the earlier ones gave.
        let mut found = Identity::default();
        for known in &self.known {
            let equal: bool = known.digest.ct_eq(digest).into();
            if equal && known.tier > found.tier {
                found = known.clone();
            }
        }
        let expired = found.expires.is_some_and(|end| SystemTime::now() >= end);
        if expired { Identity::default() } else { found }
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
            Action::Survey if who.scope.is_some() => {
                Err(Denied { known, why: "the token is for some worlds only" })
            }
            _ => Ok(()),
        }
    }

    fn needed(&self, what: Action<'_>) -> (Tier, &'static str) {
        let reader = if self.reads_are_public { Tier::Anonymous } else { Tier::Read };
        let write_why = "write requires token; system worlds need approve token";
        match what {
            Action::Read(_) | Action::Look | Action::Survey => (reader, "read requires read token"),
            Action::Listen => (reader, "listen requires read token"),
            Action::Write(path) if path.is_system() => (Tier::Approve, write_why),
            Action::Write(_) | Action::Batch => (Tier::Write, write_why),
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
            (Action::Survey, Tier::Read),
            (Action::Listen, Tier::Read),
            (Action::Batch, Tier::Write),
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

    #[test]
    fn a_scoped_token_has_only_its_worlds() {
        let scope = Some(Arc::new(Pattern::parse("home/sensor/b1/*").unwrap()));
        let digest = Sha256::digest("s").into();
        let board = Identity { tier: Tier::Write, digest, scope, ..Identity::default() };
        let tokens = tokens().with([board]);
        let who = tokens.identify(Some(b"Bearer s"));
        for (path, sees) in
            [("home/sensor/b1/t", true), ("home/sensor/b10/t", false), ("home/sensor/b1", false)]
        {
            let path = WorldPath::parse(path).unwrap();
            assert_eq!(tokens.may(&who, Action::Read(&path)).is_ok(), sees, "{path}");
            assert_eq!(tokens.may(&who, Action::Write(&path)).is_ok(), sees, "{path}");
            assert!(tokens.may(&who, Action::Delete(&path)).is_err());
        }
        assert!(tokens.may(&who, Action::Look).is_ok() && tokens.may(&who, Action::Listen).is_ok());
        assert!(tokens.may(&who, Action::Survey).is_err());
    }

    #[test]
    fn an_expired_token_is_unknown() {
        let digest = Sha256::digest("s").into();
        let expires = Some(SystemTime::UNIX_EPOCH);
        let old = Identity { tier: Tier::Write, digest, expires, ..Identity::default() };
        assert_eq!(tokens().with([old]).identify(Some(b"Bearer s")).tier, Tier::Anonymous);
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
