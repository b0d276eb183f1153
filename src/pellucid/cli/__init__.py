"""The command line: ``pellucid explain MODEL DATA``, ``pellucid methods``.

Importing this costs nothing but click; torch and everything heavy is imported by the command that runs.
"""

from pellucid.cli._commands import main

__all__ = ["main"]
