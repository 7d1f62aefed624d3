"""A headless Chromium over its debugging pipe: pages opened from disk, and all they say and ask.

The protocol's messages are JSON, each ended by a zero byte, on file descriptors 3 and 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next((found for name in _NAMES if (found := shutil.which(name))), None)
WAIT_S = 60.0
_TWO_FRAMES = "new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
"""A page learns of a change of media when it is drawn next."""
_READ_BYTES = 1 << 16


class Browser:
    """One open page."""

    def __init__(self, to: int, back: int) -> None:
        self.to, self.back = to, back
        self.waiting = b""
        self.number = 0
        self.session = ""
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, **values: Any) -> dict[str, Any]:
        """One command and its result; events that come before it are kept."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": values}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(time.monotonic() + WAIT_S)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait_for(self, event: str) -> None:
        """Until an event has come."""
        deadline = time.monotonic() + WAIT_S
        while not any(found.get("method") == event for found in self.events):
            self.events.append(self._receive(deadline))

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self.waiting:
            ready, _, _ = select.select([self.back], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            read = os.read(self.back, _READ_BYTES)
            assert read, "the browser has ended"
            self.waiting += read
        raw, self.waiting = self.waiting.split(b"\0", 1)
        message: dict[str, Any] = json.loads(raw)
        return message

    def start(self) -> None:
        """Attach to an empty page and listen to it."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def open(self, path: Path, *, width: int = 1400, height: int = 1000) -> None:
        """Load a file and wait until it stands."""
        self.events.clear()
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.wait_for("Page.loadEventFired")

    def dark(self, *, on: bool) -> None:
        """What the reader prefers."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Runtime.evaluate", expression=_TWO_FRAMES, awaitPromise=True)

    def value(self, expression: str) -> Any:
        """Of a JavaScript expression."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, *, whole: bool = False) -> bytes:
        """PNG of the window, or of the whole page."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def pdf(self) -> bytes:
        """As printed, in the page's own format."""
        found = self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(found["data"])

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, uncaught exceptions."""
        found = []
        for event in self.events:
            values = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(values["exceptionDetails"]))
            if event.get("method") == "Log.entryAdded":
                found.append(values["entry"]["text"])
            if event.get("method") == "Runtime.consoleAPICalled":
                found.append(str(values["args"]))
        return found

    def requests(self) -> list[str]:
        """Addresses that the page asked for, itself included."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]


@contextmanager
def browser() -> Iterator[Browser]:
    """A fresh browser with a profile of its own; gone at the end."""
    assert PROGRAM is not None
    (read_there, to), (back, write_there) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The program expects 3 and 4; a shell puts the pipes there.
        command = [
            PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        redirect = f'exec "$@" 3<&{read_there} 4>&{write_there}'
        process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", *command],
            pass_fds=(read_there, write_there),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_there)
        os.close(write_there)
        try:
            page = Browser(to, back)
            page.start()
            yield page
        finally:
            os.close(to)
            os.close(back)
            process.terminate()
            process.wait(WAIT_S)
