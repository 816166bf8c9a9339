"""How do the task vectors of different functions lie to each other?

The same as `tvlens geometry`.
"""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["geometry", *sys.argv[1:]])
