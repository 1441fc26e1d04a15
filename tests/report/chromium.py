"""A headless Chromium, driven over its debugging pipe with the standard library alone."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless_shell")


def find_chromium() -> str | None:
    """The first Chromium on the PATH."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """One page in one browser; a context manager."""

    def __init__(self, binary: str, profile: Path, *, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._count = 0
        self._session: str | None = None
        self._received = b""
        self.complaints: list[str] = []
        """What the console was told: errors and warnings, requests that were blocked, exceptions."""
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on descriptor 4.
        options = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        self._process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "chromium"),
                *(binary, *options, f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def __enter__(self) -> Tab:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command of the DevTools protocol; of events in between complaints are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._message())
            self._note(answer)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _note(self, event: dict[str, Any]) -> None:
        kind, told = event.get("method"), event.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif kind == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
        elif kind == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([part.get("value", part.get("description")) for part in told["args"]]))

    def _message(self) -> bytes:
        end = time.monotonic() + self._timeout
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self._in, 1 << 16) if ready else b""
            assert part, "Chromium gave no answer"
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        return message

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, or what its promise comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        """Load a page and wait until it is there."""
        self.call("Page.navigate", url=url)
        end = time.monotonic() + self._timeout
        while self.evaluate("[location.href, document.readyState].join(' ')") != f"{url} complete":
            assert time.monotonic() < end, f"{url} did not load"
            time.sleep(0.05)

    def wait(self, expression: str) -> None:
        """Wait until an expression holds."""
        end = time.monotonic() + self._timeout
        while not self.evaluate(f"!!({expression})"):
            assert time.monotonic() < end, f"{expression} does not hold"
            time.sleep(0.05)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """One event of the mouse: ``Moved``, ``Pressed``, ``Released`` or ``Wheel``."""
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **more)

    def middle(self, element: str) -> tuple[float, float]:
        """Where the middle of the element that an expression gives is seen, once it is scrolled into sight."""
        place = (
            f"(e => (e.scrollIntoView({{block: 'center', inline: 'center'}}), e.getBoundingClientRect()))({element})"
        )
        x, y = self.evaluate(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({place})")
        return x, y

    def click(self, element: str) -> None:
        """Press and release the mouse on the middle of the element that an expression gives."""
        x, y = self.middle(element)
        self.mouse("Moved", x, y)
        for kind in ("Pressed", "Released"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def press_enter(self) -> None:
        """Press and release the return key."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        self.call("Input.dispatchKeyEvent", type="keyUp", **key)
