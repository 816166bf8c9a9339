"""Does the task vector hold the task and nothing else? The same as `tvlens disentanglement`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["disentanglement", *sys.argv[1:]])
