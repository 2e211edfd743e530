"""Which files a command may write."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from trtforge.cli._options import check_writable


def check_outputs(
    files: Mapping[str, str | None], *, read: Collection[str], appended: Collection[str] = ()
) -> None:
    """Refuse files that would be written over each other or over one that is read, or cannot be written.

    Parameters
    ----------
    files : how each is known to the user, such as ``--output``, to its path; None where it was not asked for.
    read : those among them that are read.
    appended : those that are added to, which devices such as ``/dev/stdout`` may be; made where missing.

    Raises
    ------
    ConfigError : two are one file, and it would be written.
    OSError : a file cannot be written.
    """
    from trtforge.errors import ConfigError

    names: dict[Path, str] = {}
    for name, path in files.items():
        if not path:
            continue
        other = names.setdefault(Path(path).resolve(), name)
        if other != name and not {other, name} <= set(read):
            raise ConfigError(f"{other} and {name} are one file, {path}", hint="name a file for each")
    for name, path in files.items():
        if path and name in appended:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).open("a", encoding="utf-8").close()
        elif path and name not in read:
            check_writable(path)
