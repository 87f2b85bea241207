"""What changes in a board's request on its way up: a pure function of message and profile.

No counter and no clock takes part, so a repeated request becomes the same bytes again and the
core's duplicate detection sees through the bridge.
"""

from __future__ import annotations

from dataclasses import dataclass

from elastik import paths
from elastik.coap import messages
from elastik.coap.messages import (
    AUTH,
    BLOCK2,
    GET,
    PROXY_SCHEME,
    PROXY_URI,
    URI_HOST,
    URI_PATH,
    URI_PORT,
    Block,
    Message,
)
from elastik.errors import BadPath

# Worlds that the bridge itself writes for each board, and /proc, which is no world.
RESERVED = {"link", "stats", "log", "proc"}
# Header, token, Content-Format, ETag, Block2, Observe, Max-Age and the payload marker.
ANSWER_HEAD = 40


@dataclass(frozen=True)
class Profile:
    """What the bridge knows of a board when it rewrites: world prefix, credential, its limits."""

    prefix: str
    token: bytes = b""
    mtu: int = 128
    trust_token: bool = False


class Refused(Exception):
    """A request that must not go up: the CoAP code to answer with, and why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def world_of(message: Message, prefix: str) -> str:
    """The world that a board's request names, below `prefix`.

    Raises:
        Refused: for a path that could leave the prefix or that no core can hold.
    """
    segments = []
    for raw in messages.path_of(message):
        try:
            segment = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(messages.BAD_REQUEST, "the path is not UTF-8") from None
        if "/" in segment:
            raise Refused(messages.BAD_REQUEST, "a path segment holds a slash")
        segments.append(segment)
    if segments and segments[0] in RESERVED:
        raise Refused(messages.BAD_REQUEST, f"{segments[0]} is reserved")
    world = "/".join([prefix, *segments])
    try:
        paths.validate(world)
    except BadPath as error:
        raise Refused(messages.BAD_REQUEST, error.reason) from None
    return world


def upward(message: Message, profile: Profile) -> Message:
    """A board's request as the core gets it; raises Refused. Type, id and token stay."""
    if message.value(PROXY_URI) is not None or message.value(PROXY_SCHEME) is not None:
        raise Refused(messages.NO_PROXYING, "the bridge is no proxy for its boards")
    world = world_of(message, profile.prefix)
    drop = {URI_HOST, URI_PORT, URI_PATH}
    if not (profile.trust_token and message.value(AUTH)):
        drop.add(AUTH)
    lifted = message.without(*drop)
    added = [(URI_PATH, segment.encode()) for segment in world.split("/")]
    if profile.token and not lifted.value(AUTH):
        added.append((AUTH, profile.token))
    if message.code == GET and message.value(BLOCK2) is None:
        # Asked for so early, a large world comes in pieces that the board can hold.
        szx = messages.szx_for(profile.mtu - ANSWER_HEAD)
        added.append((BLOCK2, Block(0, False, szx).encoded()))
    return lifted.plus(*added)


def downward(answer: Message, room: int) -> Message:
    """An answer of the core as the board gets it: what exceeds `room` bytes is not sent.

    A diagnostic text is cut; a body that came too large becomes a 5.00, never silence.
    """
    if len(messages.encode(answer)) <= room:
        return answer
    bare = Message(answer.type, answer.code, answer.mid, answer.token)
    if not answer.ok:
        return bare
    text = b"answer too large"
    code = messages.SERVER_ERROR
    return Message(answer.type, code, answer.mid, answer.token, payload=text)
