"""Which heads and MLPs write the task vector, and which read it?

The same as `tvlens part-effects`.
"""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["part-effects", *sys.argv[1:]])
