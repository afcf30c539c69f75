"""The sources in Debian 12: a table, nothing else.

Only files recorded at 44.1 kHz or more are used, so a source may look larger here than it is. Voices with almost
nothing above 8 kHz (el, ca) get few minutes. The table of what is used whole is in debian_more.py.

Knows: which files of which package belong to which source, and their licences. Does not know: where the files are.
"""

from __future__ import annotations

from dataclasses import replace

from .debian_more import MORE, RARE
from .sources import Source

_TUX, _KLETTRES, _HEDGEWARS, _0AD = "tuxpaint-stamps-default", "klettres-data", "hedgewars-data", "0ad-data"
_TUX_VOICES = {"ro": 5, "es": 5, "ru": 5, "fr": 5, "bg": 5, "be": 5, "ca": 1, "el": 1, "nl": 0.6}
_KLETTRES_VOICES = {
    "ar": 1.3, "cs": 0.5, "de": 1.6, "en": 1.5, "en_GB": 1.5, "es": 0.5, "fr": 1.3, "he": 1.4, "it": 0.9, "ml": 3,
    "nb": 0.4, "nds": 2, "nl": 1.7, "pt_BR": 1.7, "ru": 1.1, "uk": 2,
}  # fmt: skip
_HEDGEWARS_VOICES = (
    "British Classic Default Default_es Default_pl Default_uk HillBilly Mobster Pirate Russian Russian_pl Singer Surfer"
)
_KITS = {  # drum kits of hydrogen, by licence
    "CC0-1.0": "Audiophob",
    "CC-BY-3.0": "rumpf_kit_z01_h2",
    "CC-BY-SA-3.0": "circAfrique v4",
    "CC-BY-SA-3.0-us": "BJA_Pacific",
    "GPL-2": (
        "ForzeeStereo,Millo-Drums_v.1,Millo_MultiLayered2,Millo_MultiLayered3,Gimme A Hand 1.0,The Black Pearl 1.0"
    ),
    "GPL-2+": "ElectricEmpireKit,HardElectro1,VariBreaks",
    "GPL-2+ with composition exception": "ColomboAcousticDrumkit",
}


def _speech(group: str, package: str, licence: str, patterns: str, minutes: float) -> Source:
    wanted = tuple(patterns.split())
    return Source("train", "speech", group, package, licence, wanted, minutes=minutes, weight=RARE)


def _music(group: str, package: str, licence: str, patterns: str, minutes: float, terms: str = "") -> Source:
    wanted = tuple(patterns.split())
    return Source("train", "music", group, package, licence, wanted, minutes=minutes, cut=12, terms=terms)


def _sound(
    group: str, package: str, licence: str, patterns: str, minutes: float, cut: float | None = None, without: str = ""
) -> Source:
    wanted, unwanted = tuple(patterns.split()), tuple(without.split())
    return Source("train", "sound", group, package, licence, wanted, unwanted, minutes=minutes, cut=cut)


TRAIN = (
    *(_speech(f"tuxpaint_{v}", _TUX, "GPL-2", f"*_desc_{v}.ogg", m) for v, m in _TUX_VOICES.items()),
    _speech("tuxpaint_en", _TUX, "GPL-2", "*_desc.ogg", 1),
    *(_speech(f"klettres_{v}", _KLETTRES, "GPL-2+", f"*/klettres/{v}/*", m) for v, m in _KLETTRES_VOICES.items()),
    *(
        _speech(f"hedgewars_{v}", _HEDGEWARS, "GFDL-1.3", f"*/Sounds/voices/{v}/*.ogg", 0.45)
        for v in _HEDGEWARS_VOICES.split()
    ),
    _speech("0ad_greek", _0AD, "CC-BY-SA-3.0", "*/audio/voice/greek/*", 0.5),
    _speech("0ad_napatan", _0AD, "CC-BY-SA-3.0", "*/audio/voice/napatan/*", 1.5),
    _speech("0ad_persian", _0AD, "CC-BY-SA-3.0", "*/audio/voice/persian/*", 0.8),
    _speech("nexuiz_tutorial", "nexuiz-data", "GPL-2+", "*/sound/tutorial/*", 2.5),
    _speech("nexuiz_announcer", "nexuiz-data", "GPL-2+", "*/sound/announcer/*", 0.7),
    _speech("nexuiz_players", "nexuiz-data", "GPL-2+", "*/sound/player/*", 1),
    _speech("fillets_cs", "fillets-ng-data-cs", "GPL-2", "*.ogg", 3),
    _music("wesnoth_music", "wesnoth-1.16-music", "GPL-2+", "*.ogg", 6),
    _music("0ad_music", _0AD, "CC-BY-SA-3.0", "*/audio/music/*", 6),
    _music("singularity", "singularity-music", "CC-BY-SA-3.0", "*.ogg", 1.6),
    _music("hyperrogue", "hyperrogue-music", "GPL-2+", "*/hr-*.ogg */hr3-*.ogg", 1.4),
    _music("ufoai_music", "ufoai-music", "GPL-2+", "*/music/*", 2.4, terms="ufoai-sound"),
    _music("naev", "naev-data", "GPL-3+", "*/music/*.ogg", 2),
    _music("supertuxkart", "supertuxkart-data", "GPL-3+", "*/music/*.ogg", 2.4),
    _music("hedgewars_music", _HEDGEWARS, "GPL-2", "*/Data/Music/*", 1.4),
    _music("freedroid", "freedroidrpg-data", "GPL-2+", "*/music/*", 1),
    _music("colobot_music", "colobot-common-sounds", "GPL-3+", "*/music/*", 1),
    _music("warzone", "warzone2100-music", "GPL-2+", "*.opus", 2),
    *(
        Source(
            "train", "music", f"kits_{number}", "hydrogen-drumkits", licence,
            tuple(f"*/drumkits/{kit}/*" for kit in kits.split(",")), minutes=0.7,
        )
        for number, (licence, kits) in enumerate(_KITS.items())
    ),
    _sound("tuxpaint_sounds", _TUX, "GPL-2", "*.ogg", 5, without="*_desc*"),
    _sound("0ad_ambient", _0AD, "CC-BY-SA-3.0", "*/audio/ambient/*", 5, cut=12),
    _sound(
        "0ad_effects", _0AD, "CC-BY-SA-3.0",
        "*/audio/actor/* */audio/attack/* */audio/resource/* */audio/interface/*", 5,
    ),
    _sound("ufoai_ambience", "ufoai-sound", "GPL-2+", "*/sound/ambience/*", 2, cut=12),
    _sound(
        "ufoai_effects", "ufoai-sound", "GPL-2+",
        "*/sound/weapons/* */sound/footsteps/* */sound/doors/* */sound/impact/* */sound/misc/*", 1.2,
    ),
    _sound("wesnoth_sounds", "wesnoth-1.16-data", "GPL-2+", "*/sounds/*", 2.5),
    _sound("hedgewars_sounds", _HEDGEWARS, "GFDL-1.3", "*/Data/Sounds/*", 1.2, without="*/voices/*"),
    _sound("colobot_sounds", "colobot-common-sounds", "GPL-3+", "*.wav", 0.8),
    _sound("nexuiz_weapons", "nexuiz-data", "GPL-2+", "*/sound/weapons/*", 1.2),
    _sound("bucklespring", "bucklespring-data", "GPL-2+", "*.wav", 0.9),
    _sound("openarena_world", "openarena-data", "GPL-2+", "*/sound/world/*", 1),
    *MORE,
)  # fmt: skip


def _judge(
    kind: str, group: str, package: str, licence: str, patterns: str, clips: int, cut: float | None = None,
    without: str = "",
) -> Source:  # fmt: skip
    wanted, unwanted = tuple(patterns.split()), tuple(without.split())
    return Source("validation", kind, group, package, licence, wanted, unwanted, clips=clips, cut=cut)


_HORIZONS, _PI, _DESKTOP = "unknown-horizons", "sonic-pi-samples", "sound-theme-freedesktop"
VALIDATION = (
    _judge("speech", "klettres_hu", _KLETTRES, "GPL-2+", "*/klettres/hu/*", 2),
    _judge("speech", "klettres_tn", _KLETTRES, "GPL-2+", "*/klettres/tn/*", 2),
    _judge("speech", "tuxpaint_da", _TUX, "GPL-2", "*_desc_da.ogg", 2),
    _judge("speech", "tuxpaint_lt", _TUX, "GPL-2", "*_desc_lt.ogg", 2),
    _judge("speech", "0ad_latin", _0AD, "CC-BY-SA-3.0", "*/voice/latin/*", 2),
    _judge("speech", "horizons_en", _HORIZONS, "CC-BY-SA-3.0", "*/voice/en/*", 2, cut=5),
    _judge("music", "horizons_music", _HORIZONS, "CC-BY-SA-3.0", "*/audio/music/*", 4, cut=5),
    _judge("music", "pushover", "pushover-data", "GPL-3+", "*.ogg", 4, cut=5),
    _judge("music", "sonic_pi_loops", _PI, "MIT", "*/loop_*", 2),
    _judge("music", "sonic_pi_notes", _PI, "MIT", "*/tabla_* */guit_* */bass_*", 2),
    _judge("sound", "horizons_sounds", _HORIZONS, "CC-BY-SA-3.0", "*/audio/sounds/*", 4),
    _judge("sound", "sonic_pi_sounds", _PI, "MIT", "*.flac", 4, without="*/loop_* */tabla_* */guit_* */bass_*"),
    _judge("sound", "freedesktop", _DESKTOP, "GPL-2+", "*.oga", 4),
)

SOURCES = TRAIN + VALIDATION
#: Voices of the validation clips, in simulated rooms.
ROOMS = tuple(
    replace(source, group=f"{source.group}_rooms", clips=2, origin="in rooms")
    for source in VALIDATION if source.group in ("0ad_latin", "horizons_en", "tuxpaint_da")
)  # fmt: skip
