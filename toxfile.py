"""A plugin of tox, which it reads by itself: the summary of Tare's command stays the last thing on the terminal.

Without it tox writes `bench: OK` and `congratulations :)` below the tables, or `evaluation failed :(` and six lines
about signals after Ctrl-C. What tox writes while it installs, and its exit code, stay as they are.
"""

from __future__ import annotations

import logging

from tox.config.sets import ConfigSet
from tox.plugin import impl
from tox.session.state import State
from tox.tox_env.api import ToxEnv

_runs: list[State] = []  # the state of the run, once tox has read its settings


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:  # noqa: ARG001 - tox passes both by name
    _runs[:] = [state]


def _is_ours(env: ToxEnv) -> bool:
    """Whether every command of the environment is Tare, which says itself how it ended."""
    return all(command.args[:3] == ["python", "-m", "harness"] for command in env.conf["commands"])


@impl
def tox_before_run_commands(tox_env: ToxEnv) -> None:
    # with several environments the summary of tox says which of them failed
    if len(list(_runs[0].envs.iter())) == 1 and _is_ours(tox_env):
        tox_env.options.quiet = tox_env.options.verbose  # no summary
        logging.disable(logging.CRITICAL)  # and none of the lines about how the command has ended
