"""`python -m elastik ARGS`: the same program as the command."""

import sys

from elastik_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
