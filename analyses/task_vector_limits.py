"""What one task vector can not do, and several can: `python analyses/task_vector_limits.py`."""

from tvlens.commands.stories import main

if __name__ == "__main__":
    main("task_vector_limits")
