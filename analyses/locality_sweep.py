"""Where do models keep their task? The same as `tvlens locality-sweep`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["locality-sweep", *sys.argv[1:]])
