"""A reader of whole answers: text becomes a form (a number, a list, a set, an equation ...), or it is not read at all.

Nothing here evaluates text: the parser makes a tree of its own, and numbers are computed from that tree.
"""
