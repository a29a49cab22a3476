"""All rules that a run is examined by, in the order in which the page names them."""

from ringlite_cli.report.findings.hacking import HACKING
from ringlite_cli.report.findings.results import RESULTS
from ringlite_cli.report.findings.training import TRAINING

RULES = (*RESULTS, *TRAINING, *HACKING)
