"""Does a test or a claim fail when one line is wrong? One-line mutations of the package.

Every mutation of `mutants` is applied to a copy of the package. First run the test files that
import the mutated module, the most specific ones first, until one fails; a mutant that
survives them is put to the claims of `c2mabv verify --preset quick`, when all have been tried.
Whoever survives that too is a gap in the tests, or is the same program under another name,
and then says why.

Half an hour on one core where the last killers still kill, hours from nothing. It goes on where
it was stopped: what is known of a mutant is kept in `tables/mutations.json`, until the line or
the tests that decided it change.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from c2mabv_jax import ProblemError
from experiments.mutants import MUTANTS, Mutant
from experiments.setting import Setting

ROOT = Path(__file__).parent.parent
PACKAGE = "c2mabv_jax"
LIMIT = 1200  # seconds; a mutant that makes a loop endless is killed by the clock
# Files that take a minute or more, or try commands rather than numbers: last, if at all.
LAST = ("test_reference_loop", "test_verification_runs", "test_simulate")
NEVER = (
    "test_bench", "test_cli_run", "test_experiments", "test_folders", "test_pages",
    "test_plotting", "test_readme", "test_service_example", "test_sweep", "test_sweep_processes",
    "test_sweep_spec", "test_words", "test_advise", "test_damage",
)  # fmt: skip
KILLED, SURVIVED, EQUIVALENT = "killed", "survived", "equivalent"
PASSED, UNKNOWN = "passed its tests, claims to come", "not tried yet"


def run(setting: Setting) -> None:
    """One row a mutant, and the score."""
    mutants = MUTANTS[:: len(MUTANTS) // 2] if setting.quick else MUTANTS
    stale = [mutant for mutant in mutants if source(ROOT, mutant).count(mutant.old) != 1]
    if stale:
        named = "; ".join(f"{mutant.file}: {mutant.old!r}" for mutant in stale)
        raise ProblemError(f"mutants: not one line of its file each: {named}; write them anew")
    gone = {test for mutant in mutants for test in mutant.tests if not test_is_there(test)}
    if gone:
        raise ProblemError(f"mutants: no such test: {', '.join(sorted(gone))}; name another")
    kept = setting.out / "tables" / "mutations.json"
    known: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else {}
    found = {mutant: known.get(name(mutant)) for mutant in mutants}
    left = [mutant for mutant in mutants if not mutant.same and not fresh(found[mutant], mutant)]
    # What was never decided comes first, and of those who has a test of its own.
    left.sort(
        key=lambda mutant: (
            (found[mutant] or {}).get("fate") == KILLED,
            "::" not in first_tests(mutant, found[mutant])[0],
        )
    )
    kept.parent.mkdir(parents=True, exist_ok=True)
    judged = functools.partial(_judged, known, kept)
    try:
        for mutant in tqdm(left, unit="mutant", desc="tests", disable=None):
            by = functools.partial(killed_by_tests, last=found[mutant])
            found[mutant] = judged(mutant, by, PASSED)
        alive = [mutant for mutant, fate in found.items() if fate and fate["fate"] == PASSED]
        for mutant in tqdm(alive, unit="mutant", desc="claims", disable=None):
            found[mutant] = judged(mutant, killed_by_claims, SURVIVED)
    finally:  # also where it is stopped
        table(setting, found)


def table(setting: Setting, found: dict[Mutant, dict[str, Any] | None]) -> None:
    """The report: one row a mutant."""
    rows = []
    for mutant, fate in found.items():
        if mutant.same:
            rows.append([mutant.file, mutant.what, EQUIVALENT, mutant.same])
        elif fate is None:
            rows.append([mutant.file, mutant.what, UNKNOWN, ""])
        else:
            rows.append([mutant.file, mutant.what, fate["fate"], fate["by"]])
    fates = [row[2] for row in rows]
    killed, alike = fates.count(KILLED), fates.count(EQUIVALENT)
    score = killed / max(1, killed + fates.count(SURVIVED))
    by_claims = sum(row[3].startswith("verify") for row in rows)
    says = (
        f"{len(rows)} mutants of one line each: {killed} killed ({by_claims} by claims alone), "
        f"{fates.count(SURVIVED)} survived, {alike} equivalent, {fates.count(PASSED)} wait for "
        f"the claims, {fates.count(UNKNOWN)} not tried yet. Score {score:.1%} of those "
        "decided that are not equivalent."
    )
    setting.table(("file", "what", "fate", "by, or why"), rows, says)


def name(mutant: Mutant) -> str:
    """Under which a mutant's fate is kept."""
    return f"{mutant.file}: {mutant.what}"


def _judged(
    known: dict[str, Any], kept: Path, mutant: Mutant, by: Callable[..., str | None], else_: str
) -> dict[str, Any]:
    """Whether a mutant is killed by its tests, or by claims; written down at once."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        for part in (PACKAGE, "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / PACKAGE / mutant.file
        path.write_text(source(ROOT, mutant).replace(mutant.old, mutant.new), encoding="utf-8")
        killer = by(copy, mutant)
    known[name(mutant)] = {
        "fate": else_ if killer is None else KILLED,
        "by": killer or "",
        "seconds": round(time.monotonic() - began),
        "digest": digest(mutant, killer),
    }
    kept.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return known[name(mutant)]


def killed_by_tests(copy: Path, mutant: Mutant, last: dict[str, Any] | None = None) -> str | None:
    """The first test that fails, or None; what killed it last time is tried first."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:nbmake", "-c", os.devnull]
    for file in first_tests(mutant, last):
        module, _, test = file.partition("::")
        command = ["-m", "pytest", *options, "--rootdir", ".", f"tests/{module}.py"]
        if test:
            command[-1] += f"::{test}"
        try:
            done = _python(copy, *command, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return f"{file}: no end after {LIMIT} s"
        if done.returncode == 1:
            failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
            return failed[0].split()[1].removeprefix("tests/") if failed else file
        if done.returncode < 0:  # by a signal: it says nothing of the mutant
            raise KeyboardInterrupt
        if done.returncode not in (0, 5):
            return f"{file}: cannot be collected"
    return None


def killed_by_claims(copy: Path, mutant: Mutant) -> str | None:
    """The claims of the quick report that are contradicted, or None."""
    del mutant
    verify = (
        "from c2mabv_jax.verification import Outcome, Spec, verify\n"
        "report = verify(Spec(preset='quick', changes={'controls': False}))\n"
        "print(*(v.claim.name for v in report.verdicts if v.outcome == Outcome.CONTRADICTED))"
    )
    done = _python(copy, "-c", verify)
    if done.returncode:
        return "verify: " + done.stderr.strip().splitlines()[-1][:80]
    return f"verify: {done.stdout.strip()}" if done.stdout.strip() else None


def _python(copy: Path, *arguments: str, timeout: float | None = None) -> Any:
    # Programs that a mutation leaves as they are need not be compiled again.
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir(), "mutants-compiled"))}
    environment = compiled | os.environ | {"PYTHONPATH": str(copy), "C2MABV_CACHE": "off"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


# Which tests a module has ----------------------------------------------------------------------


def tests_of(mutant: Mutant) -> list[str]:
    """Test files that import the mutated module, by name: the most specific first."""
    module = ".".join([PACKAGE, *Path(mutant.file).with_suffix("").parts]).removesuffix(".__init__")
    files = {file: found for file, found in imports().items() if file not in NEVER}
    chosen = [file for file, found in files.items() if module in found]
    chosen.sort(key=lambda file: (file in LAST, len(files[file]), file))
    return list(dict.fromkeys([*mutant.tests, *chosen]))


def first_tests(mutant: Mutant, last: dict[str, Any] | None) -> list[str]:
    """`tests_of`, behind the test (with all of its parameters) that killed the mutant last time."""
    killer = re.match(r"(test_\w+)\.py(::test_\w+)", last["by"] if last else "")
    known = ["".join(killer.groups())] if killer else []
    return list(dict.fromkeys([*filter(test_is_there, known), *tests_of(mutant)]))


def test_is_there(named: str) -> bool:
    """Whether there is a test `FILE::NAME`, or a test file `FILE`."""
    file, _, test = named.partition("::")
    path = ROOT / "tests" / f"{file}.py"
    return path.exists() and (not test or f"def {test}(" in path.read_text(encoding="utf-8"))


@functools.cache
def imports() -> dict[str, frozenset[str]]:
    """Modules of the package in which the names live that a test file imports."""
    return {
        path.stem: frozenset(_imported(ast.parse(path.read_text(encoding="utf-8"))))
        for path in sorted((ROOT / "tests").glob("test_*.py"))
    }


def _imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith(PACKAGE)}
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            module = importlib.import_module(node.module or PACKAGE)
            for alias in node.names:
                thing = getattr(module, alias.name, None)
                if thing is None:
                    thing = importlib.import_module(f"{node.module}.{alias.name}")
                home = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
                found |= {str(node.module), str(home)}
    return found


# What is known already -------------------------------------------------------------------------


def source(root: Path, mutant: Mutant) -> str:
    """The file that a mutant changes."""
    return (root / PACKAGE / mutant.file).read_text(encoding="utf-8")


def digest(mutant: Mutant, killer: str | None) -> str:
    """Of the mutation and of the tests that decided: the killer, or all of them."""
    files = dict.fromkeys(file.partition("::")[0] for file in tests_of(mutant))
    text = [mutant.old, mutant.new]
    for file in files:
        if killer is None or killer.startswith(file):
            text.append((ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(text).encode()).hexdigest()[:16]


def fresh(fate: dict[str, Any] | None, mutant: Mutant) -> bool:
    """Whether what is kept still speaks of this mutant."""
    return fate is not None and fate["digest"] == digest(mutant, fate["by"] or None)
