//! SenML packs in JSON (RFC 8428) and what is chosen from them (RFC 8790 §3): pure functions.

use serde_json::{Map, Number, Value};

type Record = Map<String, Value>;

/// A choice of records: by name, and by time and unit where they are given.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    name: String,
    time: Option<f64>,
    unit: Option<String>,
}

/// The base values that hold from one record on (RFC 8428 §4.1).
#[derive(Default)]
struct Base {
    name: String,
    time: Option<f64>,
    unit: Option<String>,
    value: Option<f64>,
    sum: Option<f64>,
}

/// What a Fetch Pack asks for; none if it is no such pack.
pub fn wanted(pack: &[u8]) -> Option<Vec<Wanted>> {
    let mut base = Base::default();
    let records: Vec<Record> = serde_json::from_slice(pack).ok()?;
    let one = |record: &Record| {
        base.take(record)?;
        // A choice has no values (RFC 8790 §3.1).
        let known = ["bn", "n", "bt", "t", "bu", "u", "bver"];
        let fits = record.keys().all(|field| known.contains(&field.as_str()));
        let named = record.contains_key("n") || record.contains_key("bn");
        let time = base.sum_of(number(record, "t")?, base.time);
        let unit = text(record, "u")?.or(base.unit.clone());
        let name = base.name_of(record)?;
        (fits && named && !name.is_empty()).then_some(Wanted { name, time, unit })
    };
    let all: Option<Vec<_>> = records.iter().map(one).collect();
    all.filter(|all| !all.is_empty())
}

/// The records of a pack that are wanted, in its order and resolved; none if it is no pack.
pub fn select(pack: &[u8], wanted: &[Wanted]) -> Option<String> {
    let mut base = Base::default();
    let mut found = Vec::new();
    for record in serde_json::from_slice::<Vec<Record>>(pack).ok()? {
        base.take(&record)?;
        let record = base.resolved(record)?;
        let fits = |wanted: &Wanted| fits(wanted, &record).unwrap_or_default();
        if wanted.iter().any(fits) {
            found.push(record);
        }
    }
    serde_json::to_string(&found).ok()
}

fn fits(wanted: &Wanted, record: &Record) -> Option<bool> {
    // A record without a time has the time 0 (RFC 8428 §4.2).
    let time = number(record, "t")?.unwrap_or_default();
    Some(
        text(record, "n")?.as_ref() == Some(&wanted.name)
            && wanted.time.is_none_or(|wanted| wanted == time)
            && (wanted.unit.is_none() || text(record, "u")? == wanted.unit),
    )
}

impl Base {
    fn take(&mut self, record: &Record) -> Option<()> {
        if let Some(name) = text(record, "bn")? {
            self.name = name;
        }
        self.unit = text(record, "bu")?.or(self.unit.take());
        self.time = number(record, "bt")?.or(self.time);
        self.value = number(record, "bv")?.or(self.value);
        self.sum = number(record, "bs")?.or(self.sum);
        Some(())
    }

    fn name_of(&self, record: &Record) -> Option<String> {
        Some(self.name.clone() + &text(record, "n")?.unwrap_or_default())
    }

    fn sum_of(&self, own: Option<f64>, base: Option<f64>) -> Option<f64> {
        match (own, base) {
            (None, base) => base,
            (own, base) => Some(own? + base.unwrap_or_default()),
        }
    }

    /// The record with its base values in it (RFC 8428 §4.6).
    fn resolved(&self, mut record: Record) -> Option<Record> {
        let name = self.name_of(&record)?;
        for field in ["bn", "bt", "bu", "bv", "bs"] {
            record.shift_remove(field);
        }
        record.insert("n".to_owned(), name.into());
        if let (Some(unit), None) = (&self.unit, record.get("u")) {
            record.insert("u".to_owned(), unit.as_str().into());
        }
        // A base value counts where there is a value, or none of another kind.
        let other = ["vs", "vb", "vd"].iter().any(|field| record.contains_key(*field));
        let value = self.value.filter(|_| !other);
        for (field, base) in [("t", self.time), ("v", value), ("s", self.sum)] {
            if base.is_some() {
                let sum = self.sum_of(number(&record, field)?, base)?;
                record.insert(field.to_owned(), Number::from_f64(sum)?.into());
            }
        }
        Some(record)
    }
}

/// A field that is a number if it is there; none if it is something else.
fn number(record: &Record, field: &str) -> Option<Option<f64>> {
    let Some(value) = record.get(field) else { return Some(None) };
    value.as_f64().map(Some)
}

fn text(record: &Record, field: &str) -> Option<Option<String>> {
    let Some(value) = record.get(field) else { return Some(None) };
    value.as_str().map(|text| Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACK: &str = r#"[{"bn":"dev/","bt":1000,"bu":"Cel","n":"a","v":20.5},
        {"n":"a","t":5,"v":21},{"n":"b","u":"V","v":3},{"n":"c","vs":"on","x":1},
        {"bn":"","n":"far","v":1}]"#;

    fn names(fetch: &str) -> Option<Vec<String>> {
        let found = select(PACK.as_bytes(), &wanted(fetch.as_bytes())?)?;
        let records: Vec<Record> = serde_json::from_str(&found).unwrap();
        Some(records.iter().map(|r| format!("{} {}", r["n"].as_str().unwrap(), r["t"])).collect())
    }

    #[test]
    fn records_are_chosen_by_name_time_and_unit() {
        let table: [(&str, &[&str]); 8] = [
            (r#"[{"n":"dev/a"}]"#, &["dev/a 1000.0", "dev/a 1005.0"]),
            (
                r#"[{"bn":"dev/","n":"b"},{"n":"a"}]"#,
                &["dev/a 1000.0", "dev/a 1005.0", "dev/b 1000.0"],
            ),
            (r#"[{"bn":"dev/a","bt":1000,"t":5}]"#, &["dev/a 1005.0"]),
            (r#"[{"n":"dev/a","t":1000}]"#, &["dev/a 1000.0"]),
            (r#"[{"n":"dev/b","u":"V"}]"#, &["dev/b 1000.0"]),
            (r#"[{"n":"dev/b","u":"Cel"}]"#, &[]),
            (r#"[{"n":"far"}]"#, &["far 1000.0"]),
            (r#"[{"n":"dev"}]"#, &[]),
        ];
        for (fetch, expected) in table {
            assert_eq!(names(fetch).unwrap(), expected, "{fetch}");
        }
        let all = select(PACK.as_bytes(), &wanted(br#"[{"n":"dev/c"}]"#).unwrap()).unwrap();
        assert_eq!(all, r#"[{"n":"dev/c","vs":"on","x":1,"u":"Cel","t":1000.0}]"#);
    }

    #[test]
    fn base_values_are_added() {
        let pack = br#"[{"bv":10,"bs":1,"n":"a","v":2},{"n":"b","s":3},{"n":"c","vb":true}]"#;
        let every = wanted(br#"[{"n":"a"},{"n":"b"},{"n":"c"}]"#).unwrap();
        let expected = r#"[{"n":"a","v":12.0,"s":1.0},{"n":"b","s":4.0,"v":10.0},{"n":"c","vb":true,"s":1.0}]"#;
        assert_eq!(select(pack, &every).unwrap(), expected);
        // What has no base stays as it was written.
        let exact = br#"[{"n":"a","v":1.10,"t":1e3}]"#;
        let kept = select(exact, &wanted(br#"[{"n":"a","t":1000}]"#).unwrap()).unwrap();
        assert_eq!(kept.as_bytes(), &br#"[{"n":"a","v":1.10,"t":1e+3}]"#[..]);
    }

    #[test]
    fn what_is_no_pack() {
        for fetch in
            ["", "{}", "[]", "[{}]", "[1]", r#"[{"n":1}]"#, r#"[{"n":"a","v":1}]"#, r#"[{"t":1}]"#]
        {
            assert_eq!(wanted(fetch.as_bytes()), None, "{fetch}");
        }
        let one = wanted(br#"[{"n":"a"}]"#).unwrap();
        for pack in ["", "{}", "[1]", r#"[{"bt":"x"}]"#, r#"[{"bn":1}]"#] {
            assert_eq!(select(pack.as_bytes(), &one), None, "{pack}");
        }
        assert_eq!(select(b"[]", &one).unwrap(), "[]");
    }

    proptest! {
        #[test]
        fn no_pack_panics(pack in "[\\[\\]{}\",:0-9a-z.+-]{0,60}", name in "[a-c]{1,2}", time in any::<f64>()) {
            let _ = wanted(pack.as_bytes());
            let one = [Wanted { name: name.clone(), time: None, unit: None }];
            let _ = select(pack.as_bytes(), &one);
            let record = serde_json::json!([{"bn": name, "bt": time, "t": time, "bv": time, "v": 1}]);
            let _ = select(record.to_string().as_bytes(), &one);
        }
    }
}
