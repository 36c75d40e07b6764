from __future__ import annotations

from rich.table import Table

from transferlab.report.plain_console import PlainConsole


def test_names_in_tables_are_shown_and_do_not_act(capsys):
    table = Table("\x1b]0;title\x07", box=None)
    table.add_row("\x1b[31m[red]cat[/red]")
    PlainConsole().print(table)
    PlainConsole().print("[bold]\x9b2J")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\\x1b[31m[red]cat[/red]" in out
    assert "[bold]\\x9b2J" in out
