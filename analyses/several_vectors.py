"""Do several vectors serve better than one? The same as `tvlens several-vectors`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["several-vectors", *sys.argv[1:]])
