"""More sources in Debian 12, used from beginning to end: a table, nothing else.

Short recordings of natural speech count three times as often as their length says: there is little of them, and a
second of single words has as much to learn from as one of connected speech. What has nothing above 8 kHz counts half.

Knows: which files of which package belong to which source, and their licences. Does not know: where the files are.
"""

from __future__ import annotations

import math

from .sources import Source

RARE, DULL = 3.0, 0.5
_PIECE = 60.0  #: seconds; music is long, and a crop is drawn from anywhere in it
_ALL = math.inf  #: minutes

_MUSIC = (  # group, package, licence, patterns
    ("supertux_music", "supertux-data", "GPL-2+", "*/music/*"),
    ("widelands_music", "widelands-data", "GPL-2+", "*/data/music/*"),
    ("marsshooter_music", "marsshooter-data", "CC-BY-SA-3.0", "*/audio/music/* */audio/*.ogg"),
    ("drascula", "drascula-music", "Drascula-License", "*.ogg"),
    ("flare_music", "flare-game", "CC-BY-SA-3.0+", "*/fantasycore/music/*"),
    ("megaglest_music", "megaglest-data", "CC-BY-SA-3.0", "*/music/*"),
    ("muldjord", "fretsonfire-songs-muldjord", "CC-BY-SA-3.0", "*.ogg"),
    ("sectoid", "fretsonfire-songs-sectoid", "MIT", "*.ogg"),
    ("fillets_music", "fillets-ng-data", "GPL-2", "*/fillets-ng/music/*"),
    ("lomiri_ringtones", "lomiri-sounds", "CC-BY-SA-3.0", "*/ringtones/*"),
)
_VOICES = (  # group, package, licence, patterns, speakers
    *(
        (f"ktuberling_{v}", "ktuberling-data", "GPL-2+", f"*/sounds/{v}/*", 0)
        for v in ["ca", "de", "el", "en", "fr", "gl", "nn", "ru", "sl", "uk", "wa"]
    ),
    ("gcin_3", "gcin-voice", "GPL-3 or LGPL-3", "*/3.ogg", 1),
    ("gcin_5", "gcin-voice", "CC-BY-3", "*/5.ogg", 1),
    ("megaglest_units", "megaglest-data", "CC-BY-SA-3.0", "*_ack*.wav *_select*.wav", 0),
    ("codriver", "trigger-rally-data", "GPL-2+", "*/codriver/*", 3),
    (
        "boswars_units",
        "boswars-data",
        "GPL-2+",
        "*select*.wav *ready*.wav *action*.wav *completed*.wav *tutorial/*.wav",
        0,
    ),
    ("flare_voices", "flare-game", "CC-BY-SA-3.0+", "*/soundfx/npcs/*", 0),
)
_EFFECTS = (  # group, package, licence, patterns, without
    ("supertux_sounds", "supertux-data", "GPL-3+", "*/sounds/*", ""),
    ("widelands_sounds", "widelands-data", "GPL-2+", "*/data/sound/*", ""),
    ("megaglest_ambient", "megaglest-data", "CC-BY-SA-3.0", "*/tilesets/*", ""),
    ("megaglest_sounds", "megaglest-data", "CC-BY-SA-3.0", "*.wav", "*_ack*.wav *_select*.wav */tilesets/* */music/*"),
    ("marsshooter_sounds", "marsshooter-data", "CC-BY-3.0", "*/audio/*/*", "*/audio/music/*"),
    ("flare_sounds", "flare-game", "CC-BY-SA-3.0+", "*/soundfx/*", "*/npcs/*"),
    ("lomiri_notifications", "lomiri-sounds", "CC-BY-SA-3.0", "*/notifications/*", ""),
    ("scratch_media", "scratch", "CC-BY-SA-3.0", "*/Media/Sounds/*", "*/Vocals/* */Human/*"),
    ("boswars_sounds", "boswars-data", "GPL-2+", "*_die.wav *.die.wav *attack.wav", "*underattack*"),
)

MORE = (
    *(
        Source("train", "music", group, package, licence, tuple(patterns.split()), minutes=_ALL, cut=_PIECE,
               whole=True, lowest=22050)
        for group, package, licence, patterns in _MUSIC
    ),
    # 49 kbit/s, and all of one style: an hour of its 2.7.
    Source("train", "music", "planetblupi", "planetblupi-music-ogg", "GPL-3+", ("*.ogg",), minutes=60, cut=_PIECE,
           whole=True),
    *(
        Source("train", "speech", group, package, licence, tuple(patterns.split()), minutes=_ALL, lowest=22050,
               weight=RARE, speakers=speakers)
        for group, package, licence, patterns, speakers in _VOICES
    ),
    Source("train", "speech", "fillets_nl", "fillets-ng-data-nl", "GPL-2", ("*.ogg",), minutes=_ALL, lowest=22050,
           narrow=True, weight=DULL),
    Source("train", "speech", "festvox_ru", "festvox-ru", "MIT-Festival", ("*.wav",), minutes=_ALL, lowest=16000,
           weight=DULL, speakers=1),
    *(
        Source("train", "sound", group, package, licence, tuple(patterns.split()), tuple(without.split()),
               minutes=_ALL, lowest=22050)
        for group, package, licence, patterns, without in _EFFECTS
    ),
)  # fmt: skip

INSTRUMENTS = "musescore-general-soundfont-lossless"
#: Packages of notes, which are rendered with INSTRUMENTS.
NOTES = ("freedoom", "openttd-openmsx")
RENDERED = (
    Source("train", "music", "freedoom_music", "freedoom", "BSD-3-clause and MIT", ("*.flac",), minutes=_ALL,
           cut=_PIECE, whole=True, origin="rendered"),
    Source("train", "music", "openmsx", "openttd-openmsx", "GPL-2 and MIT", ("*.flac",), minutes=_ALL, cut=_PIECE,
           whole=True, origin="rendered"),
)  # fmt: skip
