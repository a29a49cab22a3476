"""What a recipe says verifies a source's rows holds for made rows as for read ones."""

from ringlite_cli.data.generators import GENERATORS
from ringlite_cli.data.sources import load_sources
from ringlite_cli.recipe.schema import Source


def test_a_generators_rows_have_the_verifier_that_the_recipe_names():
    for named, wanted in (("reward-model", "reward-model"), (None, "")):
        source = Source(generator="arithmetic", rows=3, verifier=named)
        (loaded,) = load_sources([source], seed=1, generators=GENERATORS)
        assert [row.problem.verifier for row in loaded.rows] == [wanted] * 3
