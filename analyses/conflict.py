"""Context or vector: which task does the answer follow? The same as `tvlens conflict`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["conflict", *sys.argv[1:]])
