"""The output of podman 4.3.1 for a build of three stages, as it was recorded; the last stage copies from the second."""

from __future__ import annotations

import pytest

from harness.engine.buildah_log import BuildahLog

RECORDED = [
    (0.1, "[1/3] STEP 1/3: FROM tare.local/tool:latest AS build\n"),
    (0.2, "[1/3] STEP 2/3: ENV A=b\n"),
    (0.3, "--> Using cache c3adac76f45cbabffd89c1472967c3bf8bf3cc0740c97953ee3504e95a4a001e\n"),
    (0.3, "--> c3adac76f45\n"),
    (0.3, "[1/3] STEP 3/3: COPY . /src/\n"),
    (0.5, "--> b74d0d89a0a\n"),
    (0.5, "[3/3] STEP 1/4: FROM scratch\n"),
    (0.5, "[3/3] STEP 2/4: COPY --from=two /src/ /out\n"),
    (0.7, "[2/3] STEP 1/3: FROM b74d0d89a0a5579eb4c3bc687b656512044528e63484fc980944fd9989c9f1b3 AS two\n"),
    (0.7, '[2/3] STEP 2/3: RUN --mount=type=secret,id=tare-apt,target=/x,mode=0444 ["/tool", "boot"]\n'),
    (1.0, "a76cd2ad-f443-41e6-9af1-4c8d14ed5491\n"),
    (1.7, "--> b8585fb9ad5\n"),
    (2.0, "--> a1ecfd090b3\n"),
    (2.0, "[3/3] STEP 3/4: LABEL x=y\n"),
    (2.1, "--> a141a6cf75d\n"),
    (2.1, "[3/3] COMMIT tare.local/z:1\n"),
    (2.4, "--> db5e1e28470\n"),
    (2.4, "Successfully tagged tare.local/z:1\n"),
]


def fed(until: float = 9.0) -> BuildahLog:
    log = BuildahLog(clean=lambda text: text.replace(" --mount=type=secret,id=tare-apt,target=/x,mode=0444", ""))
    for at, text in RECORDED:
        if at <= until:
            log.feed(text, at)
    return log


def test_steps_have_their_times_and_a_step_that_waits_is_not_charged_for_the_other_stage() -> None:
    steps = {step.name: step for step in fed().steps(2.5)}
    assert list(steps)[:3] == [
        "[1/3, 1/3] FROM tare.local/tool:latest AS build",
        "[1/3, 2/3] ENV A=b",
        "[1/3, 3/3] COPY . /src/",
    ]
    assert steps["[1/3, 2/3] ENV A=b"].cached
    assert not steps["[1/3, 3/3] COPY . /src/"].cached
    assert steps['[2/3, 2/3] RUN ["/tool", "boot"]'].seconds == pytest.approx(1.0)
    waits = steps["[3/3, 2/4] COPY --from=two /src/ /out"]
    assert (waits.started, waits.seconds) == (0.5, pytest.approx(0.2 + 0.3))
    assert steps["COMMIT tare.local/z:1"].seconds == pytest.approx(0.3)
    starts = [step.started for step in fed().steps(2.5)]
    assert starts == sorted(starts)


def test_the_step_that_runs_is_named_and_its_output_is_kept() -> None:
    log = fed(until=1.0)
    assert log.running() == 'RUN ["/tool", "boot"]'
    assert log.log() == '[2/3, 2/3] RUN ["/tool", "boot"]\na76cd2ad-f443-41e6-9af1-4c8d14ed5491'
    assert log.log(1) == "a76cd2ad-f443-41e6-9af1-4c8d14ed5491"
    assert BuildahLog().running() == ""


def test_an_error_names_its_step() -> None:
    error = 'building at STEP "RUN --mount=type=secret,id=tare-apt,target=/x,mode=0444 make": exit status 3'
    assert fed().failed(error) == ("RUN make", "exit status 3")
    assert fed(until=1.0).failed("no space left") == ('RUN ["/tool", "boot"]', "no space left")
