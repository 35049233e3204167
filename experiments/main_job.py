"""The main job, `c2mabv run` as it stands in the README: its table and its figure."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from c2mabv_jax import ProblemError
from c2mabv_jax.cli import run_command
from experiments.setting import Setting, small_png


def run(setting: Setting) -> None:
    """Run it; keep what it prints (without where it was written) and the overview."""
    options = setting.pick(["--seeds", "64", "--horizon", "500"], [])
    with tempfile.TemporaryDirectory() as folder:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = run_command(["run", *options, "--out", f"{folder}/run"])
        if status:
            raise ProblemError(f"c2mabv run: exit status {status}")
        overview = Path(folder, "run", "figures", "overview.png").read_bytes()
    text = printed.getvalue().split("\nWritten to")[0].strip() + "\n"
    for path, content in (
        (setting.out / "figures" / "main_job.png", overview),
        (setting.out / "tables" / "main_job.txt", text.encode()),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"  {path}")
    small_png(setting.out / "figures" / "main_job.png")
