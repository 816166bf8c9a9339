"""How good are the models that ship? The same as `tvlens check`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["check", *sys.argv[1:]])
