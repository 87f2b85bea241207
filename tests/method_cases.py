"""Every method of 8.3.0 as a small case; run by an interpreter that has one of the two SDKs.

Called as ``python method_cases.py URL TOKEN OUT`` it writes {case: what came out} as JSON.
"""

import json
import sys

import method_families  # noqa: F401 - fills the registry
import method_verbs  # noqa: F401 - fills the registry
from elastik import Elastik
from method_registry import CASES, outcome

__all__ = ["CASES"]


def main():
    url, token, out = sys.argv[1:4]
    e = Elastik(url, token)
    found = {}
    for name, function in CASES.items():
        for path in e.list():
            if path != "var/log/deletes":
                e.delete(path)
        found[name] = outcome(lambda function=function: function(e))
    with open(out, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
