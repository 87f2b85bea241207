"""The client for asyncio: the same verbs under the same names, each one awaited.

Needs aiohttp: ``pip install 'elastik[aio]'``.

    from elastik.aio import Elastik

    async with Elastik("http://127.0.0.1:3105", "write-token") as e:
        await e.put("note", "hello")
        async with e.listen("inbox/*") as events:
            async for event in events:
                print(event["path"])
"""

from __future__ import annotations

from elastik.aio.formats import Formats
from elastik.aio.hierarchy import Hierarchy
from elastik.aio.listening import EventStream

__all__ = ["Elastik", "EventStream"]


class Elastik(Formats, Hierarchy):
    """An asyncio client of one core; make it and use it inside one event loop.

    Arguments, results, units and errors are those of the method of `elastik.Elastik` with the same
    name. What is an iterator there is an asynchronous iterator here, and a context manager an
    asynchronous one.
    """
