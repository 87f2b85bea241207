//! Content formats: the numbers of the CoAP registry and the media types that worlds keep.

/// Numbers from here on mean something to two parties only (RFC 7252 §12.3).
const EXPERIMENTAL: u16 = 65_000;

/// A media type whose number has no name here (RFC 8075 §6.2).
const UNNAMED: &str = "application/coap-payload;cf=";

pub const TEXT: u16 = 0;
pub const LINKS: u16 = 40;
pub const JSON_PATCH: u16 = 51;
pub const MERGE_PATCH: u16 = 52;
pub const SENML: u16 = 110;
pub const SENML_ETCH: u16 = 320;

/// The type of a body that came without a format (core.md §7).
pub const OCTETS: &str = "application/octet-stream";

/// Number and media type, from the registry "CoAP Content-Formats".
const FORMATS: &[(u16, &str)] = &[
    (TEXT, "text/plain; charset=utf-8"),
    (16, "application/cose; cose-type=\"cose-encrypt0\""),
    (17, "application/cose; cose-type=\"cose-mac0\""),
    (18, "application/cose; cose-type=\"cose-sign1\""),
    (19, "application/ace+cbor"),
    (21, "image/gif"),
    (22, "image/jpeg"),
    (23, "image/png"),
    (LINKS, "application/link-format"),
    (41, "application/xml"),
    (42, OCTETS),
    (47, "application/exi"),
    (50, "application/json"),
    (JSON_PATCH, "application/json-patch+json"),
    (MERGE_PATCH, "application/merge-patch+json"),
    (60, "application/cbor"),
    (61, "application/cwt"),
    (62, "application/multipart-core"),
    (63, "application/cbor-seq"),
    (96, "application/cose; cose-type=\"cose-encrypt\""),
    (97, "application/cose; cose-type=\"cose-mac\""),
    (98, "application/cose; cose-type=\"cose-sign\""),
    (101, "application/cose-key"),
    (102, "application/cose-key-set"),
    (SENML, "application/senml+json"),
    (111, "application/sensml+json"),
    (112, "application/senml+cbor"),
    (113, "application/sensml+cbor"),
    (114, "application/senml-exi"),
    (115, "application/sensml-exi"),
    (256, "application/coap-group+json"),
    (271, "application/dots+cbor"),
    (310, "application/senml+xml"),
    (311, "application/sensml+xml"),
    (SENML_ETCH, "application/senml-etch+json"),
    (322, "application/senml-etch+cbor"),
    (432, "application/td+json"),
    (10000, "application/vnd.ocf+cbor"),
    (11542, "application/vnd.oma.lwm2m+tlv"),
    (11543, "application/vnd.oma.lwm2m+json"),
    (11544, "application/vnd.oma.lwm2m+cbor"),
    (20000, "text/css"),
    (30000, "image/svg+xml"),
];

/// The media type to keep; none for a number that only its sender understands.
pub fn media_type(number: u16) -> Option<String> {
    if number >= EXPERIMENTAL {
        return None;
    }
    let known = FORMATS.iter().find(|(known, _)| *known == number);
    Some(known.map_or_else(|| format!("{UNNAMED}{number}"), |(_, name)| (*name).to_owned()))
}

/// The number of a kept media type; none when the registry has none for it.
pub fn number(media_type: &str) -> Option<u16> {
    let plain = |text: &str| {
        let letters = text.chars().filter(|c| !c.is_ascii_whitespace());
        letters.map(|c| c.to_ascii_lowercase()).collect::<String>()
    };
    // 8.3 answers 0 to whatever begins with text/plain; other parameters make another type.
    if media_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("text/plain")) {
        return Some(TEXT);
    }
    if media_type == OCTETS {
        return Some(42);
    }
    let asked = plain(media_type);
    if let Some(number) = asked.strip_prefix(UNNAMED) {
        return number.parse().ok().filter(|number| *number < EXPERIMENTAL);
    }
    let bare = asked.strip_suffix(";charset=utf-8").unwrap_or(&asked);
    FORMATS.iter().find(|(_, name)| plain(name) == bare).map(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_types_both_ways() {
        for (known, name) in FORMATS {
            assert_eq!(media_type(*known).as_deref(), Some(*name));
            assert_eq!(number(name), Some(*known), "{name}");
        }
        assert!(FORMATS.is_sorted_by_key(|(number, _)| *number));
        let table = [
            ("text/plain", Some(0)),
            ("TEXT/PLAIN; charset=latin-1", Some(0)),
            ("application/json; charset=utf-8", Some(50)),
            ("Application/JSON", Some(50)),
            ("application/json; profile=x", None),
            ("text/html", None),
            ("application/coap-payload;cf=4711", Some(4711)),
            ("application/coap-payload;cf=65001", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_number_comes_back_or_is_refused() {
        for asked in 0..=u16::MAX {
            match media_type(asked) {
                Some(name) => assert_eq!(number(&name), Some(asked)),
                None => assert!(asked >= EXPERIMENTAL),
            }
        }
    }
}
