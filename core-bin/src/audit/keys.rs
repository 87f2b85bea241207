//! Keys: the raw one for events as 8.3 uses it, others derived from it with a label each.

use std::collections::BTreeMap;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::store::{Hash, hex};

/// Names a key without telling it.
pub type KeyId = [u8; 16];

/// One audit key, ready to use.
#[derive(Clone)]
pub struct AuditKey {
    pub id: KeyId,
    events: Hmac<Sha256>,
    log: Hmac<Sha256>,
}

impl AuditKey {
    /// From the configured bytes (design §2: events use them raw, all else what HKDF derives).
    pub fn new(raw: &[u8]) -> Self {
        let mut id = [0; 16];
        derive(raw, b"elastik key id v1", &mut id);
        let mut log = [0; 32];
        derive(raw, b"elastik log v1", &mut log);
        Self { id, events: hmac(raw), log: hmac(&log) }
    }

    /// The HMAC of an event (core.md §4.4).
    pub fn event(&self, fields: &[(&str, &str)]) -> Hash {
        mac(self.events.clone(), fields)
    }

    /// The HMAC of a row of the log.
    pub fn log(&self, fields: &[(&str, &str)]) -> Hash {
        mac(self.log.clone(), fields)
    }
}

/// The key that writes, and older ones that only verify what was written under them.
#[derive(Clone)]
pub struct Keyring {
    current: AuditKey,
    older: Vec<AuditKey>,
}

impl Keyring {
    pub fn new(current: &[u8], older: &[Vec<u8>]) -> Self {
        let older = older.iter().map(|raw| AuditKey::new(raw)).collect();
        Self { current: AuditKey::new(current), older }
    }

    pub fn current(&self) -> &AuditKey {
        &self.current
    }

    pub fn find(&self, id: &[u8]) -> Option<&AuditKey> {
        self.all().find(|key| key.id == id)
    }

    pub fn all(&self) -> impl Iterator<Item = &AuditKey> {
        std::iter::once(&self.current).chain(&self.older)
    }
}

/// The keys of one store by their number in it, as far as the keyring has them.
#[derive(Clone, Default)]
pub struct KeyTable(BTreeMap<i64, (Vec<u8>, Option<AuditKey>)>);

impl KeyTable {
    /// From the store's rows (number, key id).
    pub fn new(rows: Vec<(i64, Vec<u8>)>, ring: &Keyring) -> Self {
        let known = |id: &[u8]| ring.find(id).cloned();
        Self(rows.into_iter().map(|(n, id)| (n, (id.clone(), known(&id)))).collect())
    }

    pub fn key(&self, number: i64) -> Option<&AuditKey> {
        self.0.get(&number).and_then(|(_, key)| key.as_ref())
    }

    /// The id of a key in hex; empty when the store has no such number.
    pub fn id(&self, number: i64) -> String {
        self.0.get(&number).map_or(String::new(), |(id, _)| hex(id))
    }

    /// What tells a key that is not in the keyring.
    pub fn name(&self, number: i64) -> String {
        format!("key-{}", self.id(number))
    }
}

fn derive(raw: &[u8], label: &[u8], out: &mut [u8]) {
    // HKDF fails only for outputs above 255 hashes; these are at most one.
    let _ = Hkdf::<Sha256>::new(None, raw).expand(label, out);
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of any length (RFC 2104)"),
    }
}

/// `label 00 decimal-length 00 value 00` for each field.
fn mac(mut mac: Hmac<Sha256>, fields: &[(&str, &str)]) -> Hash {
    let mut message = Vec::with_capacity(512);
    for (label, value) in fields {
        message.extend_from_slice(label.as_bytes());
        message.push(0);
        message.extend_from_slice(value.len().to_string().as_bytes());
        message.push(0);
        message.extend_from_slice(value.as_bytes());
        message.push(0);
    }
    mac.update(&message);
    mac.finalize().into_bytes().into()
}
