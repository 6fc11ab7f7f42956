"""``fla doctor``: check this machine for everything the commands need."""

from pathlib import Path

import click

from .options import device_option, emit, json_option


@click.command()
@click.option(
    "--report", is_flag=True,
    help="Print one block of text for an issue, without names of users, hosts and home folders.",
)  # fmt: skip
@device_option
@json_option
@click.pass_context
def command(ctx: click.Context, report: bool, device: str, as_json: bool) -> None:
    """Check versions, device, 4-bit training, video decoding, the cache's file format and disk.

    Exit code 1 if a check fails. Each failure is listed with a remedy.
    """
    from dataclasses import asdict

    from ..planning.doctor import examine

    # The current folder: disks differ in space and in file locking.
    checks = examine(Path.cwd(), device=device)
    lines = [f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.found}" for check in checks]
    lines += [f"\nRemedy for {check.name}:\n{check.fix}" for check in checks if not check.ok]
    # One failed check is enough: any of them stops some command later.
    healthy = all(check.ok for check in checks)
    content = {"ok": healthy, "checks": [asdict(check) for check in checks]}
    if report:
        from ..planning.doctor_report import machine_report

        text = machine_report(checks, folder=Path.cwd())
        emit(as_json, {"ok": healthy, "report": text}, text)
    else:
        emit(as_json, content, "\n".join(lines))
    ctx.exit(0 if healthy else 1)
