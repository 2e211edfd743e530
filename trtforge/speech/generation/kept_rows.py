"""Rows of a decoder that are lent for a while, and kept where making them anew would cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from trtforge._closing import Closing
from trtforge.runtime import Session
from trtforge.speech.generation.decoder import Network, RowDecoder


class KeptRows(Closing):
    """The rows of a decoder, lent to one caller at a time.

    Those of an engine are kept, with the CUDA graphs recorded over them, until their cache has grown, since
    every step reads all of it. Those of any other network are made for each caller.

    Parameters
    ----------
    decoder : the network that rows run, in a `Session` or an `OnnxRunner`.
    """

    def __init__(self, decoder: Network) -> None:
        self._decoder = decoder
        self._rows: RowDecoder | None = None
        self._lock = Lock()

    @contextmanager
    def lend(self, **settings: Any) -> Iterator[RowDecoder]:
        """Give rows for a while; of an engine all callers must ask for the same.

        Parameters
        ----------
        settings : of `RowDecoder`. Its rules may differ where their masks are the same.

        Raises
        ------
        ModelError, ConfigError, TrtforgeError : as for `RowDecoder`.
        """
        if not isinstance(self._decoder, Session):
            with RowDecoder(self._decoder, **settings) as rows:
                yield rows
            return
        with self._lock:
            self._rows = self._rows or RowDecoder(self._decoder, **settings)
            try:
                yield self._rows
            finally:
                if self._rows.has_grown:
                    self._forget()

    def close(self) -> None:
        """Give back the memory of the rows; the network stays open."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._rows is not None:
            self._rows.close()
        self._rows = None
