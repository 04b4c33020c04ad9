"""The command line of headbench: ``python bench.py --help``."""

import sys

from headbench.runners.commands.main import entry

if __name__ == "__main__":
    sys.exit(entry())
