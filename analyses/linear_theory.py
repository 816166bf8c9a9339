"""What is proven of linear transformers, on trained ones: `python analyses/linear_theory.py`."""

from tvlens.commands.stories import main

if __name__ == "__main__":
    main("linear_theory")
