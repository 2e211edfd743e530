"""Clip sets out of public corpora, each described in a few lines by a ``recipe`` beside its README.

Nothing is fetched on import. A recipe's command line streams its corpus, keeps a bounded number of clips that
are balanced over its strata, and writes them as a clip set.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtforge._optional import require
from trtforge.audio import ClipSet
from trtforge.audio.rows import Column
from trtforge.errors import ClipSetError, TrtforgeError

Row = Mapping[str, Any]
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg"})


@dataclass(frozen=True)
class Corpus:
    """A corpus and how its rows become clips.

    Parameters
    ----------
    name : of the clip set.
    license : written into each clip's line of the manifest.
    homepage : where the corpus and its terms are described.
    load : opens a split, given its name and, for a corpus that the reader has downloaded, where it lies.
    split : the split that calibration takes, so that the others stay unseen for testing.
    strata : axis to column or function of the row.
    balance : axes over which clips are balanced.
    text, id : column or function of the row.
    keep : False for rows that are no speech to be recognised.
    min_duration, max_duration : of a clip, in seconds.
    source : what ``--source`` must name; None for a corpus that is streamed from the hub.
    """

    name: str
    license: str
    homepage: str
    load: Callable[[str, Path | None], Any]
    split: str
    strata: Mapping[str, Column]
    balance: tuple[str, ...]
    text: Column | None = "text"
    id: Column | None = None
    keep: Callable[[Row], bool] | None = field(default=None, repr=False)
    min_duration: float = 1.0
    max_duration: float = 30.0
    source: str | None = None


def gather(
    corpus: Corpus, dataset: Any, *, max_clips: int, seed: int = 0, max_rows: int | None = None
) -> ClipSet:
    """Choose clips of a data set that has the corpus's columns.

    Parameters
    ----------
    corpus : how to read it.
    dataset : ``datasets.Dataset`` or ``datasets.IterableDataset``.
    max_clips : clips to keep, balanced over the corpus's axes.
    seed : of the choice.
    max_rows : rows to look at; all by default.

    Raises
    ------
    ClipSetError : more than a tenth of the rows are bad, or no clip is left.
    """
    return ClipSet.from_datasets(
        dataset,
        text=corpus.text,
        strata=corpus.strata,
        id=corpus.id,
        keep=corpus.keep,
        license=corpus.license,
        name=corpus.name,
        max_clips=max_clips,
        max_rows=max_rows,
        balance=corpus.balance,
        seed=seed,
        min_duration=corpus.min_duration,
        max_duration=corpus.max_duration,
    )


def main(corpus: Corpus, arguments: Sequence[str] | None = None) -> int:
    """Run a recipe's command line; return 0, or 1 after printing what is wrong."""
    parser = argparse.ArgumentParser(
        prog=f"python -m calibration_sets.{corpus.name}.recipe",
        description=f"Write a clip set of {corpus.name} ({corpus.license}, {corpus.homepage}).",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder for the clip set")
    parser.add_argument("--clips", type=int, default=192, help="clips to keep (default: 192)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of clips (default: 0)")
    parser.add_argument("--rows", type=int, help="rows to look at (default: all of the split)")
    parser.add_argument("--split", default=corpus.split, help=f"split to take (default: {corpus.split})")
    if corpus.source is not None:
        parser.add_argument("--source", type=Path, required=True, help=corpus.source)
    given = parser.parse_args(arguments)
    try:
        dataset = corpus.load(given.split, getattr(given, "source", None))
        clips = gather(corpus, dataset, max_clips=given.clips, seed=given.seed, max_rows=given.rows)
        print(clips.save(given.output))
    except TrtforgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for clip_id, reason in clips.rejected.items():
        print(f"left out {clip_id}: {reason}", file=sys.stderr)
    return 0


def stream_hub(repository: str, config: str | None, split: str) -> Any:
    """Stream a split of a data set on the Hugging Face hub.

    Parameters
    ----------
    repository : ``owner/name``.
    config : its configuration, None for the only one.
    split : such as ``validation``.
    """
    return require("datasets", "stream a corpus").load_dataset(
        repository, config, split=split, streaming=True
    )


def stream_files(source: Path | None, describe: Callable[[str], Row | None]) -> Any:
    """Stream the audio files of a folder, a tar archive, a zip archive or a folder of zip archives.

    Parameters
    ----------
    source : the folder or archive; archives are read from beginning to end and never unpacked.
    describe : gives a file's other columns from its path, with ``/``, or None to leave it out. Of the empty
        path it names the columns.

    Raises
    ------
    ClipSetError : there is no such folder or archive.
    """
    from datasets import Features, IterableDataset, Value

    if source is None or not source.exists():
        raise ClipSetError(f"there is no corpus at {source}", hint="name the download with --source")
    columns = {key: Value("string") for key in describe("") or {}}
    audio = {"bytes": Value("binary"), "path": Value("string")}
    return IterableDataset.from_generator(
        _described,
        features=Features({"audio": audio, **columns}),
        gen_kwargs={"source": source, "describe": describe},
    )


def _described(source: Path, describe: Callable[[str], Row | None]) -> Iterator[dict[str, Any]]:
    for path, read in _files(source):
        if Path(path).suffix.lower() not in AUDIO_SUFFIXES:
            continue
        row = describe(path)
        if row is not None:
            yield {"audio": {"bytes": read(), "path": path}, **row}


def _files(source: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if source.is_dir():
        for file in sorted(source.rglob("*")):
            if file.suffix == ".zip":
                yield from _files(file)
            elif file.is_file():
                yield file.relative_to(source).as_posix(), file.read_bytes
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for name in sorted(archive.namelist()):
                yield name, lambda name=name: archive.read(name)  # type: ignore[misc]
    else:
        with tarfile.open(source, "r|*") as stream:
            for member in stream:
                if member.isfile():
                    file_object = stream.extractfile(member) or io.BytesIO()
                    yield member.name, file_object.read
