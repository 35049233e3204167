"""Saved states: the same bits back, atomic, and nothing trusted in a file."""

import io
import os
import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from policy_loop import begin

import c2mabv_jax as c2
from c2mabv_jax.policies import C2MABV, load_state, save_state
from c2mabv_jax.policies.base import Feedback
from c2mabv_jax.policies.catalogue import POLICIES
from c2mabv_jax.policies.two_tier import TwoTier

PROBLEM = c2.Problem(num_arms=4, num_selected=2, budget=0.9, reward_model="AWC")
WORLD = c2.environments.synthetic([0.9, 0.7, 0.5, 0.2], [0.8, 0.45, 0.3, 0.1])


def scrambled(state, seed=0):
    """The state with arbitrary bits in every leaf, as far as a state may hold them.

    Floats are finite (negative zero and denormals among them), counts not negative.
    """
    rng = np.random.default_rng(seed)

    def scramble(where, leaf):
        leaf = np.asarray(leaf)
        if leaf.dtype == bool:
            return jnp.asarray(rng.random(leaf.shape) < 0.5)
        bits = np.frombuffer(rng.bytes(leaf.nbytes), leaf.dtype).reshape(leaf.shape)
        if leaf.dtype.kind == "i":
            bits = bits & np.iinfo(leaf.dtype).max
        else:
            bits = np.where(np.isfinite(bits), bits, -leaf.dtype.type(0))
        counts = jax.tree_util.keystr(where).endswith("count")
        return jnp.asarray(np.abs(bits) if counts else bits)

    return jax.tree_util.tree_map_with_path(scramble, state)


def assert_same_bits(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.fixture
def saved(tmp_path):
    state = scrambled(C2MABV().init(PROBLEM))
    path = tmp_path / "state.npz"
    save_state(path, state)
    return path, state


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, changed, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in changed.items():
            archive.writestr(name, content)


def npy(array, allow_pickle=False):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


@pytest.mark.parametrize("lanes", [(), (3,)])
@pytest.mark.parametrize("name", [entry.name for entry in POLICIES])
def test_every_policy_comes_back_bit_for_bit(name, lanes, tmp_path):
    policy = next(entry for entry in POLICIES if entry.name == name).build(PROBLEM, WORLD)
    like = begin(PROBLEM, policy, lanes)
    state = scrambled(like)
    save_state(tmp_path / "state.npz", state)
    assert_same_bits(load_state(tmp_path / "state.npz", like), state)


@pytest.mark.parametrize(
    "policy", [C2MABV(discount=0.9), C2MABV(window=50), C2MABV(radius="bernstein"), TwoTier()]
)
def test_other_estimates_come_back_too(policy, tmp_path):
    state = scrambled(policy.init(PROBLEM))
    save_state(tmp_path / "state.npz", state)
    shapes = jax.eval_shape(policy.init, PROBLEM)
    assert_same_bits(load_state(tmp_path / "state.npz", shapes), state)


@pytest.mark.smoke
def test_a_service_goes_on_as_if_never_stopped(tmp_path):
    policy = C2MABV(alpha_reward=0.3, alpha_cost=0.05)
    select, update = jax.jit(policy.select), jax.jit(policy.update)

    def serve(state, first, last):
        chosen = []
        for query in range(first, last):
            decision = select(PROBLEM, state, jax.random.key(query))
            outcome = np.random.default_rng(query).random((2, 4)).astype(np.float32)
            feedback = Feedback(*map(jnp.asarray, outcome), observed=decision.selected)
            feedback = feedback._replace(billed=decision.selected)
            state = update(PROBLEM, state, decision, feedback)
            chosen.append(np.asarray(decision.selected))
        return state, chosen

    through, whole = serve(policy.init(PROBLEM), 0, 40)
    state, first_half = serve(policy.init(PROBLEM), 0, 20)
    save_state(tmp_path / "state.npz", state)
    state = load_state(tmp_path / "state.npz", like=policy.init(PROBLEM))
    state, second_half = serve(state, 20, 40)
    assert_same_bits(state, through)
    np.testing.assert_array_equal(first_half + second_half, whole)


def test_any_numpy_reads_the_file(saved):
    path, state = saved
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["estimates.count"], state.estimates.count)
        np.testing.assert_array_equal(file["edges[0][1]"], state.edges[0][1])


def test_overwriting_is_atomic(saved, monkeypatch):
    path, old = saved
    like = C2MABV().init(PROBLEM)
    new = scrambled(like, seed=1)

    def dies(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dies)
        with pytest.raises(c2.ProblemError, match="No space left"):
            save_state(path, new)
    assert_same_bits(load_state(path, like), old)
    assert [file.name for file in path.parent.iterdir()] == ["state.npz"]
    save_state(path, new)
    assert_same_bits(load_state(path, like), new)
    assert [file.name for file in path.parent.iterdir()] == ["state.npz"]


@pytest.mark.parametrize(
    ("policy", "problem", "message"),
    [
        (TwoTier(), PROBLEM, "holds a Learned, not this TwoTierState"),
        (C2MABV(discount=0.5), PROBLEM, "differ in estimates"),
        (C2MABV(radius="bernstein"), PROBLEM, "estimates.cost_square"),
        (C2MABV(), PROBLEM.replace(billing="queried"), "estimates.cost_count"),
        (C2MABV(), PROBLEM.replace(reward_model="SUC", feedback=None), "differ in"),
        (C2MABV(), PROBLEM.replace(num_arms=5), r"bool\[4\], but .* keep bool\[5\]|int32\[4\]"),
    ],
)
def test_another_policy_or_problem(saved, policy, problem, message):
    path, _ = saved
    with pytest.raises(c2.ProblemError, match=message):
        load_state(path, like=policy.init(problem))


def test_another_float_type(saved):
    path, _ = saved
    like = jax.eval_shape(C2MABV().init, PROBLEM)
    wide = like._replace(round=jax.ShapeDtypeStruct((), jnp.uint32))
    with pytest.raises(c2.ProblemError, match=r"round is int32\[\], but .* keep uint32\[\]"):
        load_state(path, wide)


class Bomb:
    """Unpickling this would be noticed."""

    exploded = False

    def __reduce__(self):
        return setattr, (Bomb, "exploded", True)


def hostile_files(good):
    """Named contents of files that must be refused."""
    whole = good.read_bytes()
    parts = entries(good)
    bomb = np.array([Bomb()], dtype=object)
    yield "empty", b""
    yield "text", b"not a state"
    yield "plain pickle", pickle.dumps(Bomb())
    yield "npy with objects", npy(bomb, allow_pickle=True)
    yield "npy", npy(np.zeros(3))
    for keep in (10, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        yield f"truncated to {keep}", whole[:keep]
    flipped = bytearray(whole)
    flipped[whole.index(parts["estimates.count.npy"]) + 130] ^= 1
    yield "one bit flipped", bytes(flipped)
    for label, change in {
        "objects inside": {"round.npy": npy(bomb, allow_pickle=True)},
        "format of objects": {"__format__.npy": npy(bomb, allow_pickle=True)},
        "kind of objects": {"__kind__.npy": npy(bomb, allow_pickle=True)},
        "no header": {"round.npy": b"\x00" * 40},
        "header without data": {"estimates.count.npy": parts["estimates.count.npy"][:128]},
        "huge shape": {"round.npy": parts["round.npy"].replace(b"()", b"(9999999999999,)", 1)},
        "other format": {"__format__.npy": npy(np.array("something else"))},
        "another shape": {"round.npy": npy(np.zeros(7, np.int32))},
        "another type": {"round.npy": npy(np.float32(1))},
        "other byte order": {"round.npy": npy(np.array(1, ">i4"))},
        "a bomb of zeros": {"round.npy": npy(np.zeros(10**6, np.int32))},
        "an entry too many": {"extra.npy": npy(np.zeros(3))},
    }.items():
        buffer = io.BytesIO()
        rewrite(buffer, parts | change, zipfile.ZIP_DEFLATED)
        yield label, buffer.getvalue()
    for name in parts:
        buffer = io.BytesIO()
        rewrite(buffer, {key: value for key, value in parts.items() if key != name})
        yield f"without {name}", buffer.getvalue()


def test_hostile_files_are_refused_in_one_line(saved):
    path, _ = saved
    like = C2MABV().init(PROBLEM)
    number = 0
    for label, content in hostile_files(path):
        bad = path.with_name("bad.npz")
        bad.write_bytes(content)
        with pytest.raises(c2.ProblemError, match=r"^path = .*bad\.npz") as caught:
            load_state(bad, like)
            pytest.fail(f"{label} was accepted")
        assert "\n" not in str(caught.value), label
        number += 1
    assert number > 30 and not Bomb.exploded
    repacked = path.with_name("repacked.npz")
    rewrite(repacked, entries(path), zipfile.ZIP_DEFLATED)  # the control: only repacked
    load_state(repacked, like)


def test_what_cannot_be_saved_or_found(tmp_path):
    with pytest.raises(c2.ProblemError, match=r"key.* \(key<.*>\) cannot be saved"):
        save_state(tmp_path / "state.npz", Feedback(1, 2, 3)._asdict() | {"key": jax.random.key(0)})
    with pytest.raises(c2.ProblemError, match=r"\(object\) cannot be saved"):
        save_state(tmp_path / "state.npz", {"a": np.array([None])})
    with pytest.raises(c2.ProblemError, match="cannot be written"):
        save_state(tmp_path / "no" / "state.npz", C2MABV().init(PROBLEM))
    with pytest.raises(c2.ProblemError, match="cannot be written"):
        save_state(tmp_path, C2MABV().init(PROBLEM))
    with pytest.raises(c2.ProblemError, match="no such file"):
        load_state(tmp_path / "missing.npz", C2MABV().init(PROBLEM))
    assert list(tmp_path.iterdir()) == []
