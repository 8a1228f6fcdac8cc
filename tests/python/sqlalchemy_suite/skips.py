"""Skips the tests of `requirements.SKIPPED`; a plugin of its own, because the suite's has the same hook."""

import pytest
import requirements


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = {test: reason for reason, tests in requirements.SKIPPED.items() for test in tests.split()}
    unused = set(reasons)
    for item in items:
        # The plugin appends the name of the database to the class.
        name = f"{item.parent.name.partition('_laminardb')[0]}::{item.name}"
        test = name if name in reasons else name.partition("[")[0]
        if test in reasons:
            item.add_marker(pytest.mark.skip(reason=reasons[test]))
            unused.discard(test)
    if unused:
        raise pytest.UsageError(f"no such tests: {', '.join(sorted(unused))}")
