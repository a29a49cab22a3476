"""How a model behind an OpenAI-compatible endpoint is asked, once: by curation's models and by the engine `server`."""

from typing import Any

from ringlite_cli.recipe.key_classes import objective, operational
from ringlite_cli.recipe.section import Positive, Seconds, Section


class EndpointSettings(Section):
    """The keys that every endpoint has beside its address."""

    model: str | None = objective(None, description="the model's name at the endpoint")
    api_key_env: str = operational("OPENAI_API_KEY", description="environment variable that holds the endpoint's key")
    concurrency: Positive = operational(8, description="requests under way at a time")
    timeout: Seconds = operational(600, description="seconds that one request may take")

    def endpoint_keys(self) -> dict[str, Any]:
        """Return these keys alone."""
        return {name: getattr(self, name) for name in EndpointSettings.model_fields}
