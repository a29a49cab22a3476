"""All responses of a run to read on its page: streamed from its files, sampled above a size, packed into the page."""
