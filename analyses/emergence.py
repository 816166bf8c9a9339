"""When does the task vector come to be? The same as `tvlens emergence`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["emergence", *sys.argv[1:]])
