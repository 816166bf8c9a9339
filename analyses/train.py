"""Train one model. The same as `tvlens train`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
