"""Accessibility of a page by axe-core: ``python benchmarks/page_accessibility.py PAGE AXE``.

PAGE is a ``report.html``, AXE the file ``axe.min.js`` of axe-core, which ``npm pack axe-core`` brings. The page is
opened in chromium, light and dark, at the width of a desk and of a telephone, everything unfolded. Printed are the
findings; the exit status is 1 where one is serious or critical.
"""

import html
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WIDTHS, SCHEMES = (1400, 390), {"light": 1, "dark": 0}
GRAVE = ("serious", "critical")
# In milliseconds that the browser's clock is moved on.
BUDGET = 300_000
PROBE = """<script>
addEventListener("load", async () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  const { violations } = await axe.run();
  const found = violations.map(rule => ({ ...rule, nodes: rule.nodes.map(node => node.html) }));
  document.body.innerHTML = "<pre></pre>";
  document.querySelector("pre").textContent = JSON.stringify(found);
});
</script></body>"""


def findings(page: Path, axe: Path, width: int, scheme: str) -> list[dict[str, Any]]:
    """Return what axe-core finds on a page: of each rule its name, impact and elements."""
    before, _, after = page.read_text(encoding="utf-8").rpartition("</body>")
    with tempfile.TemporaryDirectory() as folder:
        probed = Path(folder) / "page.html"
        script = axe.read_text(encoding="utf-8")
        probed.write_text(f"{before}<script>{script}</script>{PROBE}{after}", encoding="utf-8")
        browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        settings = [f"--window-size={width},900", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"]
        command = [*browser, *settings, f"--virtual-time-budget={BUDGET}", "--dump-dom", probed.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (told,) = re.findall("<pre>(.*?)</pre>", shown, re.DOTALL)
    found: list[dict[str, Any]] = json.loads(html.unescape(told))
    return found


def main() -> int:
    """Print the findings; return the exit status."""
    page, axe = map(Path, sys.argv[1:])
    grave = 0
    for width in WIDTHS:
        for scheme in SCHEMES:
            found = findings(page, axe, width, scheme)
            print(f"{width} px, {scheme}: {len(found)} rules broken")
            for rule in found:
                print(f"  {rule['impact']}: {rule['id']}, {rule['help']}; {len(rule['nodes'])} elements, as")
                print(f"    {rule['nodes'][0][:200]}")
            grave += sum(rule["impact"] in GRAVE for rule in found)
    return 1 if grave else 0


if __name__ == "__main__":
    sys.exit(main())
