"""What do the heads and MLPs add to the task vector? The same as `tvlens contributions`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["contributions", *sys.argv[1:]])
