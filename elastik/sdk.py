"""The names that lived in `elastik.sdk` in 8.3, for programs that import them from there."""

from elastik.client import Elastik
from elastik.errors import (
    ElastikError,
    Forbidden,
    InsufficientStorage,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    ServerError,
    Unauthorized,
)
from elastik.headers import HeaderAllowlist
from elastik.responses import Response, WorldMeta
from elastik.tracing import DebugHook
from elastik.worlds import WorldReader, WorldRef

__all__ = [
    "DebugHook",
    "Elastik",
    "ElastikError",
    "Forbidden",
    "HeaderAllowlist",
    "InsufficientStorage",
    "NotFound",
    "PayloadTooLarge",
    "PreconditionFailed",
    "Response",
    "ServerError",
    "Unauthorized",
    "WorldMeta",
    "WorldReader",
    "WorldRef",
]
