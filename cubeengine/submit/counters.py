"""Counters of a run, posted to an electronic log book (eLog) from a thread of their own.

The log book's job daemon gives a job the address in JID_UPDATE_COUNTERS and takes a JSON list of
``{"key": ..., "value": ...}``. The address is as good as a password: it is never logged, and nothing is sent
anywhere else, so redirects are not followed and proxies not asked. That posting fails, or hangs, is no
concern of the run.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit

VARIABLE = "JID_UPDATE_COUNTERS"
POST_SECONDS = 10.0
TIMEOUT_SECONDS = 5.0
CLOSE_SECONDS = 3.0

logger = logging.getLogger(__name__)


class Counters:
    """Posts the newest values every few seconds.

    Parameters
    ----------
    url : str
        Where to; http or https.
    every, timeout : float
        Seconds between two posts, and for one.
    """

    def __init__(self, url: str, *, every: float = POST_SECONDS, timeout: float = TIMEOUT_SECONDS) -> None:
        self._every, self._timeout = every, timeout
        self._values: dict[str, str] = {}
        self._new, self._closing = threading.Event(), threading.Event()
        self._told = False
        target = _target(url)
        if target is None:
            logger.warning("%s holds no address of a logbook; progress is not posted", VARIABLE)
        # A daemon: the process does not wait for a server that hangs.
        self._thread = threading.Thread(target=self._work, args=(target,), name="counters", daemon=True)
        self._thread.start()

    def update(self, values: Mapping[str, str]) -> None:
        """Have values posted; never waits."""
        self._values = dict(values)
        self._new.set()

    def close(self, values: Mapping[str, str] | None = None) -> None:
        """Post the last values, waiting for a few seconds at most."""
        if values is not None:
            self.update(values)
        self._closing.set()
        self._new.set()
        self._thread.join(CLOSE_SECONDS)

    def _work(self, target: SplitResult | None) -> None:
        posted: dict[str, str] = {}
        while target is not None:
            self._new.wait()
            self._new.clear()
            closing, values = self._closing.is_set(), self._values
            if values != posted:
                posted = values
                self._post(target, values)
            if closing:
                return
            self._closing.wait(self._every)

    def _post(self, target: SplitResult, values: Mapping[str, str]) -> None:
        body = json.dumps([{"key": key, "value": value} for key, value in values.items()])
        try:
            status = _send(target, body, self._timeout)
        except (OSError, HTTPException, ValueError) as err:
            self._tell(target, type(err).__name__)
        else:
            if not 200 <= status < 300:
                self._tell(target, f"status {status}")

    def _tell(self, target: SplitResult, reason: str) -> None:
        """Say once that posting fails; of the address, the host only."""
        level = logging.DEBUG if self._told else logging.WARNING
        self._told = True
        logger.log(level, "cannot post progress to the logbook at %s: %s", target.hostname, reason)


def _target(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url.strip())
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if fine else None


def _send(target: SplitResult, body: str, timeout: float) -> int:
    """Post once and give the status; 3xx is a status like others."""
    kind = HTTPSConnection if target.scheme == "https" else HTTPConnection
    connection = kind(target.hostname or "", target.port, timeout=timeout)
    headers = {"Content-Type": "application/json", "User-Agent": "cubeengine"}
    if target.username is not None:
        pair = f"{unquote(target.username)}:{unquote(target.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    try:
        connection.request("POST", path, body.encode(), headers)
        return connection.getresponse().status
    finally:
        connection.close()
