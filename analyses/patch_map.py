"""Where does a context know which function is asked? The same as `tvlens patch-map`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["patch-map", *sys.argv[1:]])
