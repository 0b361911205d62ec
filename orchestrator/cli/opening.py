"""`open`: the daemon's own page, in a browser where there is one."""

from __future__ import annotations

import sys

from orchestrator.cli.common import Common, ask, connect
from orchestrator.cli.output import print_json

PAGE = "/"


def open_page(common: Common) -> None:
    """Open the daemon's dashboard in a browser; prints its address.

    Without a terminal the address is printed only. The page asks for a token: that of the administrator is the text of
    admin.token in the state directory. What describes the API is at /docs.

    Examples:
      orchestrator open
      orchestrator --context prod open
    """
    import webbrowser

    address = connect(common).url + PAGE
    ask(common, lambda client: client.ready())
    if common.json:
        print_json({"url": address})
        return
    print(address, flush=True)
    if sys.stdout.isatty():
        webbrowser.open(address)
