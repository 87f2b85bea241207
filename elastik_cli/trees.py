"""Directories and prefixes: what lies on either side, what to do, and doing it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from elastik.errors import BadPath, ElastikError, NoAnswer, Unauthorized
from elastik.paths import canonical
from elastik_cli import progress
from elastik_cli.bodies import guess_type
from elastik_cli.complaint import describe
from elastik_cli.exits import Exit, Failure
from elastik_cli.session import Session

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

Chosen = Callable[[str], bool]


@dataclass(frozen=True)
class Step:
    """One thing to do: put, get, delete (a path) or remove (a file); `fault` says why it cannot."""

    action: str
    path: str
    file: Path
    size: int = 0
    fault: str = ""

    def record(self) -> dict[str, object]:
        found = {"action": self.action, "size": self.size, "path": self.path}
        return found | ({"fault": self.fault} if self.fault else {})


def chooser(include: Iterable[str], exclude: Iterable[str]) -> Chosen:
    """Whether a relative name is meant: it fits an `include` (if any) and no `exclude`."""
    wanted, unwanted = list(include), list(exclude)

    def chosen(name: str) -> bool:
        fits = not wanted or any(fnmatchcase(name, glob) for glob in wanted)
        return fits and not any(fnmatchcase(name, glob) for glob in unwanted)

    return chosen


def files_below(root: Path) -> Iterator[tuple[str, Path]]:
    """(relative name with slashes, file) of each regular file; links are not followed."""
    for directory, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            file = Path(directory, name)
            if not file.is_symlink() and file.is_file():
                yield file.relative_to(root).as_posix(), file


def _world(prefix: str, name: str) -> str:
    return canonical(f"{prefix or 'home'}/{name}")


def plan_up(
    session: Session,
    client: Client,
    root: Path,
    prefix: str,
    chosen: Chosen,
    *,
    compare: bool,
    delete: bool,
) -> Iterator[Step]:
    """What makes `prefix` hold what `root` holds; with `delete` nothing else."""
    if not root.is_dir():
        raise Failure(f"{root}: not a directory", Exit.USAGE)
    there = _worlds_below(session, client, prefix) if compare else {}
    seen = set()
    for name, file in files_below(root):
        if not chosen(name):
            continue
        try:
            world = _world(prefix, os.fsencode(name).decode("utf-8"))
        except (BadPath, UnicodeError) as error:
            yield Step("put", name, file, fault=str(error))
            continue
        seen.add(world)
        size = file.stat().st_size
        if there.get(world) != size or not same(client, world, file):
            yield Step("put", world, file, size)
    for world in sorted(there) if delete else ():
        name = world[len(prefix) + 1 :]
        if world not in seen and chosen(name):
            yield Step("delete", world, root / name, there[world])


def plan_down(
    session: Session,
    client: Client,
    prefix: str,
    root: Path,
    chosen: Chosen,
    *,
    compare: bool,
    delete: bool,
) -> Iterator[Step]:
    """What makes `root` hold what `prefix` holds; with `delete` nothing else."""
    there = _worlds_below(session, client, prefix)
    if not there:
        raise Failure(f"nothing at or below {prefix or '/'}", Exit.NOT_FOUND)
    seen = set()
    for world, size in there.items():
        name = world[len(prefix) :].lstrip("/") or world.rsplit("/", 1)[-1]
        if not chosen(name):
            continue
        file = root / name
        seen.add(file)
        if fault := escape_of(root, file):
            yield Step("get", world, file, size, fault)
        elif not (compare and _is_same_file(client, world, file, size)):
            yield Step("get", world, file, size)
    for name, file in files_below(root) if delete else ():
        if file not in seen and chosen(name):
            yield Step("remove", f"{prefix}/{name}", file, file.stat().st_size)


def _worlds_below(session: Session, client: Client, prefix: str) -> dict[str, int]:
    return dict(session.patiently(lambda: list(client.walk(prefix))))


def _is_same_file(client: Client, world: str, file: Path, size: int) -> bool:
    plain = file.is_file() and not file.is_symlink()
    return plain and file.stat().st_size == size and same(client, world, file)


def same(client: Client, world: str, file: Path) -> bool:
    """Whether both hold the same bytes; their sizes are equal already.

    The tag of a path in memory is its hash; one on disk has to be read.
    """
    digest = sha256()
    with open(file, "rb") as local:
        while piece := local.read(1 << 20):
            digest.update(piece)
    mine = digest.hexdigest()
    with client.stream(world) as stream:
        if stream.etag.startswith('"sha256-'):
            return stream.etag == f'"sha256-{mine}"'
        theirs = sha256()
        for piece in stream:
            theirs.update(piece)
    return theirs.hexdigest() == mine


def escape_of(root: Path, file: Path) -> str:
    """Why writing `file` would leave `root`; empty when it would not."""
    parts = file.relative_to(root).parts
    if ".." in parts or any(os.sep in part or "\0" in part for part in parts):
        return "its name leads out of the directory"
    for above in file.parents:
        if above == root:
            return ""
        if above.is_symlink():
            return f"{above} is a link"
    return "its name leads out of the directory"


def apply(session: Session, client: Client, steps: list[Step], jobs: int) -> list[Step]:
    """Do all steps, `jobs` at a time; those that failed, said on stderr.

    Raises:
        ElastikError: the first one, when nothing at all worked because of it.
    """
    sizes = [step.size if step.action in ("put", "get") else 0 for step in steps]
    with progress.several(session, "in all", sizes) as bar:
        failed = _Hands(session, client, bar).do(steps, jobs)
    first = next((error for _, error in failed), None)
    if len(failed) == len(steps) and isinstance(first, (NoAnswer, Unauthorized)):
        raise first
    return [step for step, _ in failed]


class _Hands:
    """Several steps at once. When the server is gone, the rest is left for another time."""

    def __init__(self, session: Session, client: Client, bar: progress.Several) -> None:
        self.session, self.client, self.bar = session, client, bar
        self._gone = False

    def do(self, steps: list[Step], jobs: int) -> list[tuple[Step, Exception | None]]:
        """The steps that failed, each with its error; None where it was never tried."""
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(jobs)
        try:
            done = list(pool.map(self._attempt, steps))
        finally:
            # After Ctrl-C nobody waits for what hangs; what runs to its end has run by now.
            pool.shutdown(wait=False, cancel_futures=True)
        if self._gone:
            left = sum(outcome is not None and outcome[1] is None for outcome in done)
            self.session.say(f"{left} not tried: the server is gone") if left else None
        return [outcome for outcome in done if outcome]

    def _attempt(self, step: Step) -> tuple[Step, Exception | None] | None:
        if self._gone:
            return step, None
        error: Exception | None = None
        told = f"{step.action} {step.path}: {step.fault}"
        if not step.fault:
            try:
                _do(self.session, self.client, step, self.bar)
                self.bar.finished()
                return None
            except (ElastikError, OSError) as exc:
                error = exc
                told = describe(exc, self.session)[0]
        self._gone |= isinstance(error, NoAnswer)
        self.session.say(told)
        self.bar.finished()
        return step, error


def _do(session: Session, client: Client, step: Step, bar: progress.Several) -> None:
    if step.action == "put":
        with open(step.file, "rb") as file:
            body = bar.reading(file)
            kind = guess_type(None, step.path, str(step.file), None)
            session.patiently(lambda: client.put(step.path, body, content_type=kind), again=False)
    elif step.action == "get":
        step.file.parent.mkdir(parents=True, exist_ok=True)
        part = step.file.with_name(f".{step.file.name[:200]}.{os.getpid()}.part")
        try:
            with client.stream(step.path) as stream, open(part, "wb") as file:
                for piece in bar.arriving(stream):
                    file.write(piece)
            os.replace(part, step.file)
        finally:
            part.unlink(missing_ok=True)
    elif step.action == "delete":
        client.delete(step.path)
    else:
        step.file.unlink()
