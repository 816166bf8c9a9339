"""Which tokens does each head look at? The same as `tvlens attention-map`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["attention-map", *sys.argv[1:]])
