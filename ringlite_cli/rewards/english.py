"""Sentences, capital words and the language of a text, counted as IFEval's own checker counts them.

That checker splits sentences by NLTK's Punkt with a trained English model, which is a download of its own. Here Punkt
gets the abbreviations and the common words below instead, so that a verdict does not depend on what is installed.
"""

import threading
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

_ABBREVIATIONS = """
    a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.c b.f b.j b.v bros c c.i.t c.o.m.b c.v calif
    cie co col colo conn corp cos ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f f.g f.j feb fla fri ft g g.d g.f
    g.k ga gen h h.c h.f h.m i.a i.m.s ill inc j.b j.c j.d j.j j.k j.p j.r jan jr k kan ky l l.a l.f l.p lt ltd
    m m.b.a m.d.c m.j maj messrs mg mich minn mr mrs ms n n.a n.c n.d n.h n.j n.m n.v n.y nev nov oct okla ore p
    p.a.m p.m pa ph ph.d prof r r.a r.h r.i r.j r.k r.t rep reps s s.a s.a.y s.c s.g s.p.a s.s sen sep sept sr
    st sw t t.j tenn tues u.k u.n u.s u.s.a u.s.s.r v va vs vt w w.c w.r w.va w.w wash wed wis yr
"""
_STARTERS = """
    a after all also although among an and another any are as at be because before both but by can could despite
    do does each even every few finally first for from had has have having he her here his how however i if in
    indeed instead is it its just last later like many may meanwhile moreover most much my neither nevertheless
    next no none nor not now of on once one only or other our over perhaps please second separately several she
    should similarly since so some soon still such that the their them then there therefore these they this
    those though through thus to today together tomorrow too two under unlike until upon use we well were what
    when where whether which while who whose why will with within without would yes yesterday yet you your
"""
_LOCK = threading.Lock()


@lru_cache(maxsize=1)
def _punkt() -> Any:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    starters = _STARTERS.split()
    known = PunktParameters()
    known.abbrev_types = set(_ABBREVIATIONS.split())
    known.sent_starters = set(starters)
    for word in starters:
        known.add_ortho_context(word, _SEEN)
    tokenizer = PunktSentenceTokenizer()
    tokenizer._params = known
    return tokenizer


_SEEN = (1 << 1) | (1 << 5)  # Punkt's flags of a word seen with a capital at a sentence's start, and without inside


def has_sentences(text: str, count: int) -> bool:
    """Return whether a text has that many sentences or more; reads no further than that takes."""
    return sum(1 for _ in islice(_sentences(text), count)) >= count


def _sentences(text: str) -> Iterator[str]:
    """Punkt's sentences, found piece by piece: NLTK ends a search that takes seconds."""
    start = 0
    while start < len(text):
        piece = text[start : start + _PIECE]
        spans = list(_punkt().span_tokenize(piece))
        whole = spans[:-1] if len(spans) > 1 and start + _PIECE < len(text) else spans
        yield from (piece[first:end] for first, end in whole)
        start += _PIECE if whole is spans else spans[-1][0]  # a sentence that may go on is read again, whole


def count_capital_words(text: str) -> int:
    """Return the number of tokens all of whose letters are capitals; a word with hyphens is one token."""
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer, words = NLTKWordTokenizer(), text.split()
    pieces = (" ".join(words[start : start + _WORDS]) for start in range(0, len(words), _WORDS))
    return sum(token.isupper() for piece in pieces for token in tokenizer.tokenize(piece))


_PIECE, _WORDS = 10_000, 1_000


def language_of(text: str) -> str | None:
    """Return the language's code (ISO 639-1), the same for the same text; None where there are no letters to tell."""
    import langdetect

    with _LOCK:  # the detector loads its profiles at the first call, and is not made for threads
        langdetect.DetectorFactory.seed = 0
        try:
            return str(langdetect.detect(text[:_ENOUGH]))
        except langdetect.LangDetectException:
            return None


_ENOUGH = 20_000
"""Characters that the language is told from; the detector itself stops after 10,000."""
