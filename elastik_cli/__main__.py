"""Run the command as `python -m elastik_cli`."""

from elastik_cli.main import main

raise SystemExit(main())
