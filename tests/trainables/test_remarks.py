from trainables.remarks import collected, remark


def test_remarks_are_collected_once_each_and_only_where_asked():
    remark("nobody listens")
    with collected() as said:
        remark("one")
        with collected() as inner:
            remark("two")
        remark("one")
        remark("three")
    remark("over")
    assert (said, inner) == (["one", "three"], ["two"])
