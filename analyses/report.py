"""Everything about some models on one page. The same as `tvlens report`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]])
