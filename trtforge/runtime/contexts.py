"""The execution contexts of a lane: one for each optimization profile, which share scratch memory."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trtforge.nvidia.cuda import DeviceBuffer
from trtforge.nvidia.execution import Context, LoadedEngine
from trtforge.nvidia.output_allocator import GrowingOutput


@dataclass
class Prepared:
    """A context with the shapes that it was given.

    Attributes
    ----------
    context : the context, in its profile.
    key : what its shapes were set for; None for none.
    fixed : shape, dtype and size in memory of each output whose shape is known.
    growing : the outputs whose shape is not.
    """

    context: Context
    key: tuple[tuple[int, ...], ...] | None = None
    fixed: dict[str, tuple[tuple[int, ...], np.dtype[Any], int]] = field(default_factory=dict)
    growing: dict[str, GrowingOutput] = field(default_factory=dict)


class Contexts:
    """Contexts that never run at once.

    A context that changes its profile is set up anew, which takes tens of milliseconds for a network of many
    layers; so each profile keeps one. Activations are of no use after an inference, so one block of memory
    serves them all.

    Parameters
    ----------
    loaded : the engine.

    Raises
    ------
    OutOfMemoryError : the GPU has no room for the scratch memory.
    """

    def __init__(self, loaded: LoadedEngine) -> None:
        self._loaded = loaded
        self._of_profile: dict[int | None, Prepared] = {}
        with ExitStack() as stack:
            self._scratch = stack.enter_context(DeviceBuffer())
            self._scratch.reserve(loaded.scratch_bytes)
            stack.callback(self._close_contexts)
            self._resources = stack.pop_all()

    def __len__(self) -> int:
        return len(self._of_profile)

    @property
    def alive(self) -> tuple[Prepared, ...]:
        """Those that exist."""
        return tuple(self._of_profile.values())

    @property
    def scratch_bytes(self) -> int:
        """GPU memory held for activations."""
        return self._scratch.capacity_bytes

    def of(self, profile: int | None, stream: int) -> Prepared:
        """Return the context of a profile, which is made where there is none; None without profiles.

        Raises
        ------
        OutOfMemoryError : the GPU has no room for another context.
        ProfileInUseError : another context holds the profile, and the engine does not let them share it.
        """
        found = self._of_profile.get(profile)
        if found is None:
            found = self._of_profile[profile] = Prepared(self.new(profile, stream))
        return found

    def new(self, profile: int | None, stream: int) -> Context:
        """Make another context in a profile, which the caller closes before this is closed.

        Raises
        ------
        OutOfMemoryError, ProfileInUseError : as for `of`.
        """
        context = self._loaded.new_context(self._scratch.address)
        try:
            if profile is not None:
                context.use_profile(profile, stream)
        except BaseException:
            context.close()
            raise
        return context

    def forget(self) -> None:
        """Have every context given its shapes anew."""
        for prepared in self._of_profile.values():
            prepared.key = None

    def close(self) -> None:
        """Give everything back; nothing may be running."""
        self._resources.close()

    def _close_contexts(self) -> None:
        with ExitStack() as stack:
            for prepared in self._of_profile.values():
                for output in prepared.growing.values():
                    stack.callback(output.close)
                stack.callback(prepared.context.close)
            self._of_profile.clear()
