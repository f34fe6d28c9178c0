import numpy as np
import pytest

from cubeengine.errors import FieldNotFound
from cubeengine.events.table import FieldTable
from cubeengine.types import FieldInfo, FieldKind

NAMES = {
    "jungfrau/raw/raw": (4, 5),
    "jungfrau/raw/hotPixels": (),
    "hsd/fex/waves": (3,),
    "hsd/fex/peaks": (3,),
    "epixs/raw/array": (2, 3),
    "epixs/raw/aux": (7,),
    "epixs/0/raw/array": (3,),
    "epixs/1/raw/array": (3,),
    "two/raw/raw": (1,),
    "two/raw/image": (1,),
    "i0/fex/sum": (),
}
FIELDS = {name: FieldInfo(name, shape, np.dtype("u2")) for name, shape in NAMES.items()}
FIELDS["ts/raw/ragged"] = FieldInfo("ts/raw/ragged", (), np.dtype("u1"), FieldKind.RAGGED)
TABLE = FieldTable(FIELDS, {}, hint="look")


@pytest.mark.parametrize(
    ("short", "name"),
    [
        ("jungfrau/raw", "jungfrau/raw/raw"),
        ("jungfrau", "jungfrau/raw/raw"),
        ("epixs/raw", "epixs/raw/array"),
        ("epixs/1", "epixs/1/raw/array"),
        ("jungfrau__raw__raw", "jungfrau/raw/raw"),
    ],
)
def test_a_detector_stands_for_its_one_array(short, name):
    assert TABLE.find(short) == name


@pytest.mark.parametrize(
    ("short", "message"),
    [
        ("hsd/fex", "fields below it: 'hsd/fex/waves', 'hsd/fex/peaks'"),
        ("epixs", "fields below it: 'epixs/raw/array', 'epixs/raw/aux', 'epixs/0/raw/array'"),
        ("two/raw", "below it"),
        ("i0/fex", "below it"),
        ("ts/raw", "below it"),
        ("jung", "look"),
    ],
)
def test_what_could_mean_several_lists_them(short, message):
    with pytest.raises(FieldNotFound, match=message):
        TABLE.find(short)


def test_only_whole_names_are_fields():
    assert "jungfrau/raw" not in TABLE
    with pytest.raises(FieldNotFound, match="below it: 'jungfrau/raw/raw', 'jungfrau/raw/hotPixels'"):
        TABLE.resolve("jungfrau/raw")
