import pytest

from vibench.errors import UsageError
from vibench.methods.recipe_file import read_recipe_file
from vibench.methods.registry import method_entries

METHOD = '[method]\ntitle = "T"\nreference = "R"\nvenue = "V"\nsummary = "S"\n'


def read(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return read_recipe_file(path)


def test_reads_sections_data_sets_and_variants(tmp_path):
    recipe_file = read(
        tmp_path,
        METHOD
        + '[model]\npool = "gem"\n[dataset.regdb.sampler]\nidentities = 4\n'
        + '[variants.small]\ntitle = "Small"\nnote = "n"\n[variants.small.model]\npool = "avg"\n',
    )
    assert recipe_file.sections == {"model": {"pool": "gem"}}
    assert recipe_file.dataset_sections("regdb") == recipe_file.dataset_sections("regdb-twin")
    assert recipe_file.dataset_sections("llcm") == {}
    assert recipe_file.variants["small"].title == "Small"
    assert recipe_file.variant_sections["small"] == {"model": {"pool": "avg"}}


def test_a_twin_may_have_a_table_of_its_own(tmp_path):
    text = METHOD + "[dataset.regdb.input]\nheight = 64\n[dataset.regdb-twin.input]\nheight = 32\n"
    assert read(tmp_path, text).dataset_sections("regdb-twin") == {"input": {"height": 32}}


def test_a_variant_may_need_less_than_its_method(tmp_path):
    text = METHOD + 'needs = ["heatmaps"]\n[variants.a]\ntitle = "A"\n[variants.b]\ntitle = "B"\nneeds = []\n'
    recipe_file = read(tmp_path, text)
    assert [recipe_file.needs(variant) for variant in ("", "a", "b")] == [("heatmaps",), ("heatmaps",), ()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the table [method] is missing"),
        (METHOD + "[optimiser]\n", "unknown table [optimiser] (did you mean 'optimizer'?)"),
        ("epochs = 3\n" + METHOD, "unknown table [epochs]"),
        ("model = 3\n" + METHOD, "[model] must be a table, not 3"),
        (METHOD.replace("venue", "venu"), "unknown key 'venu' (did you mean 'venue'?)"),
        (METHOD + 'needs = ["poses"]\n', "'needs' may hold attributes, heatmaps, not 'poses'"),
        (METHOD + 'default_variant = "b"\n', "'default_variant' names no table [variants.b]; leave it out"),
        (METHOD + "[dataset.regdb]\nsampler = 4\n", "[dataset.regdb.sampler] must be a table, not 4"),
        (METHOD + "[dataset.regdb.samplr]\n", "[dataset.regdb]: unknown key 'samplr' (did you mean 'sampler'?)"),
        (METHOD + '[variants.a]\nnote = "no title"\n', "[variants.a]: the key 'title' is missing"),
        (METHOD + '[variants.a]\ntitle = "A"\nnotes = "n"\n', "[variants.a]: unknown key 'notes'"),
        (
            METHOD + '[variants.a]\ntitle = "A"\nneeds = ["poses"]\n',
            "'needs' may hold attributes, heatmaps, not 'poses'",
        ),
        (METHOD + '[variants]\na = "A"\n', "[variants.a] must be a table"),
        (METHOD + "[model\n", "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_one_clear_sentence(tmp_path, text, expected):
    with pytest.raises(UsageError) as error:
        read(tmp_path, text)
    assert expected in str(error.value)


@pytest.mark.parametrize("name", method_entries())
def test_shipped_files_say_what_they_are(name):
    recipe_file = method_entries()[name].recipe_file
    for text in (recipe_file.method.title, recipe_file.method.reference, recipe_file.method.summary):
        assert text
    assert all(variant.title for variant in recipe_file.variants.values())


def test_a_file_that_has_changed_is_read_again(tmp_path):
    for title in "ABCD":
        assert read(tmp_path, METHOD.replace('"T"', f'"{title}"')).method.title == title
