"""Where files are in a checkout.

Knows: folders. Does not know: what is in them.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  #: the checkout
DEMOS = ROOT / "demos"
AUDIO = ROOT / "tests" / "data" / "audio"  #: short clips, see LICENSE.txt there
PAGE = ROOT / "streamrvq" / "live" / "page"  #: the browser page and its client
