"""How many items of a map does one vector serve? The same as `tvlens bijections`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["bijections", *sys.argv[1:]])
