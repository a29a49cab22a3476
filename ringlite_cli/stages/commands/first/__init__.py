"""A first run on one's own model and file: `ringlite new` and `ringlite data check`.

fit        all of the below, for one file and one model
model      what a model folder or id is     file     what curation makes of the file's rows
sizes      splits, lengths and budget       lengths  tokens of prompts and traces
text       the commented recipe             (which column holds what: `ringlite_cli.data.guessing`)
"""
