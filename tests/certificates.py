"""Certificates of tests, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = "DNS:localhost,IP:127.0.0.1"


def make(
    folder: Path, name: str, *, days: int = 30, signed_by: tuple[Path, Path] | None = None, names: str = HERE
) -> tuple[Path, Path]:
    """Certificate and key for these names; self-signed unless an authority signs it. `days` -1: it has
    ended. Only one that is named `authority` may sign others."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key, request, extra = (folder / f"{name}.{kind}" for kind in ("crt", "key", "csr", "ext"))
    what = "basicConstraints=critical,CA:TRUE\n" if name == "authority" else ""
    extra.write_text(f"{what}subjectAltName={names}\n")
    more = ["-days", str(days), "-extfile", str(extra)]
    signer = ["-signkey", str(key)]
    if signed_by is not None:
        signer = ["-CA", str(signed_by[0]), "-CAkey", str(signed_by[1]), "-CAcreateserial"]
    for line in (
        ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)],
        ["req", "-new", "-key", str(key), "-subj", f"/CN={name}", "-out", str(request)],
        [*("x509", "-req", "-in", str(request), "-out", str(certificate)), *signer, *more],
    ):
        subprocess.run(["openssl", *line], check=True, capture_output=True)
    return certificate, key
