"""Figures as PNG files, an optional extra."""

from pathlib import Path

import plotly.graph_objects as go

from tvlens.errors import InputError
from tvlens.files import write_whole


def write_png(figure: go.Figure, path: Path | str, *, scale: float = 2.0) -> None:
    """Draw a figure with a headless browser.

    Raises:
        InputError: kaleido or a browser for it is missing; says how to get them.
    """
    try:
        image = figure.to_image(format="png", scale=scale)
    except (ImportError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(",. ")
        raise InputError(
            f"Cannot draw {path}: {reason}. PNG files need the extra "
            "`pip install 'tvlens[png]'` and a Chrome or Chromium browser (set BROWSER_PATH if it "
            "is in no usual place). The HTML figure needs neither."
        ) from error
    write_whole(Path(path), lambda file: file.write_bytes(image))
