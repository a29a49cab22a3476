"""The settings of an evaluation, once: of the eval stage, of `ringlite eval --model`, and of the library."""

from ringlite_cli.recipe.key_classes import objective, operational
from ringlite_cli.recipe.section import Positive, Section
from ringlite_cli.samples import BATCH_TOKENS, SamplingSettings


class EvalSettings(Section):
    """How responses are drawn and how many."""

    num_generations: Positive | None = objective(
        None, description="k of avg@k, responses per problem; default: each task's own"
    )
    max_completion_length: Positive = objective(32_768, description="tokens that a response may have (§4.1.2)")
    temperature: float = objective(1.0, ge=0, description="0: always the likeliest token")
    top_p: float = objective(0.95, gt=0, le=1, description="share of the probability that tokens are drawn from")
    limit: Positive | None = objective(None, description="at most this many problems of each task; default: all")
    revisions: dict[str, str] = objective(
        {}, description="task -> commit of its dataset on the hub; default: the newest"
    )
    batch_tokens: Positive = operational(BATCH_TOKENS, description="tokens of a batch when responses are drawn")

    def sampling(self, seed: int) -> SamplingSettings:
        """Return what a sampler needs of these settings."""
        return SamplingSettings(self.max_completion_length, self.temperature, self.top_p, seed, self.batch_tokens)
