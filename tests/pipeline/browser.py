"""browser.py: headless Chromium, asked through a pipe (the DevTools protocol, of which Python needs nothing but its own library): opens a file as a
phone or a desktop would, in light or dark, and keeps all that the page complains of or loads."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
import urllib.parse

PATIENCE = 300  # seconds; only a browser that hangs takes so long


def find():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="smallbatch-test-")
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        for fd in (to_read, to_write):
            os.set_inheritable(fd, True)
        # The browser reads descriptor 3 and writes 4.
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "sh", find(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--disable-background-networking", "--no-first-run", "--hide-scrollbars", f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=(to_read, to_write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.number, self.events, self.rest, self.session = 0, [], b"", None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(domain + ".enable")

    def receive(self):
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.back], [], [], max(0, end - time.monotonic()))
            part = os.read(self.back, 1 << 20) if ready else b""
            if not part:
                raise SystemExit("the browser has ended, or hangs")
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def ask(self, method, **parameters):
        self.number += 1
        question = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            question["sessionId"] = self.session
        rest = json.dumps(question).encode() + b"\0"
        while rest:
            rest = rest[os.write(self.to, rest):]
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, path, width=1200, height=900, dark=False, phone=False):
        """Loads a file; what happened before is forgotten."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.ask("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.events = []
        self.ask("Page.navigate", url="file://" + urllib.parse.quote(os.path.abspath(os.fsencode(path))))
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self.receive())
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script):
        """The value of an expression within the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise SystemExit(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def complaints(self):
        """What the console, the page's policy or the network have to say."""
        self.run("0")  # whatever came before this has arrived
        wanted = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening", "Network.loadingFailed"}
        return [e for e in self.events if e.get("method") in wanted]

    def loaded(self):
        return [e["params"]["request"]["url"][:80] for e in self.events if e.get("method") == "Network.requestWillBeSent"]

    def picture(self, path, clip=None):
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        area = clip or {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=area)
        with open(path, "wb") as f:
            f.write(base64.b64decode(answer["data"]))

    def close(self):
        self.session = None
        try:
            self.ask("Browser.close")
        except SystemExit:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)
