"""How much noise in the labels does a model bear? The same as `tvlens noise`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["noise", *sys.argv[1:]])
