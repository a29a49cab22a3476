"""ringlite: the Ring-lite recipe (arXiv 2506.14731) as one command-line toolkit.

curate -> Long-CoT SFT -> select by entropy -> C3PO on math -> C3PO on mixed domains -> eval
"""

__version__ = "0.1.0"
