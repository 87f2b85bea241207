"""The verbs of `elastik serial`, one file each."""
