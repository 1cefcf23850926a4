import numpy as np

from trainables.compression.graph.labels import LabelBook, reshape_labels


def channels_of(book, *axes):
    found, _ = book.channels()
    return [found[labels].tolist() for labels in axes]


def test_bound_labels_are_one_channel():
    book = LabelBook()
    one, other = book.new(3), book.new(3)
    book.bind(one, other)
    left, right = channels_of(book, one, other)
    assert left == right and len(set(left)) == 3


def test_unbound_labels_are_separate_channels():
    book = LabelBook()
    assert len(set(channels_of(book, book.new(4))[0])) == 4


def test_the_first_reason_to_exclude_a_channel_counts():
    book = LabelBook()
    labels = book.new(3)
    book.exclude(labels[1:2], "first")
    book.exclude(labels, "second")
    found, reasons = book.channels()
    assert [reasons[channel] for channel in found[labels]] == ["second", "first", "second"]


def test_an_axis_without_labels_has_nothing_to_exclude():
    book = LabelBook()
    book.exclude(None, "nothing")
    assert book.channels()[1] == {}


def test_a_flatten_repeats_every_channel():
    book = LabelBook()
    channels = book.new(3)
    samples, flat = reshape_labels(book, (None, channels, None, None), (2, 3, 2, 2), (2, 12))
    assert samples is None
    assert flat.tolist() == np.repeat(channels, 4).tolist()


def test_a_reshape_undoes_a_flatten():
    book = LabelBook()
    channels = book.new(3)
    _, flat = reshape_labels(book, (None, channels, None), (2, 3, 4), (2, 12))
    again = reshape_labels(book, (None, flat), (2, 12), (2, 3, 4))
    assert again[0] is None and again[2] is None
    assert again[1].tolist() == channels.tolist()
    assert len(set(channels_of(book, channels)[0])) == 3


def test_splitting_an_axis_binds_labels_at_the_same_index_of_the_last_part():
    book = LabelBook()
    channels = book.new(6)
    _, heads, width = reshape_labels(book, (None, channels), (5, 6), (5, 2, 3))
    assert heads is None and len(width) == 3
    found = channels_of(book, channels)[0]
    assert found[:3] == found[3:] and len(set(found)) == 3


def test_two_merged_channel_axes_are_excluded():
    book = LabelBook()
    one, other = book.new(2), book.new(3)
    assert reshape_labels(book, (one, other), (2, 3), (6,)) == (None,)
    assert len(book.channels()[1]) == 5


def test_axes_of_size_1_are_removed_and_added():
    book = LabelBook()
    channels = book.new(3)
    squeezed = reshape_labels(book, (None, channels, None, None), (2, 3, 1, 1), (2, 3))
    assert squeezed[0] is None and squeezed[1] is channels
    spread = reshape_labels(book, (channels,), (3,), (1, 3, 1, 1))
    assert [labels is None for labels in spread] == [True, False, True, True]
    assert spread[1].tolist() == channels.tolist()
