"""The Python of the documentation; run as a script, it prints the README's first example."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def python_blocks(page: str) -> list[str]:
    """The Python code blocks of a Markdown page of this checkout, in order."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


if __name__ == "__main__":
    print(python_blocks("README.md")[0])
