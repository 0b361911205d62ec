"""`open`: the daemon's dashboard, in a browser where there is one."""

from __future__ import annotations

import sys
from typing import Annotated
from urllib.parse import quote

import typer

from orchestrator.cli.common import Common, ask, found_daemon
from orchestrator.cli.output import print_json
from orchestrator.core.errors import InvalidInput

PAGE = "/"


def open_page(
    common: Common,
    token_in_url: Annotated[
        bool, typer.Option("--token-in-url", help="Sign in by the address. Whoever reads it can do the same.")
    ] = False,
) -> None:
    """Open the daemon's dashboard in a browser; prints its address.

    Without a terminal the address is printed only. The page asks for a token: that of the administrator is the text of
    admin.token in the state directory. With --token-in-url the address carries the token that this command uses, behind
    a #, which no browser sends anywhere and the page takes out at once; but it is on your screen, and may stay in a
    history or a log. What describes the API is at /docs.

    Examples:
      orchestrator open
      orchestrator --context prod open
    """
    import webbrowser

    daemon = found_daemon(common)
    address = daemon.url + PAGE
    ask(common, lambda client: client.ready())
    if token_in_url:
        if not daemon.token:
            hint = "give it with --token or ORCHESTRATOR_TOKEN"
            raise InvalidInput("cannot put a token into the address: none is known here", hint=hint)
        address += f"#token={quote(daemon.token, safe='')}"
    if common.json:
        print_json({"url": address})
        return
    print(address, flush=True)
    if sys.stdout.isatty():
        webbrowser.open(address)
