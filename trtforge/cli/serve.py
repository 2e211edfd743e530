"""``trtforge serve``: a worker with a queue, deadlines and metrics in front of networks and engines."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "models", metavar="[NAME=]MODEL", nargs="+", help="a network (.onnx, on the CPU) or engine (on a GPU)"
    )
    parser.add_argument(
        "--lighter",
        metavar="[NAME=]MODEL",
        action="append",
        default=[],
        help="the lighter model of a pipeline, for times of high load",
    )
    parser.add_argument(
        "--network",
        metavar="[NAME=]ONNX",
        action="append",
        default=[],
        help="the network an engine was built from, which says how audio is fed and text read",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="0 for any (default: 8080)")
    parser.add_argument(
        "--deadline", type=float, default=2.0, metavar="S", help="of requests without one (default: 2)"
    )
    parser.add_argument("--max-batch", type=int, default=8, metavar="N", help="of networks (default: 8)")
    parser.add_argument(
        "--max-frames", type=int, default=3000, metavar="N", help="longest input of networks (default: 3000)"
    )
    parser.add_argument(
        "--max-wait",
        type=float,
        default=0.01,
        metavar="S",
        help="longest wait for company while idle (default: 0.01)",
    )
    parser.add_argument("--num-threads", type=int, metavar="N", help="of ONNX Runtime (default: all cores)")
    parser.add_argument("--device", type=int, default=0, metavar="N", help="GPU of engines (default: 0)")
    parser.add_argument(
        "--layer-samples",
        type=int,
        default=1000,
        metavar="N",
        help="time the layers of one inference in N; 0 for none (default: 1000)",
    )
    parser.add_argument(
        "--drain-seconds", type=float, default=30.0, metavar="S", help="to finish at the end (default: 30)"
    )


def run(args: argparse.Namespace) -> None:
    """Serve until told to end."""
    import signal
    import threading

    from trtforge._progress import Stages
    from trtforge.cli._options import make_console
    from trtforge.errors import ConfigError
    from trtforge.serving.http_server import HttpServer
    from trtforge.serving.settings import PipelineSettings, ServiceSettings
    from trtforge.serving.supervisor import Supervisor

    models = _by_name(args.models)
    lighter, networks = _by_name(args.lighter, models), _by_name(args.network, models)
    unknown = sorted({*lighter, *networks} - models.keys())
    if unknown:
        raise ConfigError(
            f"no model was given for {unknown}; there are {sorted(models)}",
            hint="name the pipeline, as in NAME=MODEL",
        )
    settings = ServiceSettings(
        tuple(
            PipelineSettings(
                name=name,
                model=path,
                lighter=lighter.get(name),
                network=networks.get(name),
                deadline=args.deadline,
                max_batch=args.max_batch,
                max_frames=args.max_frames,
                max_wait=args.max_wait,
                num_threads=args.num_threads,
                device=args.device,
                layer_samples=args.layer_samples,
            )
            for name, path in models.items()
        )
    )
    console = make_console()
    ending = threading.Event()
    supervisor = Supervisor(settings.to_json(), tuple(models), drain_seconds=args.drain_seconds)
    try:
        server = HttpServer(supervisor, (args.host, args.port), max_connections=settings.max_connections)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on {args.host}:{args.port}: {error}", settings=("host", "port")
        ) from error
    before = {
        number: signal.signal(number, lambda *_: ending.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    supervisor.start()
    server.start()
    host, port = server.address
    host = f"[{host}]" if ":" in host else host
    try:
        with Stages(console).stage("load") as stage:
            while not supervisor.ready and supervisor.failure is None and not ending.wait(0.1):
                pass
            if supervisor.failure is not None:
                raise ConfigError(supervisor.failure, hint="its own message stands above")
            stage.note("ended before" if ending.is_set() else ", ".join(models))
        if not ending.is_set():
            console.print(f"[bold]serving[/]  http://{host}:{port}", soft_wrap=True)
        ending.wait()
    finally:
        supervisor.close()
        server.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _by_name(words: list[str], models: dict[str, str] | None = None) -> dict[str, str]:
    """Return name to path; a path without a name has that of its file, or of the only model there is."""
    from pathlib import Path

    from trtforge.errors import ConfigError

    found: dict[str, str] = {}
    for word in words:
        name, separator, path = word.partition("=")
        if not (path if separator else name):
            raise ConfigError(f"{word!r} names no model", hint="give its path, as in NAME=MODEL")
        if not separator or "/" in name:  # a path may hold the sign too
            only = next(iter(models)) if models and len(models) == 1 else None
            name, path = only or Path(word).stem, word
        if name in found:
            raise ConfigError(f"pipeline {name!r} was named twice")
        found[name] = path
    return found
