"""What does the context give, and what does one vector keep? The same as `tvlens icl-curve`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["icl-curve", *sys.argv[1:]])
