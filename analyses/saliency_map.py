"""Along which attention edges does the context reach the answer?

The same as `tvlens saliency-map`.
"""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["saliency-map", *sys.argv[1:]])
