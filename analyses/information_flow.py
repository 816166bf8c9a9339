"""Where are examples put together, and where is the vector made of them?

The same as `tvlens information-flow`.
"""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["information-flow", *sys.argv[1:]])
