"""What is proven of linear transformers, on trained ones. The same as `tvlens linear-theory`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["linear-theory", *sys.argv[1:]])
