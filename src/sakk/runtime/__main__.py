"""``python -m sakk.runtime worker``: one role as a process, as the supervisor starts it.

``sakk serve --role worker`` is the same for people. Here no commands are imported, so that a role
that was killed is back sooner. As ``nursery`` it is the process that roles are forked from.
"""

import sys

from sakk.runtime.exit import run_or_exit
from sakk.runtime.garbage import put_off_collection
from sakk.runtime.nursery import NAME, be_nursery
from sakk.runtime.role import RoleName, run_role
from sakk.runtime.settings import load_settings
from sakk.runtime.start import begin_process


def main(name: str, *words: str) -> None:
    """Be the role until SIGTERM or SIGINT."""
    put_off_collection()
    if name == NAME:
        name = be_nursery(int(words[0]))
    role = RoleName(name)
    settings = load_settings()
    begin_process(settings, role=role.value)
    run_role(role, settings)


if __name__ == "__main__":
    run_or_exit(lambda: main(*sys.argv[1:]))
