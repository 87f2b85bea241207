//! The raw copy of an imported event: its columns as they were, where the normal form of a row
//! cannot hold them (a hash that is no hex, a size that is no number, unsorted headers).

use rusqlite::types::{Value, ValueRef};

use crate::store::ChainRow;

/// First byte: which form follows.
const FORM: u8 = 1;

/// The columns of an 8.x event that have a raw copy, in this order.
pub const COLUMNS: usize = 9;

/// An event's columns as 8.x has them: timestamp, event_type, target, body_sha256, size,
/// content_type, meta_sha256, hmac, prev_hmac; then its headers in their own order.
#[derive(Clone, Debug, PartialEq)]
pub struct RawEvent {
    pub columns: [Value; COLUMNS],
    pub headers: Vec<(String, String)>,
}

impl RawEvent {
    pub fn pack(&self) -> Vec<u8> {
        let mut out = vec![FORM];
        for value in &self.columns {
            match value {
                Value::Null => put(&mut out, b'n', b""),
                Value::Integer(number) => put(&mut out, b'i', &number.to_be_bytes()),
                Value::Real(number) => put(&mut out, b'r', &number.to_be_bytes()),
                Value::Text(text) => put(&mut out, b't', text.as_bytes()),
                Value::Blob(bytes) => put(&mut out, b'b', bytes),
            }
        }
        for (name, value) in &self.headers {
            put(&mut out, b't', name.as_bytes());
            put(&mut out, b't', value.as_bytes());
        }
        out
    }

    /// Reads a packed copy; none when it is not one.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let (form, mut rest) = bytes.split_first()?;
        if *form != FORM {
            return None;
        }
        let mut columns: [Value; COLUMNS] = std::array::from_fn(|_| Value::Null);
        for column in &mut columns {
            *column = take(&mut rest)?;
        }
        let mut headers = vec![];
        while !rest.is_empty() {
            match (take(&mut rest)?, take(&mut rest)?) {
                (Value::Text(name), Value::Text(value)) => headers.push((name, value)),
                _ => return None,
            }
        }
        Some(Self { columns, headers })
    }

    pub fn text(&self, at: usize) -> String {
        text(&self.columns[at])
    }
}

fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take(rest: &mut &[u8]) -> Option<Value> {
    let (&tag, tail) = rest.split_first()?;
    let (length, tail) = tail.split_first_chunk::<4>()?;
    let (bytes, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = tail;
    Some(match tag {
        b'n' => Value::Null,
        b'i' => Value::Integer(i64::from_be_bytes(bytes.try_into().ok()?)),
        b'r' => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        b't' => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
        b'b' => Value::Blob(bytes.to_vec()),
        _ => return None,
    })
}

/// A value as the text that an HMAC would cover.
fn text(value: &Value) -> String {
    match ValueRef::from(value) {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}

/// The row with what its raw copy says in place of the normal form.
pub fn restore(raw: &[u8], normal: ChainRow) -> ChainRow {
    let Some(raw) = RawEvent::unpack(raw) else { return normal };
    let mut headers = raw.headers.clone();
    headers.sort();
    ChainRow {
        kind: raw.text(1),
        target: raw.text(2),
        body_sha256: raw.text(3),
        // No number: one that no HMAC was ever made over.
        size: if let Value::Integer(size) = raw.columns[4] { size } else { i64::MIN },
        content_type: raw.text(5),
        headers: headers.into(),
        meta_sha256: raw.text(6),
        hmac: raw.text(7),
        prev_hmac: raw.text(8),
        ..normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            (-1e9..1e9).prop_map(Value::Real),
            "\\PC{0,9}".prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn a_packed_event_comes_back(
            columns in prop::array::uniform9(value()),
            headers in prop::collection::vec(("\\PC{0,5}", "\\PC{0,5}"), 0..4),
        ) {
            let raw = RawEvent { columns, headers };
            prop_assert_eq!(RawEvent::unpack(&raw.pack()), Some(raw));
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = RawEvent::unpack(&bytes);
            let _ = RawEvent::unpack(&[&[FORM][..], &bytes].concat());
        }
    }
}
