"""Can the task be read off the vectors, and does the model read it?

The same as `tvlens decodability`.
"""

import sys

from tvlens.commands.main import main

if __name__ == "__main__":
    main(["decodability", *sys.argv[1:]])
