"""What is wrong with a page for those who do not see it, or see it on a phone.

Knows: axe, colour schemes, widths. Does not know: what is on the page.
"""

from __future__ import annotations

import json

from axe_playwright_python.async_playwright import Axe

from tests.support.web.browser import Tab


async def faults(page: Tab) -> list[str]:
    """What axe finds, in light and dark, on a phone and a desk; and what is wider than the window."""
    found = []
    for scheme in ("light", "dark"):
        await page.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in (360, 1200):
            await page.page.set_viewport_size({"width": width, "height": 800})
            results = await Axe().run(page.page)
            for fault in results.response["violations"]:
                if fault["impact"] in ("serious", "critical"):
                    found.append(
                        f"{scheme} {width}: {fault['id']} {json.dumps([node['html'] for node in fault['nodes']])}"
                    )
            if await page.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{scheme} {width}: wider than the window")
    return found
