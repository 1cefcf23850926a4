"""Debian's chromium, headless and without a network, for tests of pages."""

import contextlib
import shutil

import pytest

from tests.helpers.support import PATIENCE_S

WIDTHS = {"phone": 390, "desktop": 1280}


@contextlib.contextmanager
def chromium():
    """Start a browser; skip the test where Debian's chromium and chromium-driver are missing."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no chromium with its driver on this machine")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        # Containers have no user namespaces; the pages are our own.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield started
    finally:
        started.quit()


def show(browser, page, width):
    """Open a file in a window of `width` CSS pixels, and wait until its figures are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.absolute().as_uri())
    figures = "[...document.querySelectorAll('.plotly-graph-div')]"
    drawn = f"return {figures}.every(figure => figure.querySelector('.main-svg'))"
    WebDriverWait(browser, PATIENCE_S).until(lambda b: b.execute_script(drawn))
