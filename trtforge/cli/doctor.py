"""``trtforge doctor``: what this machine has and can do."""

from __future__ import annotations

import argparse

from trtforge.cli._options import make_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments: there are none."""


def run(args: argparse.Namespace) -> None:
    """Look at the machine, print what was found."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    import trtforge
    from trtforge.nvidia import describe_machine
    from trtforge.units import format_bytes

    machine, console = describe_machine(), make_console()
    facts = Table(box=box.SIMPLE, show_header=False, padding=(0, 1))
    facts.add_column(style="bold")
    facts.add_column()
    facts.add_row("trtforge", trtforge.__version__)
    facts.add_row("Python", machine.python)
    facts.add_row("system", machine.system)
    facts.add_row("CPU", f"{machine.num_cpus} cores, {format_bytes(machine.memory_bytes)}")
    for gpu in machine.gpus:
        facts.add_row(f"GPU {gpu.index}", escape(str(gpu)))
    if not machine.gpus:
        facts.add_row("GPU", "[yellow]none that CUDA can use[/]")
    for name, version in machine.libraries.items():
        facts.add_row(name, version)
    for package, installed in machine.packages.items():
        if package not in machine.libraries:
            facts.add_row(package, installed or "[dim]not installed[/]")
    console.print(facts)
    abilities = Table(title="What can be done here", title_justify="left", box=box.SIMPLE, show_header=False)
    for item in machine.capabilities:
        mark = "[green]✓[/]" if item.possible else "[red]✗[/]"
        abilities.add_row(mark, item.name, escape(item.reason))
    console.print(abilities)
