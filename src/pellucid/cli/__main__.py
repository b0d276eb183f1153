"""Run the command line as ``python -m pellucid.cli``."""

from pellucid.cli._commands import main

main(prog_name="pellucid")
