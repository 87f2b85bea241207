//! Anchors: one line that names the log's newest row, to be kept where the store's keeper cannot
//! write. Whoever holds the key can forge what came after it, and nothing before.

use std::fmt;

use crate::store::{Hash, hex, unhex};
use crate::time::rfc3339;

/// First word of the line: its form.
const FORM: &str = "elastik-anchor-1";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub store_id: [u8; 16],
    pub seq: u64,
    pub mac: Hash,
    /// When the row was written, as RFC 3339; for people, not checked.
    pub time: String,
    pub key_id: [u8; 16],
}

impl Anchor {
    pub fn new(store_id: [u8; 16], seq: u64, mac: Hash, time_us: i64, key_id: [u8; 16]) -> Self {
        Self { store_id, seq, mac, time: rfc3339(time_us), key_id }
    }

    /// One object, with the line in it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "store": hex(&self.store_id), "seq": self.seq, "mac": hex(&self.mac),
            "time": self.time, "key": hex(&self.key_id), "anchor": self.to_string(),
        })
    }

    /// Reads one line.
    pub fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [form, store, seq, mac, time, key] = words[..] else {
            return Err(format!("an anchor has 6 words, this line has {}", words.len()));
        };
        if form != FORM {
            return Err(format!("not an anchor of this form ({FORM}): {form:?}"));
        }
        let wrong = |what| format!("the anchor's {what} cannot be read");
        Ok(Self {
            store_id: id(store).ok_or_else(|| wrong("store id"))?,
            seq: seq.parse().map_err(|_| wrong("sequence"))?,
            mac: unhex(mac).ok_or_else(|| wrong("MAC"))?,
            time: time.to_owned(),
            key_id: id(key).ok_or_else(|| wrong("key id"))?,
        })
    }

    /// Reads a file of anchors, one a line; empty lines and those that begin with `#` say nothing.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let said = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
        let anchors: Vec<_> =
            text.lines().filter(said).map(Self::parse).collect::<Result<_, _>>()?;
        if anchors.is_empty() { Err("no anchor in it".to_owned()) } else { Ok(anchors) }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store_id, seq, mac, time, key_id } = self;
        let (store_id, mac, key_id) = (hex(store_id), hex(mac), hex(key_id));
        write!(f, "{FORM} {store_id} {seq} {mac} {time} {key_id}")
    }
}

fn id(text: &str) -> Option<[u8; 16]> {
    let whole = unhex(&format!("{text}{text}"))?;
    whole[..16].try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read(seq in 0_u64..1 << 53, byte in any::<u8>(), time in 0_i64..1 << 50) {
            let anchor = Anchor::new([byte; 16], seq, [byte; 32], time, [!byte; 16]);
            prop_assert_eq!(Anchor::parse(&anchor.to_string()), Ok(anchor));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = Anchor::parse_all(&text);
            let _ = Anchor::parse(&format!("{FORM} {text}"));
        }
    }

    #[test]
    fn a_file_of_anchors_may_have_comments_but_not_be_empty() {
        let line = Anchor::new([1; 16], 7, [2; 32], 0, [3; 16]).to_string();
        assert_eq!(Anchor::parse_all(&format!("# daily\n\n{line}\n{line}\n")).unwrap().len(), 2);
        assert!(Anchor::parse_all("# nothing\n").is_err());
    }
}
