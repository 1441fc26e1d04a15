import pytest

from vibench.files.shipped import published_folder
from vibench.methods.description import UNSET, differences, printed_results, recipe_options
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import method_entries

HEAD = "method,variant,dataset,search,shot,direction,r1,r5,r10,r20,map,minp,source,table,note\n"


@pytest.mark.parametrize("name", method_entries())
def test_every_option_of_every_method_has_a_docstring(name):
    options = recipe_options(load_recipe(name))
    assert not [f"{option.section}.{option.key}" for option in options if not option.doc]


def test_options_show_type_value_and_inherited_docstring():
    options = {f"{option.section}.{option.key}": option for option in recipe_options(load_recipe("agw"))}
    assert options["model.pool"].type == "avg | max | gem" and options["model.pool"].value == '"gem"'
    assert options["model.non_local_channels"].type == "1 | C/2"
    assert options["augmentation.visible_views"].type.startswith("list of choices from none | exchange | ")
    assert options["schedule.milestones"].type == "list of whole numbers"
    assert options["augmentation.erasing_area"].type == "list of 2 numbers"
    assert options["augmentation.pad_value"].type == "whole number or list of 3 whole numbers"
    assert options["model.specific_stages"].doc.startswith("Stages that exist once per modality")


def test_differences_are_written_as_set_takes_them():
    assert differences({"model": {"neck": False, "pool": "avg"}}) == ["model.neck = false", 'model.pool = "avg"']


def test_the_fullest_row_of_each_setting_is_taken(tmp_path):
    rows = [
        "m,,sysu-mm01,all,single,,12.1,,,,13.7,,reprint,T1,",
        "m,,sysu-mm01,all,single,,12.04,,49.68,,13.67,,paper,T4,a note",
        "m,,regdb,,,v2t,13.1,,,,14.0,,paper,T5,",
        "other,,regdb,,,v2t,99,,,,99,,paper,T5,",
    ]
    (tmp_path / "results.csv").write_text(HEAD + "\n".join(rows) + "\n")
    (tmp_path / "ablations.csv").write_text(HEAD + "m,b,regdb,,,v2t,1.5,,,,2.5,,paper,T6,\n")
    first, second = printed_results("m", tmp_path)
    assert first.metrics == {"r1": "12.04", "r10": "49.68", "map": "13.67"}
    assert (first.setting, first.source, first.note) == ("all single-shot", "paper T4", "a note")
    assert (second.dataset, second.setting) == ("regdb", "v2t")
    (ablation,) = printed_results("m/b", tmp_path)
    assert ablation.metrics["map"] == "2.5"
    assert printed_results("m/b, m", tmp_path) == [ablation, first, second]
    assert printed_results("", tmp_path) == []


def test_every_printed_reference_of_the_shipped_methods_exists():
    for entry in method_entries().values():
        tables = (entry.recipe_file.method, *entry.recipe_file.variants.values())
        for printed in [table.printed for table in tables if table.printed]:
            assert printed_results(printed, published_folder()), printed
    (all_search, _) = printed_results("ddag/b", published_folder())
    assert (all_search.metrics["r1"], all_search.metrics["map"]) == ("48.18", "47.64")


def test_a_key_without_value_says_so():
    options = {f"{option.section}.{option.key}": option for option in recipe_options(load_recipe("agw"))}
    assert options["schedule.floor"].value == UNSET and options["schedule.floor"].type == "number"
    pmt = {f"{option.section}.{option.key}": option for option in recipe_options(load_recipe("pmt"))}
    assert pmt["schedule.floor"].value == "3e-06"
