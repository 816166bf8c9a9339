"""What one task vector can not do, and several can. The same as `tvlens task-vector-limits`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["task-vector-limits", *sys.argv[1:]])
