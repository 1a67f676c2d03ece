"""What a buyer sees: verdicts, gaps, charts and proofs, whatever the file says."""

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.sync_api import Page

from agent import history
from tests.agent.web import makers

Open = Callable[..., Page]

UNPAINTED = ".strip:not(:has(svg)), .chart[data-quantity]:not(:has(> svg))"
HOSTILE = "<img src=x onerror=alert(1)>/</script><script>alert(2)</script>"


def given(page: Page, tmp_path: Path, data: bytes, name: str = "car.milepost") -> Page:
    """The page after a file was chosen and judged."""
    file = tmp_path / name
    file.write_bytes(data)
    page.set_input_files("#file", file)
    page.wait_for_selector("[data-verdict]:not(.busy)")
    page.wait_for_selector(UNPAINTED, state="detached")
    return page


def verdict(page: Page) -> tuple[str, str]:
    return (
        page.get_attribute("[data-verdict]", "data-verdict") or "",
        page.inner_text("[data-verdict] h2"),
    )


def vouched(*more: makers.Entry) -> list[makers.Entry]:
    """A log of the gateway that the owner vouches for, with these entries on it."""
    return [*makers.trusted()[:2], *more]


def batches(*sequences: int, key: str = "rear", shown: bool = True) -> list[makers.Entry]:
    """Batches of an hour, a minute each; the chain holds wherever the numbers run on."""
    made: list[makers.Entry] = []
    previous = bytes(32)
    for sequence in sequences:
        leaves = [
            makers.leaf(
                f"{key}/tyre_pressure", "Pa", 230_000.0 + n, makers.NOW_S + 60 * sequence + n
            )
            for n in range(5)
        ]
        data = makers.statement(makers.batch_payload(leaves, previous, sequence))
        made.append((data, leaves if shown else None))
        previous = makers.digest_of(data)
    return made


def test_the_policy_allows_these_very_scripts_and_styles_and_no_network() -> None:
    page = history.checker().decode()
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0]

    for name in ("script", "style"):
        (content,) = re.findall(f"<{name}>(.*?)</{name}>", page, re.DOTALL)
        allowed = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{allowed}'" in policy
    assert "default-src 'none'" in policy
    assert "trusted-types 'none'" in policy
    assert "unsafe" not in policy
    for banned in ("innerHTML", "insertAdjacentHTML", "eval(", "fetch(", "XMLHttpRequest"):
        assert banned not in page


def test_a_whole_record_that_somebody_vouches_for_is_green(open_page: Open, tmp_path: Path) -> None:
    page = given(open_page(), tmp_path, makers.seal(vouched(*batches(1, 2, 3))).pack())

    assert verdict(page) == ("green", "Everything holds")
    text = page.inner_text("#result")
    assert "15 readings of 1 subject in 3 batches" in text
    assert "No batch is missing" in text
    assert "vouches for 3 batches" in text
    assert "That the sensors measure rightly" in text


def test_a_gapped_record_is_amber_and_shows_where(open_page: Open, tmp_path: Path) -> None:
    page = given(open_page(), tmp_path, makers.seal(vouched(*batches(1, 2, 40, 41))).pack())

    assert verdict(page) == ("amber", "It holds, with 1 remark")
    assert "lacks sequence 3 to 39" in page.inner_text("#result")
    assert "batches missing" in page.inner_text(".legend >> nth=0")
    assert page.locator(".strip rect.bad").count() > 3
    assert page.locator(".chart rect.missing").count() == 1


def test_a_half_disclosed_record_is_amber_and_shows_the_half(
    open_page: Open, tmp_path: Path
) -> None:
    made = batches(1, 2)
    leaves = made[1][1]
    assert isinstance(leaves, list)
    half = [made[0], (made[1][0], makers.some(leaves, 1, 4))]

    page = given(open_page(), tmp_path, makers.seal(vouched(*half)).pack())

    assert verdict(page)[0] == "amber"
    assert "3 readings are counted but not in this file" in page.inner_text("#result")
    assert "7 readings are in this file" in page.inner_text("#result")
    assert page.locator(".chart circle:not(.cursor)").count() == 7


def test_an_excerpt_is_amber_and_says_what_it_is(open_page: Open, tmp_path: Path) -> None:
    made = makers.seal(vouched(*batches(1, 2, 3)), only=[0, 1, 4]).pack()

    page = given(open_page(), tmp_path, made)

    assert verdict(page)[0] == "amber"
    assert "3 of the log's 5 entries are here" in page.inner_text("#result")
    assert "2 batches of these gateways may stand" in page.inner_text("#result")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (makers.seal(makers.plain()).pack()[:-1] + b"?", "checkpoint"),
        (makers.seal([makers.genesis(), *makers.plain()[2:]]).pack(), "sequence 2"),
        (b"", "CBOR"),
        (b"%PDF-1.7 something else", "CBOR"),
        (b"<!doctype html><p>hello", "this page carries no record"),
    ],
)
def test_whatever_does_not_hold_is_red_and_nothing_of_it_is_shown(
    open_page: Open, tmp_path: Path, data: bytes, reason: str
) -> None:
    if reason == "sequence 2":
        made = makers.plain()
        other = makers.statement(makers.batch_payload(makers.tyres(0), b"p" * 32, 2))
        data = makers.seal([*made[:2], (other, None)]).pack()

    page = given(open_page(), tmp_path, data)

    assert verdict(page) == ("red", "Do not rely on this file")
    assert reason in page.inner_text("#reason")
    assert page.locator(".chart, .strip, dl").count() == 0


def test_a_click_on_a_point_shows_its_proof_down_to_the_checkpoint(
    open_page: Open, tmp_path: Path
) -> None:
    sealed = makers.seal(vouched(*batches(1, 2, 3)))
    page = given(open_page(), tmp_path, sealed.pack())

    page.locator(".chart circle:not(.cursor)").nth(6).click(force=True)
    page.wait_for_selector('[data-proof="reading"]')

    proof = page.inner_text("dialog")
    page.locator("dialog details").first.click()
    assert "rear/tyre_pressure" in proof
    assert "signed as 230001 Pa" in proof
    assert "leaf 2 of 5" in proof
    assert "entry 3 of 5" in proof
    assert makers.GATEWAY.public.did in proof
    assert sealed.note.splitlines()[2] in proof
    assert proof.count("\u2713") == 5
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_the_keyboard_reaches_a_proof_as_well(open_page: Open, tmp_path: Path) -> None:
    page = given(open_page(), tmp_path, makers.seal(vouched(*batches(1, 2))).pack())

    page.focus(".chart > svg")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert "2.3 bar" in page.inner_text(".chart output")
    page.keyboard.press("Enter")
    page.wait_for_selector('[data-proof="reading"]')

    assert "signed as 230002 Pa" in page.inner_text("dialog")


def test_every_entry_has_its_proof_and_a_cell_its_batches(open_page: Open, tmp_path: Path) -> None:
    page = given(open_page(), tmp_path, makers.seal(vouched(*batches(1, 2, 3))).pack())

    page.click("details.card summary")
    page.wait_for_selector("details.card .row")
    assert page.locator("details.card .row").count() == 5
    page.locator("details.card .row").nth(1).click()
    page.wait_for_selector('[data-proof="entry"]')
    assert "The certificate statement, entry 1" in page.inner_text("dialog")
    page.click("#close")
    page.locator(".strip rect.good").first.click()
    assert "batch 1: 5 readings" in page.inner_text("dialog")


def test_text_from_a_device_stays_text(open_page: Open, tmp_path: Path) -> None:
    leaves = [
        makers.leaf(HOSTILE, "<b>", 1.5, makers.NOW_S + 1.5),
        makers.leaf("__proto__/constructor", "toString", 2.5, makers.NOW_S + 2.5),
        makers.leaf("obd/vin", None, HOSTILE, makers.NOW_S + 3.5),
        makers.leaf("", None, "", makers.NOW_S + 4.5),
    ]
    payload = {**makers.batch_payload(leaves, bytes(32), 1), 11: [HOSTILE[:64]]}
    data = makers.statement(payload, subject=HOSTILE)
    entries = [makers.genesis(), (data, leaves), (makers.statement(b"", "constructor"), None)]

    page = given(open_page(), tmp_path, makers.seal(entries).pack(), f"{HOSTILE[:12]}.cbor")
    page.locator(".texts .row").last.click()
    page.wait_for_selector('[data-proof="reading"]')

    assert verdict(page)[0] == "amber"
    assert HOSTILE in page.inner_text("dialog")
    assert page.locator("img, b, main script, bdi *").count() == 0


def test_values_that_no_chart_fits_do_not_break_it(open_page: Open, tmp_path: Path) -> None:
    values = [0, -0.0, 1e300, -1e300, 5e-324, (1 << 64) - 1, 7.5]
    leaves = [makers.leaf("x/y", "1", v, makers.NOW_S + n + 0.5) for n, v in enumerate(values)]
    leaves.append(makers.leaf("x/z", "1", 3.25, makers.NOW_S + 0.5))
    huge = {**makers.batch_payload(leaves, bytes(32), 1), 5: (1 << 63) - 1}
    data = makers.statement(huge, claims={1: makers.GATEWAY.public.did, 2: "s", 6: (1 << 63) - 1})

    page = given(open_page(), tmp_path, makers.seal([makers.genesis(), (data, leaves)]).pack())

    assert verdict(page)[0] == "amber"
    assert page.locator(".chart").count() == 2
    assert "NaN" not in page.inner_html("#result")


def test_a_key_can_be_compared_with_the_one_that_was_given_by_another_way(
    open_page: Open, tmp_path: Path
) -> None:
    sealed = makers.seal(vouched(*batches(1)))
    page = given(open_page(), tmp_path, sealed.pack())

    page.fill("#expected", sealed.vkey)
    assert "This key signed this record" in page.inner_text(".keys")
    page.fill("#expected", makers.NEXT.public.did)
    assert "did not sign" in page.inner_text(".keys")


def test_subjects_can_be_looked_at_one_by_one(open_page: Open, tmp_path: Path) -> None:
    (first, leaves), *_ = batches(1)
    other = makers.statement(
        {**makers.batch_payload(makers.tyres(3), makers.digest_of(first), 2)},
        subject=makers.RUNNER,
    )
    page = given(open_page(), tmp_path, makers.seal(vouched((first, leaves), (other, None))).pack())
    assert verdict(page) == ("amber", "It holds, with 1 remark")

    page.click(f"text={makers.CAR[9:17]}")

    assert verdict(page) == ("green", "Everything holds")
    assert "5 readings of subject" in page.inner_text("[data-verdict]")


@pytest.mark.parametrize("width", [320, 390, 1_200])
def test_nothing_is_wider_than_the_screen(open_page: Open, tmp_path: Path, width: int) -> None:
    page = open_page()
    page.set_viewport_size({"width": width, "height": 800})
    given(page, tmp_path, makers.seal(vouched(*batches(1, 2, 40, 41))).pack())
    page.locator(".chart > svg").first.click()
    page.wait_for_selector('[data-proof="reading"]')

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= width


def test_a_history_page_checks_itself_and_can_be_dropped_on_another(
    open_page: Open, tmp_path: Path
) -> None:
    data = makers.seal(vouched(*batches(1, 2, 3))).pack()
    file = tmp_path / "car.html"
    file.write_bytes(history.page(data, [makers.CAR], 'my "car" <3'))

    itself = open_page(file)
    itself.wait_for_selector("[data-verdict]:not(.busy)")
    ours = given(open_page(), tmp_path, file.read_bytes(), "dropped.html")

    assert verdict(itself) == verdict(ours) == ("green", "Everything holds")
    assert '\u201cmy "car" <3\u201d' in itself.inner_text("[data-verdict]")
    assert "brought its own record and its own checker" in itself.inner_text("#result")
    assert "its own checker" not in ours.inner_text("#result")
    with itself.expect_download() as waiting:
        itself.click("text=Save the record alone")
    assert Path(waiting.value.path()).read_bytes() == data


def test_a_file_can_be_dropped(open_page: Open) -> None:
    page = open_page()
    packed = b64encode(makers.seal(makers.plain()).pack()).decode()

    page.evaluate(
        """(packed) => { const transfer = new DataTransfer();
        transfer.items.add(new File([unbase64(packed, "file")], "dropped.cbor"));
        const drop = { dataTransfer: transfer, cancelable: true };
        document.dispatchEvent(new DragEvent("drop", drop)); }""",
        packed,
    )
    page.wait_for_selector("[data-verdict]:not(.busy)")

    assert verdict(page)[0] == "amber"
    assert "dropped.cbor" in page.inner_text("[data-verdict]")


def test_a_browser_without_ed25519_says_that_it_cannot_check(
    open_page: Open, tmp_path: Path
) -> None:
    page = open_page()
    page.evaluate(
        "() => { crypto.subtle.verify = async () => { throw new Error('no such algorithm'); }; }"
    )

    given(page, tmp_path, makers.seal(makers.plain()).pack())

    assert verdict(page) == ("red", "This browser cannot check signatures")
