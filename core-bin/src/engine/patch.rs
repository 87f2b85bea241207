//! Changes to JSON bodies: RFC 7396 merge patches and RFC 6902 patches, as pure functions.

use serde_json::Value;

use crate::store::Refusal;

/// A change to a JSON body.
#[derive(Clone, Debug)]
pub enum Patch {
    /// `application/merge-patch+json`
    Merge(Value),
    /// `application/json-patch+json`
    Ops(json_patch::Patch),
}

impl Patch {
    pub fn merge(bytes: &[u8]) -> Result<Self, Refusal> {
        parse(bytes, "the patch").map(Self::Merge)
    }

    pub fn ops(bytes: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(bytes)
            .map(Self::Ops)
            .map_err(|e| unprocessable(format!("the patch is not a JSON patch: {e}")))
    }

    /// The body after the change.
    pub fn apply(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut value = parse(body, "the world")?;
        match self {
            Self::Merge(patch) => json_patch::merge(&mut value, patch),
            Self::Ops(ops) => json_patch::patch(&mut value, ops).map_err(|e| match e.kind {
                json_patch::PatchErrorKind::TestFailed => Refusal::Conflict(e.to_string().into()),
                _ => unprocessable(e.to_string()),
            })?,
        }
        serde_json::to_vec(&value).map_err(|e| unprocessable(e.to_string()))
    }
}

fn parse(bytes: &[u8], what: &str) -> Result<Value, Refusal> {
    serde_json::from_slice(bytes).map_err(|e| unprocessable(format!("{what} is not JSON: {e}")))
}

fn unprocessable(why: String) -> Refusal {
    Refusal::Unprocessable(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_merge_cases_of_rfc_7396_appendix_a_hold() {
        let table = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ];
        for (body, patch, want) in table {
            let got = Patch::merge(patch.as_bytes()).unwrap().apply(body.as_bytes()).unwrap();
            let got: Value = serde_json::from_slice(&got).unwrap();
            assert_eq!(got, serde_json::from_str::<Value>(want).unwrap(), "{body} {patch}");
        }
    }

    #[test]
    fn a_patch_is_all_or_nothing_and_its_test_is_a_conflict() {
        let ops = |text: &str| Patch::ops(text.as_bytes()).unwrap();
        let add =
            ops(r#"[{"op":"add","path":"/n","value":1},{"op":"test","path":"/a","value":2}]"#);
        assert!(matches!(add.apply(br#"{"a":1}"#), Err(Refusal::Conflict(_))));
        assert_eq!(add.apply(br#"{"a":2}"#).unwrap(), br#"{"a":2,"n":1}"#);
        let gone = ops(r#"[{"op":"remove","path":"/x"}]"#);
        assert!(matches!(gone.apply(b"{}"), Err(Refusal::Unprocessable(_))));
        assert!(matches!(gone.apply(b"no json"), Err(Refusal::Unprocessable(_))));
    }

    #[test]
    fn numbers_keep_every_digit() {
        let body = br#"{"big":123456789012345678901234567890,"fine":0.1000000000000000055511}"#;
        assert_eq!(Patch::merge(b"{}").unwrap().apply(body).unwrap(), body);
    }

    proptest! {
        #[test]
        fn no_input_panics(patch in ".{0,60}", body in ".{0,60}") {
            for patch in [Patch::merge(patch.as_bytes()), Patch::ops(patch.as_bytes())] {
                let _ = patch.map(|patch| patch.apply(body.as_bytes()));
            }
        }
    }
}
