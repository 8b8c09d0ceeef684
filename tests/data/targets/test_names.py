from perceiver_pytorch.data.targets.names import look_alikes


def test_names_that_differ_in_spaces_or_capitals_alone():
    assert look_alikes(["no", "no ", "yes", "Very good", "very  Good", "verygood"]) == [
        ("no", "no "),
        ("Very good", "very  Good"),
    ]
