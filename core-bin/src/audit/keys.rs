//! Keys: the raw one for events as 8.3 uses it, others derived from it with a label each.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::store::Hash;

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
