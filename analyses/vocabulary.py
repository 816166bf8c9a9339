"""Which symbols does the task vector stand for? The same as `tvlens vocabulary`."""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["vocabulary", *sys.argv[1:]])
