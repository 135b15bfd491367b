"""Headless Chromium, driven by its DevTools protocol over two pipes; nothing but the browser is needed."""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import tempfile

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
MISSING = None if CHROMIUM else "needs a browser: apt-get install chromium"
KEYS = {"Tab": 9, "PageUp": 33, "PageDown": 34, "d": 68, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    def __init__(self, to_browser, from_browser):
        self.to_browser, self.from_browser, self.numbers = to_browser, from_browser, itertools.count(1)
        self.session, self.events = None, []
        target = self.cdp("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.cdp("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            self.cdp(f"{domain}.enable")

    def cdp(self, method, **params):
        """Send a command  ->  the browser's answer"""
        number = next(self.numbers)
        message = dict(id=number, method=method, params=params) | (dict(sessionId=self.session) if self.session else {})
        self.to_browser.write(json.dumps(message).encode() + b"\0")
        self.to_browser.flush()
        while (answer := self.receive()).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def receive(self):
        data = bytearray()
        while (byte := self.from_browser.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser has gone")
            data += byte
        return json.loads(data)

    def open(self, path):
        self.events.clear()
        self.cdp("Page.navigate", url=f"file://{path}")
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def run(self, script, *args, frame=None):
        """The value that `script`, the body of a function, returns; in the page, or in its frame of that number."""
        place = {} if frame is None else dict(contextId=self._frames()[frame])
        result = self.cdp("Runtime.evaluate", expression=f"(function () {{ {script} }})(...{json.dumps(args)})",
                          returnByValue=True, awaitPromise=True, **place)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def _frames(self):
        frames = self.cdp("Page.getFrameTree")["frameTree"].get("childFrames", [])
        contexts = {event["params"]["context"]["auxData"]["frameId"]: event["params"]["context"]["id"]
                    for event in self.events if event["method"] == "Runtime.executionContextCreated"}
        return [contexts[frame["frame"]["id"]] for frame in frames]

    def screen(self, width=1280, height=900, dark=False, touch=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.cdp("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"}])

    def centre(self, selector):
        """Scroll an element into view  ->  where its middle then is"""
        return self.run("""const e = document.querySelector(arguments[0]); e.scrollIntoView({block: "center"});
            const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]""", selector)

    def hover(self, x, y, press=False):
        self.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased") if press else ():
            self.cdp("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def tap(self, x, y):
        self.cdp("Input.dispatchTouchEvent", type="touchStart", touchPoints=[dict(x=x, y=y)])
        self.cdp("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def keys(self, *names):
        for name in names:
            for kind in ("rawKeyDown", "keyUp"):
                self.cdp("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=KEYS[name])

    def screenshot(self, path):
        size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
        image = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip=dict(x=0, y=0, width=size["width"], height=size["height"], scale=1))
        with open(path, "wb") as file:
            file.write(base64.b64decode(image["data"]))

    def complaints(self):
        """What went wrong in the page since it was opened: errors, and whatever its policy refused."""
        self.run("return 0")
        errors = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        thrown = [e["params"]["exceptionDetails"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        return [entry["text"] for entry in errors if entry["level"] == "error"] + [error["text"] for error in thrown]


@contextlib.contextmanager
def browser():
    """A browser for the length of a block; only the processes begun here are ended."""
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--disable-extensions", "--password-store=basic", "--disable-features=IsolateSandboxedIframes",
             "--remote-debugging-pipe")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, contextlib.ExitStack() as stack:
        commands, to_browser = os.pipe()
        from_browser, answers = os.pipe()
        # The browser reads commands from file 3 and writes answers to file 4; all other files close by themselves.
        high = [fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 10) for pipe in (commands, answers)]
        process = subprocess.Popen(
            [CHROMIUM, *flags, f"--user-data-dir={profile}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False, preexec_fn=lambda: [os.dup2(pipe, file) for pipe, file in zip(high, (3, 4))])
        for pipe in (commands, answers, *high):
            os.close(pipe)
        opened = Browser(stack.enter_context(open(to_browser, "wb")), stack.enter_context(open(from_browser, "rb")))
        try:
            yield opened
        finally:
            opened.session = None
            opened.cdp("Browser.close")
            process.wait(20)
