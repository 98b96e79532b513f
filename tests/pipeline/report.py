#!/usr/bin/python3
"""report.py FILE WHAT...: a report in headless Chromium. WHAT: bare (nothing measured), full (all sections with pictures), begun, failed, damaged,
large, compared, namesakes (compared, too), short (evaluate.every counts more steps than there are), here (./full, by its own name); hostile: the
names of report.sh's hostile data are text; devices: hover, tap, phone, dark, print."""
import base64
import re
import sys

from browser import Browser

path, what = sys.argv[1], sys.argv[2:]
ONE = ["verdict", "course", "measures", "speed", "images", "saw", "queries", "map", "odd", "twins", "quarantine", "settings", "commands"]
SEVERAL = ["verdict", "course", "measures", "speed", "quarantine", "settings", "commands"]

text = open(path, encoding="utf-8").read()  # strictly UTF-8
assert len(text.encode()) < 5_000_000, len(text)
addresses = set(re.findall(r"""https?://[^\s"'`)]+""", text))
assert addresses == {"http://www.w3.org/2000/svg"}, addresses  # a name, which nothing loads
assert not re.search(r"<(script|link|img|iframe|object|embed)[^>]*\b(src|href)\s*=", text), "something is loaded"

browser = Browser()


def look(**how):
    browser.open(path, **how)
    complaints = browser.complaints()
    assert not complaints, complaints
    others = [url for url in browser.loaded()[1:] if not url.startswith("data:image/jpeg;base64,")]
    assert not others, others
    assert browser.run("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"
    sections = browser.run("[...document.querySelectorAll('main > section')].map((s) => s.id)")
    assert sections == (SEVERAL if "compared" in what else ONE), sections
    # No markup but the page's own: two scripts, two pictures at most, nothing that runs code.
    assert browser.run("document.scripts.length") == 2 and browser.run("document.images.length") <= 2
    assert browser.run("typeof hacked") == "undefined"
    assert browser.run("[...document.querySelectorAll('*')].every((e) => [...e.attributes].every((a) => !a.name.startsWith('on')))")
    assert browser.run("document.querySelectorAll('iframe, object, embed, link, base, form').length") == 0


def inside(section):
    return browser.run(f"document.getElementById('{section}').innerText")


def count(selector):
    return browser.run(f"document.querySelectorAll({selector!r}).length")


look()
drawn = browser.run("document.body.innerText")
assert "cannot be drawn" not in drawn and "undefined" not in drawn and "NaN" not in drawn, drawn
assert "Collapsed: the deviation" in drawn, "the rules of the verdict"
if "bare" in what or "begun" in what:
    for section in ("measures", "queries", "map", "odd", "twins"):
        assert "./run evaluate" in inside(section), section
if "bare" in what:
    assert count("#course polyline") >= 4 and "images a second" in inside("speed") and count("#saw img") == 1 and count("#images img") == 1
    assert re.search("CPU, .* thread.*oneDNN", inside("settings")), inside("settings")
if "begun" in what:
    assert "No step is done yet" in inside("course") and "has not trained yet" in drawn
if "short" in what:
    assert re.search("evaluate.every = 1 measures after every 50 steps .*, and the run has 12: lower", inside("measures")), inside("measures")
if "here" in what:
    assert browser.run("document.querySelector('h1').innerText") == "full" and "full" in browser.run("document.title")
if "namesakes" in what:
    assert re.search(r"/full\b[^$]*/again/full\b", inside("verdict")), inside("verdict")
if "failed" in what:
    assert "It failed: the <b>disk</b> is full" in inside("verdict")
    assert "failed, step 12 of 12; it can go on from step 8;" in drawn
if "alarmed" in what:
    assert "An alarm stopped it: spike at step 3: it jumped" in inside("verdict") and count("#verdict b, #verdict i") == 0, inside("verdict")
    assert "Alarm at step 3, spike: the loss <b>jumped</b>. Lower <i>it</i>" in inside("verdict") and "step x" not in inside("verdict")
if "large" in what:
    assert "larger than 5 MB" in inside("queries") and "larger than 5 MB" in inside("saw") and "larger than 5 MB" in inside("images") and count("#map circle") > 30
if "damaged" in what:
    assert "status.json" in inside("verdict") and "contact.png" in inside("verdict"), inside("verdict")
    assert "</script><script>hacked=1</script>" in inside("quarantine") and "findings.json is damaged" in inside("map")
if "full" in what:
    for row in ("chance", "colour statistics", "16 x 16 pixels", "untrained", "trained"):
        assert row in inside("measures"), row
    assert count("#measures polyline") > 10 and count("#measures table") == 3
    assert count("#queries .row") == 8 and count("#queries .row:first-of-type .thumb") == 7
    assert count("#map circle") > 30 and count("#odd .card") >= 12 and count("#twins .card") >= 12 and count("#saw img") == 1 and count("#images img") == 1
    nearest = browser.run("document.querySelector('#twins .card').innerText")
    assert "plain.jpg\nat 176," in nearest and "copy.jpg\nat 0," in nearest, nearest
    for command in ("resume", "export", "embed"):
        assert re.search(f"./run {command} '?/", inside("commands")), "a command works anywhere"
    lines, marks = (browser.run(f"[...document.querySelectorAll('#measures figure:first-of-type {place}')].map((e) => e.getAttribute('stroke') + e.getAttribute('stroke-dasharray'))")
                    for place in ("polyline", ".legend line"))
    assert lines == marks and len(set(marks)) == len(marks) == 5, marks
    assert "trainer.batch" in inside("settings") and "libvips" in inside("settings")
    for section in ("images", "saw"):
        browser.run(f"document.querySelector('#{section} img').decode()")
if "hostile" in what:
    for name in ("<script>hacked=1<!--.jpg", '"><img src=x onerror=hacked=1>.jpg', "a</script>hacked=1;.jpg"):
        assert name in browser.run("document.body.textContent"), name
    assert 'label b"><img src=x onerror=hacked=1>' in drawn and "line end.jpg" in inside("quarantine") and "broken<script>.jpg" in inside("quarantine")
if "compared" in what and "namesakes" not in what:
    for section in ("verdict", "measures", "settings"):
        assert "full" in inside(section) and "live" in inside(section) and "/full" not in inside(section), section
    assert "evaluate.every" in inside("settings") and "data.tile" not in inside("settings")
    assert count("#course figure:first-of-type polyline") == 6

if "devices" in what:
    backgrounds = set()
    for width in (1200, 390):
        for dark in (False, True):
            look(width=width, dark=dark, phone=width < 640)
            backgrounds.add(browser.run("getComputedStyle(document.body).backgroundColor"))
            # The first tile's circle, pointed at or tapped: its picture and name.
            browser.run("document.querySelector('#map svg').scrollIntoView({block: 'center'})")
            spot = browser.run("(({x, y, width, height}) => ({x: x + width / 2, y: y + height / 2}))(document.querySelector('#map circle').getBoundingClientRect())")
            if width < 640:
                browser.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[spot])
                browser.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            else:
                browser.ask("Input.dispatchMouseEvent", type="mouseMoved", **spot)
            assert count("#map .detail .thumb") == 1 and "held out" in inside("map"), (width, inside("map"))
    assert len(backgrounds) == 2, backgrounds
    pdf = base64.b64decode(browser.ask("Page.printToPDF", printBackground=False)["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 20000
browser.close()
