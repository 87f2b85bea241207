//! The audit chains, as pure functions: no storage, no clock.

pub mod anchor;
pub mod chain;
pub mod finding;
pub mod keys;
pub mod log;
pub mod version;
pub mod walk;
pub mod world;

use sha2::{Digest, Sha256};

use crate::store::Hash;

/// SHA-256 of all of `bytes`.
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}
