"""The command suite: one verb a file in `commands`, everything shared beside them."""
