from turnout.epp.observe.asking import ask_each
from turnout.framework import ExtensionPoint, PluginError


def test_each_answers_by_its_name_and_one_that_fails_is_told_and_stops_no_other() -> None:
    failures: list[PluginError] = []
    plugins = (("one", "1"), ("broken", "none"), ("two", "2"))
    assert ask_each(plugins, ExtensionPoint.DIAGNOSIS, int, failures.append) == {"one": 1, "two": 2}
    assert [(error.plugin, error.extension_point) for error in failures] == [("broken", ExtensionPoint.DIAGNOSIS)]
