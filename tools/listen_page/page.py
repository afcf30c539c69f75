"""The page itself: HTML that needs nothing from elsewhere, and works without its script.

Knows: how clips and versions are shown. Does not know: how they were made.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from .clips import ROOT, Clip
from .versions import Version

INDEX = "index.html"
_HERE = Path(__file__).parent
#: By this an older page of the command is known.
MARK = '<meta name="generator" content="streamrvq tools/listen" />'


@dataclass(frozen=True)
class About:
    """What the page says of the coders. ``ours``: the weights are the shipped ones; ``opus``: the encoder, or None."""

    codec: str
    codec_hash: str
    trained: bool
    ours: bool
    opus: str | None


def begin_page(out: Path) -> None:
    """Write a page that the finished one replaces. After an interrupt, ``out`` is known by it as a page's folder."""
    out.mkdir(parents=True, exist_ok=True)
    said = "This page is not finished: run tools/listen again."
    (out / INDEX).write_text(f"<!doctype html>\n{MARK}\n<title>Not finished</title>\n<p>{said}</p>\n", "utf-8")


def write_page(
    out: Path, made: Sequence[tuple[Clip, Sequence[Version]]], licences: Sequence[Path], about: About
) -> Path:
    """Write ``index.html`` into ``out``, whose audio is already there, and the licences. Returns its path."""
    texts = [_copied(text, out / "licences") for text in licences]
    clips = "\n".join(_clip(number, *one, about, out) for number, one in enumerate(made, 1))
    (out / INDEX).write_text(_page(clips, [text.relative_to(out).as_posix() for text in texts], about), "utf-8")
    return out / INDEX


def _copied(text: Path, folder: Path) -> Path:
    """A licence text, under the name of its folder too, since several folders have a LICENSE.txt."""
    folder.mkdir(exist_ok=True)
    target = folder / "-".join(text.relative_to(ROOT).parts)
    shutil.copyfile(text, target)
    return target


def _page(clips: str, texts: Sequence[str], about: About) -> str:
    opus = f"Opus is {escape(about.opus)}. " if about.opus else "Opus is not on this page: it was left out. "
    untrained = "" if about.trained else " <strong>It is untrained: its sound means nothing.</strong>"
    links = ", ".join(f'<a href="{escape(text)}">{escape(text)}</a>' for text in texts)
    return f"""<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    {MARK}
    <title>{escape(about.codec)}: clips to listen to</title>
    <style>
{(_HERE / "page.css").read_text("utf-8")}    </style>
  </head>
  <body>
    <header>
      <h1>{escape(about.codec)}: clips to listen to</h1>
      <p>Codec hash <code>{escape(about.codec_hash[:12])}</code>.{untrained} {opus}kbit/s are measured on each clip.</p>
      <p>Every version is mono FLAC at 44.1 kHz, 16 bits, as long as the original. Nothing was made louder or softer:
        LUFS is the loudness by ITU-R BS.1770-4. Samples beyond full scale are limited, and counted where there are
        any.</p>
      <p class="with-script" hidden>One player plays at a time. Another version of a clip goes on where the last one
        was. With the focus in a clip, keys 1 to 9 play that version, or pause it.</p>
    </header>
    <main>
{clips}
    </main>
    <footer>
      <p>{f"Authors and licence texts: {links}." if texts else "The clips were named by whoever made this page."}</p>
    </footer>
    <script>
{(_HERE / "player.js").read_text("utf-8")}    </script>
  </body>
</html>
"""


def _clip(number: int, clip: Clip, versions: Sequence[Version], about: About, out: Path) -> str:
    items = "\n".join(_version(clip, version, out) for version in versions)
    return f"""      <section class="clip" aria-labelledby="clip-{number}">
        <h2 id="clip-{number}">{escape(clip.title)}</h2>
        <p>{escape(_told(clip, about))}</p>
        <ol>
{items}
        </ol>
      </section>"""


def _told(clip: Clip, about: About) -> str:
    """Where a clip is from, what was done to it, and whether the codec was trained on it."""
    said = [f"{clip.path.name}, {'' if clip.whole else 'the first '}{clip.seconds:.1f} s."]
    if clip.channels != 1:
        said.append(f"The mean of its {clip.channels} channels.")
    if clip.rate != 44100:
        said.append(f"Brought from {clip.rate} Hz to 44.1 kHz before everything else.")
    if clip.shipped is None:
        return " ".join([*said, "Its licence, and whether something was trained on it, are not known here."])
    said.append(f"{clip.shipped.licence}; from {clip.shipped.source}.")
    said.append(
        f"No weights of this project are trained on its source, {clip.kept_out}: it is kept for judging them."
        if about.ours
        else "Whether this codec was trained on it is not known here."
    )
    return " ".join(said)


def _version(clip: Clip, version: Version, out: Path) -> str:
    limited = f" · {version.limited} samples limited" if version.limited else ""
    name, file = name_of(version), version.file.relative_to(out).as_posix()
    lufs = f"{version.lufs:.1f}".replace("-", "−")
    label = escape(f"{clip.title}: {name}")
    return f"""          <li>
            <div class="what">
              <strong>{escape(name)}</strong> <span>{version.kbps:.1f} kbit/s · {lufs} LUFS{limited}</span>
            </div>
            <audio controls preload="metadata" src="{escape(file)}" aria-label="{label}"></audio>
          </li>"""


def name_of(version: Version) -> str:
    """What a version is called on the page."""
    name = version.system.name.removeprefix("ours, ")
    return name[0].upper() + name[1:]
