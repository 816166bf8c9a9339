"""Does a task vector serve elsewhere than where it was read? The same as `tvlens transfer`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["transfer", *sys.argv[1:]])
