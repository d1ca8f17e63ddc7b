"""The report in a real browser: the slider works, and nothing is asked of a network.

Needs Chromium and its driver (Debian: chromium, chromium-driver) and the package selenium.
"""

import json
import shutil

import numpy as np
import pytest
from report_example import full

from medkit.report import write_report

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402 - skipped where absent
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="Chromium or chromedriver is not installed (apt install chromium chromium-driver)",
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    quiet = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run",
             "disable-quic", "disable-background-networking", "disable-component-update",
             "disable-sync", "window-size=1200,900",
             f"user-data-dir={tmp_path_factory.mktemp('profile')}")  # fmt: skip
    for argument in quiet:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=["binary", "multilabel", "regression"])
def opened(request, browser, tmp_path_factory):
    """A page freshly opened, the inputs it was made from, and what the browser asked for."""
    inputs = full(request.param)
    path = tmp_path_factory.mktemp(request.param) / "report.html"
    write_report(path, inputs)
    browser.get_log("performance"), browser.get_log("browser")
    browser.get(path.as_uri())
    return browser, inputs, path.as_uri()


def requests(browser):
    entries = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [entry["params"]["request"]["url"] for entry in entries
            if entry["method"] == "Network.requestWillBeSent"]  # fmt: skip


def shown(browser, name):
    return browser.find_element(By.ID, f"slider-{name}").text.replace("\xa0", " ")


def expected(y, p, threshold, prevalence):
    """What the page must show, from the predictions alone."""
    called, positive = p >= threshold, y == 1
    tp, fp = int((called & positive).sum()), int((called & ~positive).sum())
    fn, tn = int(positive.sum()) - tp, int((~positive).sum()) - fp
    sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
    alerts = sensitivity * prevalence + (1 - specificity) * (1 - prevalence)
    rest = 1 - alerts
    return {
        "tp": str(tp), "fp": str(fp), "fn": str(fn), "tn": str(tn),
        "sensitivity": f"{100 * sensitivity:.1f} %",
        "specificity": f"{100 * specificity:.1f} %",
        "ppv": f"{100 * sensitivity * prevalence / alerts:.1f} %" if alerts else "–",
        "npv": f"{100 * specificity * (1 - prevalence) / rest:.1f} %" if rest > 1e-12 else "–",
        "alerts": f"{100 * alerts:.1f}",
    }  # fmt: skip


def check(browser, y, p, threshold, prevalence):
    found = expected(y, p, threshold, prevalence)
    assert {name: shown(browser, name) for name in found} == found


def move(browser, position):
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    browser.execute_script(script, browser.find_element(By.ID, "slider-threshold"), str(position))


def test_nothing_is_loaded_and_nothing_goes_wrong(opened):
    browser, _, address = opened
    assert set(requests(browser)) <= {address}
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert browser.find_element(By.TAG_NAME, "h1").text.endswith("<example>")
    assert browser.title.endswith("medkit report")


def test_slider_follows_the_predictions(opened):
    browser, inputs, _ = opened
    if inputs.task.kind == "regression":
        assert browser.find_elements(By.ID, "slider") == []
        return
    y, p = inputs.predictions["test"]
    threshold = inputs.metrics["test"]["threshold"]
    outcome = 0
    if inputs.task.kind == "multilabel":
        outcome = 1
        choice = browser.find_element(By.ID, "slider-outcome")
        choice.find_elements(By.TAG_NAME, "option")[outcome].click()
        assert shown(browser, "name") == "<effusion>"
        threshold = threshold[outcome]
    y, p = y[:, outcome], p[:, outcome]
    data = json.loads(browser.execute_script(
        "return document.getElementById('slider-data').textContent"
    ))["outcomes"][outcome]  # fmt: skip
    check(browser, y, p, threshold, 0.1)
    at = data["thresholds"]
    for position in (0, 1, len(at) // 2, len(at) - 1):
        move(browser, position)
        check(browser, y, p, at[position], 0.1)
    browser.find_element(By.ID, "slider-reset").click()
    check(browser, y, p, threshold, 0.1)


def test_slider_and_prevalence_by_keyboard(opened):
    browser, inputs, _ = opened
    if inputs.task.kind != "binary":
        return
    y, p = (each.ravel() for each in inputs.predictions["test"])
    data = json.loads(browser.find_element(By.ID, "slider-data").get_attribute("textContent"))
    at, start = data["outcomes"][0]["thresholds"], data["outcomes"][0]["start"]
    browser.find_element(By.ID, "slider-reset").click()
    handle = browser.find_element(By.ID, "slider-threshold")
    handle.send_keys(Keys.ARROW_LEFT)
    check(browser, y, p, at[start - 1], 0.1)
    assert handle.get_attribute("aria-valuetext") == shown(browser, "at")
    handle.send_keys(Keys.HOME)
    check(browser, y, p, at[0], 0.1)
    field = browser.find_element(By.ID, "slider-prevalence")
    browser.find_element(By.ID, "slider-reset").click()
    for typed, prevalence in (("2.5", 0.025), ("60", 0.6)):
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(typed)
        check(browser, y, p, at[start], prevalence)
        assert shown(browser, "stated") == f"{typed} %"
    for wrong in ("0", "100", "-3", ""):
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(wrong or Keys.BACKSPACE)
        assert shown(browser, "ppv") == "–"
        assert "above 0 and below 100" in shown(browser, "invalid")
        assert field.get_attribute("aria-invalid") == "true"


def test_first_figures_are_those_of_metrics_json(opened):
    browser, inputs, _ = opened
    if inputs.task.kind != "binary":
        return
    browser.refresh()
    metrics = inputs.metrics["test"]["metrics"]
    assert shown(browser, "sensitivity") == f"{100 * metrics['recall']['value']:.1f} %"
    assert shown(browser, "specificity") == f"{100 * metrics['specificity']['value']:.1f} %"


@pytest.mark.parametrize("width", [360, 1400])
def test_page_is_no_wider_than_the_window(opened, width):
    browser, _, _ = opened
    frame = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", frame)
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= width


def test_every_link_of_the_contents_leads_to_a_heading(opened):
    browser, _, _ = opened
    links = browser.find_elements(By.CSS_SELECTOR, "nav.contents a")
    assert len(links) >= 15
    for link in links:
        target = browser.find_element(By.ID, link.get_attribute("href").rpartition("#")[2])
        assert target.tag_name == "h2"


def test_nothing_went_wrong_since(opened):
    browser, _, address = opened
    assert set(requests(browser)) <= {address}
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_helper_that_tells_what_must_be_shown():
    y, p = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.4, 0.5, 0.2, 0.1])
    found = expected(y, p, 0.5, 0.4)
    assert (found["tp"], found["fn"], found["fp"], found["tn"]) == ("1", "1", "1", "2")
    assert (found["sensitivity"], found["ppv"], found["alerts"]) == ("50.0 %", "50.0 %", "40.0")
