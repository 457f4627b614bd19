"""The command line: `python -m e2e`, which `./hublab e2e` calls."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from e2e import run, status, target
from e2e.contract import sequences
from e2e.errors import RefusedError
from e2e.target import CHECKOUT

if TYPE_CHECKING:
    from types import FrameType

    from e2e.record import Record

PASSED, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
_OUT = CHECKOUT / ".hublab" / "e2e"
_SPEED = 4.0  # fifteen seconds a minute


def main(arguments: list[str] | None = None) -> int:
    """Do it; 0 when all mails arrived as they should, 1 when not, 2 when it was not started, 130 when interrupted."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        record = _run(asked)
    except RefusedError as error:
        sys.stderr.write("".join(f"e2e: not started: {reason}\n" for reason in error.reasons))
        return REFUSED
    except KeyboardInterrupt:
        sys.stderr.write("e2e: interrupted; what was enrolled goes on\n")
        return INTERRUPTED
    status.write(*status.of_run(record), asked.status)
    sys.stdout.write(f"{record.verdict}\n" + "".join(f"{sentence}\n" for sentence in record.diagnosis))
    sys.stdout.write(f"report: {_short(asked.out / 'report.html')}\n")
    return PASSED if record.passed else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e", description="From the form to delivered mails.")
    parser.add_argument("--yes", action="store_true", help="start against production without asking")
    parser.add_argument("--sandbox", action="store_true", help="in a sandbox, although a .env names production")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the sandbox's folder (default: .sandbox)")
    parser.add_argument("--speed", type=float, help=f"sandbox: times faster than mails minutes apart ({_SPEED:g})")
    parser.add_argument("--calm", action="store_true", help="sandbox: no worker is killed, nothing redeployed")
    parser.add_argument("--mailbox", help="sandbox: the one address that may receive mail")
    parser.add_argument("--only", help="some of the sequences: signup,noshow,postcall,onboarding")
    parser.add_argument("--patience", type=float, default=600, help="seconds at one hop until a mail is lost (600)")
    parser.add_argument("--out", type=Path, default=_OUT, help="where the report goes (.hublab/e2e)")
    parser.add_argument("--status", type=Path, default=status.FILE, help="the status file (STATUS.md)")
    return parser


def _run(asked: argparse.Namespace) -> Record:
    wish = run.Wish(_sequences(asked.only), asked.patience, asked.yes, asked.out)
    env, sandbox = target.find(os.environ)
    if sandbox or asked.sandbox:
        return _in_sandbox(asked, wish)
    wrong = [
        f"--{name}: only for a sandbox; leave it out"
        for name in ("speed", "mailbox", "root", "calm")
        if vars(asked)[name]
    ]
    if wrong:
        raise RefusedError(wrong)
    return run.run(target.load(env, "production"), wish)


def _in_sandbox(asked: argparse.Namespace, wish: run.Wish) -> Record:
    from e2e import stage  # noqa: PLC0415 - a run against production never loads the sandbox
    from sandbox import SandboxError  # noqa: PLC0415

    try:
        scene = stage.Stage.up(asked.root, asked.speed or _SPEED, asked.mailbox or stage.MAILBOX)
    except SandboxError as error:
        raise RefusedError([f"sandbox: {error}"]) from error
    wish = run.Wish(wish.sequences, wish.patience, yes=True, out=wish.out)
    interfere = None if asked.calm else lambda record: stage.Disturbance(scene, record, run.say)
    return run.run(target.load(scene.campaign.env_file, "sandbox"), wish, interfere)


def _sequences(text: str | None) -> tuple[str, ...]:
    known = tuple(sequences())
    names = tuple(part.strip() for part in text.split(",")) if text else known
    wrong = [name for name in names if name not in known]
    if wrong:
        raise RefusedError([f"--only: {name!r} is none of {', '.join(known)}; correct it" for name in wrong])
    return tuple(name for name in known if name in names)


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
