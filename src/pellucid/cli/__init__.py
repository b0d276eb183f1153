"""The command line: ``pellucid explain`` and ``compare`` MODEL DATA, ``pellucid methods`` and ``metrics``.

Importing this costs nothing but click; torch and everything heavy is imported by the command that runs.
"""

from pellucid.cli._commands import main

__all__ = ["main"]
