// Compares versions of a clip by ear: one player at a time, and the position stays when the version changes.
//
// Knows: the audio elements of the page and where each clip is. Does not know: what they play.

const all = [...document.querySelectorAll("audio")];

/** The version of a clip (its section) whose position counts: the one played last, or moved last while all pause. */
const last = new Map();

const clipOf = (audio) => audio.closest(".clip");

function played(audio) {
  for (const other of all) if (other !== audio) other.pause();
  const before = last.get(clipOf(audio));
  if (before && before !== audio) audio.currentTime = before.ended ? 0 : before.currentTime;
  last.set(clipOf(audio), audio);
  for (const other of clipOf(audio).querySelectorAll("audio")) other.preload = "auto"; // so that a change is quick
}

function moved(audio) {
  if (all.every((other) => other.paused)) last.set(clipOf(audio), audio);
}

function key(event) {
  const clip = event.target.closest(".clip");
  if (!clip || event.ctrlKey || event.altKey || event.metaKey || !/^[1-9]$/.test(event.key)) return;
  const audio = clip.querySelectorAll("audio")[event.key - 1];
  if (!audio) return;
  event.preventDefault();
  audio.focus();
  if (!audio.paused) return audio.pause();
  audio.play().catch((error) => {
    if (error.name !== "AbortError") throw error; // paused again before it began
  });
}

// Events of players do not bubble, so they are taken on their way down.
document.addEventListener("play", (event) => played(event.target), true);
document.addEventListener("seeking", (event) => moved(event.target), true);
document.addEventListener("keydown", key);
for (const text of document.querySelectorAll(".with-script")) text.hidden = false;
