"""Lists of links (RFC 6690 §2): what was written is read, and any bytes are a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastik.coap.linkformat import Link, links

names = st.text("abcdefghijklmnopqrstuvwxyz*-", min_size=1, max_size=8)
plain = st.text("abcdefghijklmnopqrstuvwxyz0123456789./-", max_size=10)
quoted = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=15)
some = st.builds(
    Link,
    st.text("abc/%20.~-", max_size=12),
    st.dictionaries(names, quoted | plain, max_size=4),
)


def written(link: Link) -> str:
    escape = lambda text: text.replace("\\", "\\\\").replace('"', '\\"')  # noqa: E731
    return f"<{link.path}>" + "".join(
        f';{name}="{escape(value)}"' for name, value in link.attributes.items()
    )


@given(st.lists(some, max_size=5))
def test_what_was_written_is_read(found):
    assert links(",".join(map(written, found)).encode()) == found


@given(st.binary(max_size=80) | st.text('<>;=," \\ab', max_size=80).map(str.encode))
def test_any_bytes_are_a_list(data):
    for link in links(data):
        assert isinstance(link.path, str)


def test_plain_values_flags_and_the_first_of_several():
    body = b'</s>;ct=0;obs;sz = 4;if="a b" , </t>;rt=one;rt=two'
    assert links(body) == [
        Link("/s", {"ct": "0", "obs": "", "sz": "4", "if": "a b"}),
        Link("/t", {"rt": "one"}),
    ]
    assert [link.observable for link in links(body)] == [True, False]


@pytest.mark.parametrize("piece", ["<a>,", "<a>;b", ';a="', "<a>;a=  ", '<a>;a="\\', "<", " "])
def test_a_long_hostile_list_takes_no_time_to_speak_of(piece):
    # Patterns that try again from each place would take hours.
    assert len(links(piece.encode() * 200_000)) <= 200_000
