"""Every method with an official training code trains as that code does, for a few steps in float64; see steps/."""

from __future__ import annotations

import pytest

from tests.methods.steps.comparison import KINDS, apart, differences, largest
from tests.methods.steps.reference import REFERENCES, read_reference
from vibench.methods.parity import read_parity
from vibench.methods.registry import method_entry

QUICK = {"agw": 2, "ddag": 1, "mmd": 1}
"""Their first steps are in the default run: with two, momentum and decay have met every weight."""
SLACK = 10
"""By how much a difference may outgrow what ``parity.toml`` states: processors round otherwise."""
ROUNDING = 1e-12
"""What is below it is rounding and grows with anything."""


@pytest.mark.parametrize(
    ("name", "steps"),
    [*QUICK.items(), *(pytest.param(name, None, marks=pytest.mark.slow) for name in REFERENCES)],
)
def test_a_method_trains_as_its_official_code(name: str, steps: int | None) -> None:
    reference = read_reference(name)
    tolerances = reference.setup["tolerances"]
    found = differences(reference, steps=steps)
    beyond = [str(difference) for difference in found if not difference.size <= tolerances[difference.kind]]
    assert not beyond, "\n".join(beyond)
    assert set(tolerances) == {difference.kind for difference in found} == set(KINDS)
    parity = read_parity(method_entry(reference.setup["method"]).folder)
    assert parity is not None
    stated = parity.steps[name].largest
    outgrown = [kind for kind, size in largest(found).items() if size > SLACK * max(getattr(stated, kind), ROUNDING)]
    assert not outgrown, f"parity.toml states less than was found: {', '.join(map(str, found))}"


def test_there_is_a_reference_of_every_official_code() -> None:
    methods = {read_reference(name).setup["method"] for name in REFERENCES}
    assert methods == {"agw", "caj", "ddag", "deen", "hct", "mmd", "mpanet", "paenet", "pmt", "pose"}
    assert len(REFERENCES) == 11 and set(QUICK) < set(REFERENCES)


def test_a_wrong_weight_decay_is_found_in_the_parameters_alone() -> None:
    """The first step's losses and gradients do not depend on it, nor does anything but the change of the weights."""
    reference = read_reference("agw")
    found = largest(differences(reference, ["optimizer.weight_decay=4.9e-4"], steps=1))
    tolerances = reference.setup["tolerances"]
    assert [kind for kind in KINDS if found[kind] > tolerances[kind]] == ["parameter"]
    assert 1e-3 < found["parameter"] < 1e-1


def test_differences_that_no_step_is_needed_for() -> None:
    """Tensors of one side only, another number of epochs, and a rate that falls an epoch late."""
    reference = read_reference("agw")
    changes = ["model.non_local_positions=[0, 2, 2, 0]", "schedule.epochs=80", "schedule.milestones=[20, 51]"]
    found = differences(reference, changes, steps=0)
    assert {difference.quantity for difference in found if difference.size > 1e-9} == {
        "tensors of the official side only",
        "number of epochs",
        "lowest rate of the epochs",
        "highest rate of the epochs",
    }
    found = differences(reference, ["model.non_local_positions=[0, 2, 4, 0]"], steps=0)
    assert [difference.where for difference in found if difference.size > 1e-9] == [
        "backbone.inserted.layer3_2.expand.bias"
    ]


def test_what_only_one_side_has_is_infinitely_apart() -> None:
    nan, inf = float("nan"), float("inf")
    assert apart(2.0, 2.5, 2.0) == 0.25
    assert apart(nan, 1.0, 1.0) == apart(1.0, nan, nan) == apart(1.0, 2.0, 0.0) == inf
    assert apart(nan, nan, nan) == apart(1.0, 1.0, 0.0) == 0.0
