"""The verbs of `elastik coap`, one file each."""
