"""Content formats: the numbers of the CoAP registry and the media types they stand for."""

from __future__ import annotations

# The registry "CoAP Content-Formats" (RFC 7252 §12.3), as far as the core knows it too.
FORMATS = {
    0: "text/plain; charset=utf-8",
    16: 'application/cose; cose-type="cose-encrypt0"',
    17: 'application/cose; cose-type="cose-mac0"',
    18: 'application/cose; cose-type="cose-sign1"',
    19: "application/ace+cbor",
    21: "image/gif",
    22: "image/jpeg",
    23: "image/png",
    40: "application/link-format",
    41: "application/xml",
    42: "application/octet-stream",
    47: "application/exi",
    50: "application/json",
    51: "application/json-patch+json",
    52: "application/merge-patch+json",
    60: "application/cbor",
    61: "application/cwt",
    62: "application/multipart-core",
    63: "application/cbor-seq",
    96: 'application/cose; cose-type="cose-encrypt"',
    97: 'application/cose; cose-type="cose-mac"',
    98: 'application/cose; cose-type="cose-sign"',
    101: "application/cose-key",
    102: "application/cose-key-set",
    110: "application/senml+json",
    111: "application/sensml+json",
    112: "application/senml+cbor",
    113: "application/sensml+cbor",
    114: "application/senml-exi",
    115: "application/sensml-exi",
    256: "application/coap-group+json",
    271: "application/dots+cbor",
    310: "application/senml+xml",
    311: "application/sensml+xml",
    320: "application/senml-etch+json",
    322: "application/senml-etch+cbor",
    432: "application/td+json",
    10000: "application/vnd.ocf+cbor",
    11542: "application/vnd.oma.lwm2m+tlv",
    11543: "application/vnd.oma.lwm2m+json",
    11544: "application/vnd.oma.lwm2m+cbor",
    20000: "text/css",
    30000: "image/svg+xml",
}
# A media type whose number has no name here (RFC 8075 §6.2).
UNNAMED = "application/coap-payload;cf="
# Numbers from here on mean something to two parties only (RFC 7252 §12.3).
EXPERIMENTAL = 65000


def media_type(number: int) -> str | None:
    """The media type of a number; None for one that only two parties understand."""
    if number >= EXPERIMENTAL:
        return None
    return FORMATS.get(number, f"{UNNAMED}{number}")


def number(content_type: str) -> int | None:
    """The number of a media type; None when the registry has none for it.

    Any text/plain is 0, as in 8.3; elsewhere a parameter other than the charset makes another type.
    """
    asked = _plain(content_type)
    if asked.partition(";")[0] == "text/plain":
        return 0
    if asked.startswith(UNNAMED):
        digits = asked.removeprefix(UNNAMED)
        known = digits.isascii() and digits.isdecimal() and len(digits) < 6
        return int(digits) if known and int(digits) < EXPERIMENTAL else None
    return _NUMBERS.get(asked.removesuffix(";charset=utf-8"))


def _plain(text: str) -> str:
    return "".join(text.split()).lower()


_NUMBERS = {_plain(name): number for number, name in FORMATS.items()}
