import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibench.data.sections import AugmentationRecipe, InputRecipe, SamplerRecipe
from vibench.errors import UsageError
from vibench.files.toml import tomllib
from vibench.methods.recipe import departures, load_recipe, recipe_dict, recipe_from_dict, recipe_sha256, recipe_toml
from vibench.methods.registry import method_entries
from vibench.methods.sections import OptimizerRecipe, Recipe, ScheduleRecipe

EVERY_RECIPE = [
    (name, variant, dataset)
    for name, entry in method_entries().items()
    for variant in ("", *entry.recipe_file.variants)
    for dataset in ("sysu-mm01", "regdb", "llcm", *entry.recipe_file.datasets)
]


@pytest.mark.parametrize(("method", "variant", "dataset"), EVERY_RECIPE)
def test_every_shipped_recipe_loads_and_comes_back_from_its_text(method, variant, dataset):
    recipe = load_recipe(method, variant, dataset)
    text = recipe_toml(recipe)
    assert recipe_from_dict(tomllib.loads(text)) == recipe
    assert recipe_from_dict(json.loads(json.dumps(recipe_dict(recipe)))) == recipe
    assert recipe_toml(recipe_from_dict(tomllib.loads(text))) == text


def test_the_agw_code_line():
    recipe = load_recipe("agw")
    assert recipe.input == InputRecipe(288, 144, "lanczos")
    assert recipe.sampler == SamplerRecipe(8, 4, 0)
    assert recipe.augmentation == AugmentationRecipe(10, 0.5, 0.0)
    assert recipe.optimizer == OptimizerRecipe("sgd", 0.1, 0.1, 0.9, True, 5e-4, 0.0)
    assert recipe.schedule == ScheduleRecipe(81, 10, (20, 50), 0.1)


HALF = {"mpanet", "pmt", "pose"}
"""Trained in half precision by their authors; PAENet's host brings its own precision along."""


def test_every_recipe_has_the_precision_of_the_official_code():
    for name, variant, dataset in EVERY_RECIPE:
        half = name in HALF or variant == "mpanet-pae-aal"
        assert load_recipe(name, variant, dataset).optimizer.precision == ("fp16" if half else "fp32"), (name, variant)


def test_departures_name_what_differs_from_the_recipe_of_method_variant_and_data_set():
    assert departures(load_recipe("agw", "a-g", "regdb-twin")) == ()
    assert departures(load_recipe("mpanet", overrides=["precision=fp32"])) == ("optimizer.precision",)
    changed = load_recipe("ddag", overrides=["loss_weights.graph=0.5", "input.height=144", "model.parts=4"])
    assert departures(changed) == ("input.height", "model.parts", "loss_weights.graph")


def test_an_empty_variant_is_the_default_variant():
    assert load_recipe("baseline").variant == "b"
    assert load_recipe("baseline") == load_recipe("baseline", "b")
    assert load_recipe("agw").variant == ""


def test_data_sets_override_and_twins_follow_the_data_set_they_imitate():
    assert load_recipe("agw", dataset="sysu-mm01").augmentation.erasing == 0.0
    assert load_recipe("agw", dataset="llcm").augmentation.erasing == 0.5
    assert load_recipe("agw", dataset="llcm-twin").augmentation.erasing == 0.5
    assert load_recipe("agw", dataset="regdb-twin").augmentation.erasing == 0.0


def test_overrides_convert_and_reach_their_section():
    recipe = load_recipe(
        "agw",
        overrides=[
            "epochs=3",
            "schedule.milestones = [1, 2]",
            "optimizer.lr=1",
            "model.pool=avg",
            'input.interpolation="bilinear"',
            "nesterov=false",
            "momentum=0",
            "non_local_channels=C/2",
            "loss_weights.triplet=0.5",
        ],
    )
    assert recipe.schedule == ScheduleRecipe(3, 10, (1, 2), 0.1)
    assert recipe.optimizer.lr == 1.0 and isinstance(recipe.optimizer.lr, float)
    assert (recipe.optimizer.nesterov, recipe.optimizer.momentum) == (False, 0.0)
    assert (recipe.model.pool, recipe.model.non_local_channels) == ("avg", "C/2")
    assert recipe.input.interpolation == "bilinear"
    assert recipe.loss_weights == {"identity": 1.0, "triplet": 0.5}
    assert load_recipe("agw", overrides=["non_local_channels=1"]).model.non_local_channels == 1


@pytest.mark.parametrize(
    ("override", "value", "colour"),
    [("pad_value=127", 127, (127, 127, 127)), ("pad_value = [127, 0, 9]", (127, 0, 9), (127, 0, 9))],
)
def test_padding_is_one_grey_level_or_a_colour(override, value, colour):
    recipe = load_recipe("agw", overrides=[override])
    assert recipe.augmentation.pad_value == value and recipe.augmentation.pad_colour == colour
    assert recipe_from_dict(tomllib.loads(recipe_toml(recipe))) == recipe
    assert recipe_dict(recipe)["augmentation"]["pad_value"] == (value if value == 127 else list(value))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("epochs", "--set epochs: write it as section.key=value"),
        ("=3", "write it as section.key=value"),
        ("epoch=3", "no recipe key 'epoch' (did you mean 'epochs'?)"),
        ("schedule.epoch=3", "(did you mean 'schedule.epochs'?)"),
        ("optimiser.lr=3", "(did you mean 'optimizer.lr'?)"),
        ("triplet=hard", "'triplet' is ambiguous; write model.triplet or loss_weights.triplet"),
        ("epochs=3.5", "[schedule]: 'epochs' must be a whole number, not 3.5"),
        ("epochs=many", "'epochs' must be a whole number, not 'many'"),
        ("epochs=", "'epochs' must be a whole number, not ''"),
        ("epochs=1\nlr=2", "'epochs' must be a whole number"),
        ("neck=1", "'neck' must be true or false, not 1"),
        ("model.pool=gemm", "(did you mean 'gem'?)"),
        ("milestones=20", "'milestones' must be a list"),
        ("milestones=[50, 20]", "'milestones' must be ascending epochs above 0, not [50, 20]"),
        ("height=100", "'height' must be a multiple of 16 and at least 32, not 100"),
        ("identities=0", "'identities' must be at least 2, not 0"),
        ("flip=1.5", "'flip' is a probability between 0 and 1, not 1.5"),
        ("erasing_area=[0.4, 0.02]", "0 < low <= high < 1"),
        ("pad_value=256", "'pad_value' must be 0 to 255, not 256"),
        ("pad_value=[0, 0, -1]", "'pad_value' must be 0 to 255, not [0, 0, -1]"),
        (
            "pad_value=[127]",
            "'pad_value' must be a whole number or a list of 3: a whole number, a whole number, a whole",
        ),
        ("visible_views=[]", "'visible_views' must name at least one view"),
        ("visible_views=[exchang]", "'visible_views' must be a list"),
        ('visible_views=["exchang"]', "(did you mean 'exchange'?)"),
        ("erasing_attempts=0", "'erasing_attempts' must be at least 1, not 0"),
        ("sampler.kind=exhaustiv", "(did you mean 'exhaustive'?)"),
        ("lr=nan", "'lr' must be a number that is finite and in range, not nan"),
        ("momentum=0", "'nesterov' needs a 'momentum' above 0"),
        ("specific_stages=6", "'specific_stages' must be 0 to 5, not 6"),
        ("gem_p=0", "'gem_p' must be above 0"),
        ("non_local_positions=[0, 2, 3]", "a list of 4"),
        ("loss_weights.identity=-1", "the weight of 'identity' must be a finite number from 0 on, not -1"),
        ("loss_weights.identity=inf", "finite number"),
        ("loss_weights.tripplet=1", "(did you mean 'loss_weights.triplet'?)"),
    ],
)
def test_a_wrong_override_is_one_clear_sentence(override, expected):
    with pytest.raises(UsageError) as error:
        load_recipe("agw", overrides=[override])
    assert expected in str(error.value) and "--set" in str(error.value)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"no method 'awg'.*did you mean 'agw'"):
        load_recipe("awg")
    with pytest.raises(UsageError, match=r"no variant 'zeropad'.*did you mean 'zero-pad'.*b, one-stream"):
        load_recipe("baseline", "zeropad")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"metod": "agw"}, "unknown key 'metod' (did you mean 'method'?)"),
        ({"variant": 3}, "'variant' must be a text"),
        ({"schedule": {"epoch": 3}}, "run/recipe.toml: [schedule]: unknown key 'epoch' (did you mean 'epochs'?)"),
        ({"loss_weights": {"idntity": 1.0}}, "unknown loss 'idntity' (did you mean 'identity'?)"),
        ({"method": "awg"}, "'awg', which is not registered (did you mean 'agw'?); name its folder with --plugin"),
    ],
)
def test_a_damaged_stored_recipe_is_named(change, expected):
    with pytest.raises(UsageError) as error:
        recipe_from_dict({**recipe_dict(load_recipe("agw")), **change}, "run/recipe.toml")
    assert expected in str(error.value)


def test_the_hash_is_of_the_content():
    recipe = load_recipe("agw")
    assert recipe_sha256(recipe) == recipe_sha256(load_recipe("agw"))
    others = [load_recipe("agw", "a"), load_recipe("agw", dataset="regdb"), load_recipe("agw", overrides=["lr=0.2"])]
    assert len({recipe_sha256(each) for each in [recipe, *others]}) == 4


def test_a_key_without_value_is_left_out():
    """Recipes from before there was the key keep their hashes."""
    tables = recipe_dict(load_recipe("agw"))
    for section, key in (
        ("input", "training_detour"),
        ("augmentation", "visible_grey_epochs"),
        ("augmentation", "infrared_jitter"),
        ("augmentation", "infrared_blur"),
        ("schedule", "floor"),
    ):
        assert key not in tables[section]
    given = load_recipe("agw", overrides=["schedule.floor=1e-6", "training_detour=[40, 20]"])
    assert departures(given) == ("input.training_detour", "schedule.floor")
    assert recipe_from_dict(tomllib.loads(recipe_toml(given))) == given


@pytest.mark.parametrize(("key", "value"), [("floor", "-1e-6"), ("training_detour", "[0, 20]")])
def test_impossible_values_of_such_keys_are_refused(key, value):
    with pytest.raises(UsageError, match=f"'{key}' must be"):
        load_recipe("agw", overrides=[f"{key}={value}"])


positive = st.floats(1e-6, 1e6)


@settings(max_examples=50)
@given(
    lr=positive,
    area=st.tuples(st.floats(0.001, 0.5), st.floats(0.5, 0.999)),
    milestones=st.sets(st.integers(1, 500)),
    dataset=st.text(st.characters(codec="ascii"), max_size=8),
)
def test_any_valid_recipe_survives_its_text(lr, area, milestones, dataset):
    recipe = dataclasses.replace(
        load_recipe("baseline"),
        dataset=dataset,
        optimizer=OptimizerRecipe(lr=lr),
        augmentation=AugmentationRecipe(erasing_area=area),
        schedule=ScheduleRecipe(milestones=tuple(sorted(milestones))),
    )
    again: Recipe = recipe_from_dict(tomllib.loads(recipe_toml(recipe)))
    assert again == recipe and recipe_sha256(again) == recipe_sha256(recipe)
