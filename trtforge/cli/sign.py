"""``trtforge sign``: sign an engine, so that others can see who built it."""

from __future__ import annotations

import argparse

from trtforge.cli._options import make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("engine", metavar="ENGINE", help="NAME.engine, with NAME.engine.json beside it")
    parser.add_argument(
        "--key", metavar="PEM", required=True, help="Ed25519 private key, as openssl genpkey writes it"
    )


def run(args: argparse.Namespace) -> None:
    """Verify plan and manifest, sign the manifest, write the signature beside them."""
    from rich.markup import escape

    from trtforge.engine.artifact import sign_engine
    from trtforge.engine.signature import signature_path

    signature = sign_engine(args.engine, args.key)
    console = make_console()
    console.print(f"[bold]signed[/]  {escape(args.engine)}", soft_wrap=True)
    console.print(
        f"        by key {signature.key_id}, in {escape(str(signature_path(args.engine)))}", soft_wrap=True
    )
