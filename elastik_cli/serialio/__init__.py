"""Boards on a serial line: framing, messages, the bridge, its spool, and a simulated board."""
