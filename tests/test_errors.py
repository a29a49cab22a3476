"""What an error asks after: the known names that are most like the one that was given."""

from ringlite_cli.errors import near


def test_the_nearest_name_is_asked_after_and_else_the_hint_stands():
    assert near("num_generatoins", ["num_generations", "limit"]) == "did you mean 'num_generations'?"
    assert near("zzz", ["num_generations"], "known: num_generations") == "known: num_generations"
    assert near("zzz", ["num_generations"]) == ""


def test_several_are_asked_after_and_a_prefix_counts_for_no_likeness():
    assert near("gsm9k", ["gsm8k", "gsm7k", "mmlu"], most=2) == "did you mean 'gsm8k' or 'gsm7k'?"
    assert near("x", ["ab", "xy"], prefix="/models/", cutoff=0.5) == "did you mean '/models/xy'?"
    assert near("q", ["ab"], "none", prefix="/a/long/folder/that/all/have/") == "none"
