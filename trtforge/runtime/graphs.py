"""CUDA graphs of a lane: one for each set of shapes and addresses that comes again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from trtforge.nvidia.cuda import Graph, Stream
from trtforge.nvidia.execution import Context

# How often the same shapes and addresses must come before they are worth a recording.
_SIGHTINGS = 2


@dataclass(frozen=True)
class _Recorded:
    context: Context
    graph: Graph

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(self.context.close)
            stack.callback(self.graph.close)


class GraphCache:
    """A bounded number of recorded inferences, of which the one unused longest goes first.

    A recording holds the shapes and addresses of its context, and is undefined once these change. So each
    has an execution context of its own. Addresses that never come again are not recorded, and each time that
    all recordings have been displaced, twice as many sightings are asked for.

    Parameters
    ----------
    new_context : makes an execution context in a profile, for use on the stream.
    stream : where inferences run.
    limit : most recordings kept.

    References
    ----------
    NVIDIA, TensorRT Developer Guide, "CUDA Graphs".
    """

    def __init__(self, new_context: Callable[[int | None, int], Context], stream: Stream, limit: int) -> None:
        self._new_context, self._stream, self._limit = new_context, stream, limit
        self._recorded: OrderedDict[tuple[object, ...], _Recorded] = OrderedDict()
        self._sightings: OrderedDict[tuple[object, ...], int] = OrderedDict()
        self._num_displaced = 0
        self.num_replays = 0

    def __len__(self) -> int:
        return len(self._recorded)

    def launch(
        self, profile: int | None, shapes: tuple[tuple[int, ...], ...], addresses: Mapping[str, int]
    ) -> bool:
        """Queue an inference by its recording, or record it if it comes often; return whether it is queued.

        Parameters
        ----------
        profile, shapes : of the inputs; None where the engine has no profiles.
        addresses : of every input, in the order of the shapes, and then of every output.

        Raises
        ------
        TrtforgeError : a recording could not be made or launched.
        """
        key = (profile, shapes, *addresses.values())
        found = self._recorded.get(key)
        if found is not None:
            self._recorded.move_to_end(key)
            self.num_replays += 1
            found.graph.launch(self._stream)
            return True
        if not self._comes_often(key):
            return False
        self._record(key, profile, shapes, addresses)
        return True

    def close(self) -> None:
        """Give all recordings back."""
        with ExitStack() as stack:
            for recorded in self._recorded.values():
                stack.callback(recorded.close)
            self._recorded.clear()
            self._sightings.clear()

    def _comes_often(self, key: tuple[object, ...]) -> bool:
        seen = self._sightings.pop(key, 0) + 1
        needed = _SIGHTINGS << min(self._num_displaced // self._limit, 10)
        if seen >= needed:
            return True
        self._sightings[key] = seen
        if len(self._sightings) > 4 * self._limit:
            self._sightings.popitem(last=False)
        return False

    def _record(
        self,
        key: tuple[object, ...],
        profile: int | None,
        shapes: tuple[tuple[int, ...], ...],
        addresses: Mapping[str, int],
    ) -> None:
        if len(self._recorded) >= self._limit:
            self._num_displaced += 1
            _, oldest = self._recorded.popitem(last=False)
            self._stream.synchronize()
            oldest.close()
        context = self._new_context(profile, self._stream.handle)
        try:
            context.set_shapes(dict(zip(addresses, shapes, strict=False)))
            context.set_addresses(addresses)
            # Sets up what must not be set up while recording, and is this call's inference.
            context.enqueue(self._stream.handle)
            self._stream.synchronize()
            graph = Graph(self._stream, lambda: context.enqueue(self._stream.handle))
        except BaseException:
            context.close()
            raise
        self._recorded[key] = _Recorded(context, graph)
