"""How much of the context can be dropped above a layer? The same as `tvlens pruning`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["pruning", *sys.argv[1:]])
