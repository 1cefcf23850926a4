"""Pydantic's first complaint, as a value."""

import pytest
from pydantic import BaseModel, ValidationError

from search.records.faults import first_fault


class Group(BaseModel):
    channels: int


class Model(BaseModel):
    groups: list[Group]


@pytest.mark.parametrize(
    ("content", "name", "kind", "given"),
    [
        ({"groups": [{"channels": 4}, {"channels": "x"}]}, "groups.1.channels", "int_parsing", "x"),
        ({}, "groups", "missing", {}),
    ],
)
def test_the_first_fault_is_named_by_its_path(content, name, kind, given):
    with pytest.raises(ValidationError) as caught:
        Model.model_validate(content)
    fault = first_fault(caught.value)
    assert (fault.name, fault.kind, fault.given) == (name, kind, given)
    assert fault.message
