"""What becomes of errors when test data come from elsewhere?

The same as `tvlens distribution-shifts`.
"""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["distribution-shifts", *sys.argv[1:]])
