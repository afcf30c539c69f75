"""English speech to be recognised: it shows how many words a codec preserves. A table, nothing else.

There are two voices at 16 kHz: a woman's telephone prompts and a man who reads Jane Austen. The package has no text for
the prompts, so their reference is what is recognised in the original. It has the text that the man reads. The set is
separate, so that it changes neither training nor validation.

Knows: which files, and what is said in those with a text. Does not know: codecs, recognisers.
"""

from __future__ import annotations

from .sources import Source

_PROMPTS = (
    "agent-alreadyon auth-incorrect confbridge-lock-extended confbridge-mute-extended confbridge-pin demo-abouttotry "
    "demo-enterkeywords demo-moreinfo demo-nogo dir-instr pbx-invalidpark queue-periodic-announce queue-youarenext "
    "ss-noservice status tt-allbusy vm-instructions vm-intro vm-invalid-password vm-mismatch vm-newuser vm-nobox "
    "vm-rec-busy vm-tmpexists"
)
_READ = {
    "sense_and_sensibility_01_austen_64kb-0870": (
        "and mister john dashwood had then leisure to consider how much there might be prudently in his power "
        "to do for them"
    ),
    "sense_and_sensibility_01_austen_64kb-0880": "he was not an ill disposed young man",
    "sense_and_sensibility_01_austen_64kb-0890": (
        "unless to be rather cold hearted and rather selfish is to be ill disposed"
    ),
    "sense_and_sensibility_01_austen_64kb-0920": (
        "had he married a more a amiable woman he might have been made still more respectable than he was"
    ),
    "sense_and_sensibility_01_austen_64kb-0930": "he might even have been made amiable himself",
}

WORDS = (
    Source(
        "words", "speech", "asterisk_en", "asterisk-core-sounds-en-g722", "CC-BY-SA-3.0",
        tuple(f"*/{name}.g722" for name in _PROMPTS.split()), clips=len(_PROMPTS.split()),
    ),
    Source(
        "words", "speech", "librivox_en", "pocketsphinx-testdata", "BSD-2-clause", ("*/librivox/*.wav",),
        clips=len(_READ), texts=tuple(_READ.items()),
    ),
)  # fmt: skip
