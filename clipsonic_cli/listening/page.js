"use strict";

// The page's own state is what localStorage keeps for one rater:
// {rater, order: [sample id], at: index into order, answers: {sample id: {fidelity, relevance}}}
const test = JSON.parse(document.getElementById("test").textContent);
const samples = new Map(test.samples.map((sample) => [sample.id, sample]));
const audio = new Audio();
const $ = (id) => document.getElementById(id);
const groups = [...document.querySelectorAll("fieldset")];
const questions = groups.map((group) => group.dataset.question);
let state = null;
let started = false; // the current sound was played
let unsaved = false; // some answers are not saved to a file yet

// Answers kept in the browser; some browsers refuse that for a page opened from a file.

const LAST = `clipsonic-listening-${test.id}`;
const place = (rater) => `${LAST}-${rater.toLowerCase()}`;

function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep() {
  let kept = true;
  try {
    localStorage.setItem(LAST, state.rater);
    localStorage.setItem(place(state.rater), JSON.stringify(state));
  } catch {
    kept = false;
  }
  for (const warning of document.querySelectorAll(".unkept")) warning.hidden = kept;
}

// Every rater has their own order, the same on another day or machine.

function hash(text) {
  let h = 0x811c9dc5; // FNV-1a, then MurmurHash3's last steps
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function shuffled(rater) {
  const rank = new Map(test.samples.map(({ id }) => [id, hash(`${id} ${rater.toLowerCase()}`)]));
  return [...rank.keys()].sort((a, b) => rank.get(a) - rank.get(b));
}

const sample = () => samples.get(state.order[state.at]);
const answer = (id) => state.answers[id] ?? {};
const open = (id) => questions.filter((question) => !answer(id)[question]);
const answered = () => state.order.filter((id) => !open(id).length);

function view(name) {
  audio.pause();
  for (const id of ["start", "rate", "end"]) $(id).hidden = id !== name;
  window.scrollTo(0, 0);
}

function named() {
  return $("rater").value.normalize().replace(/\s+/g, " ").trim();
}

function begin(event) {
  event.preventDefault();
  const rater = named();
  if (!rater) return;
  const kept = recall(place(rater));
  state = kept ? JSON.parse(kept) : { rater, order: shuffled(rater), at: 0, answers: {} };
  keep();
  if (answered().length === state.order.length) finish();
  else show(state.order.findIndex((id) => open(id).length));
}

function show(at) {
  state.at = at;
  keep();
  const { id, prompt, sound } = sample();
  const { text, image } = test.prompts[prompt];
  const paragraph = document.createElement("p");
  paragraph.textContent = text ?? "";
  paragraph.dir = "auto";
  const img = new Image();
  if (image) img.src = image;
  img.alt = "The image to judge the sound by";
  $("prompt").replaceChildren(image ? img : paragraph);
  for (const kind of document.querySelectorAll("#rate .kind")) {
    kind.textContent = image ? "image" : "text";
  }

  URL.revokeObjectURL(audio.src);
  const bytes = atob(sound.slice(sound.indexOf(",") + 1)); // without "data:audio/flac;base64,"
  audio.src = URL.createObjectURL(
    new Blob([Uint8Array.from(bytes, (c) => c.charCodeAt(0))], { type: "audio/flac" }),
  );
  started = !open(id).length;
  const total = state.order.length;
  $("where").textContent = `Sound ${at + 1} of ${total}`;
  $("bar").max = total;
  $("back").hidden = at === 0;
  for (const group of groups) {
    for (const input of group.querySelectorAll("input")) {
      input.checked = answer(id)[group.dataset.question] === Number(input.value);
    }
  }
  refresh();
  view("rate");
  tick();
  $("play").focus();
}

// The filled button is the next thing to do: listen, answer, go on.
function refresh() {
  const left = open(sample().id);
  $("play").classList.toggle("main", !started);
  $("next").classList.toggle("main", started && !left.length);
  $("bar").value = answered().length;
  $("hint").textContent = "";
  for (const group of groups) group.classList.toggle("next", group.dataset.question === left[0]);
}

function rate(group, value) {
  const { id } = sample();
  state.answers[id] = { ...answer(id), [group.dataset.question]: value };
  unsaved = true;
  keep();
  refresh();
}

function next() {
  const left = open(sample().id);
  if (!started || left.length) {
    const missing = groups.find((group) => group.dataset.question === left[0]);
    const name = missing?.querySelector("b").textContent;
    $("hint").textContent = started
      ? `Please rate the ${name.toLowerCase()} too.`
      : "Please listen to the sound first.";
    (started ? missing.querySelector("input") : $("play")).focus();
  } else if (state.at + 1 < state.order.length) show(state.at + 1);
  else finish();
}

function finish() {
  const done = answered();
  const total = state.order.length;
  const whole = done.length === total;
  $("outcome").textContent = whole ? "Thank you, that was all" : `${done.length} of ${total} rated so far`;
  $("remain").textContent = whole ? "" : "You can go on, or leave it at that.";
  $("again").textContent = whole ? "Look through my answers" : "Go on rating";
  $("saved").textContent = "";
  $("copy").value = answers();
  view("end");
  $("save").focus();
}

function answers() {
  const { rater, order } = state;
  return JSON.stringify(
    {
      format: "clipsonic-ratings/1",
      test: test.id,
      rater,
      saved: new Date().toISOString(),
      order,
      answers: Object.fromEntries(answered().map((id) => [id, answer(id)])),
    },
    null,
    1,
  );
}

function save() {
  const name = state.rater.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "rater";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([answers()], { type: "application/json" }));
  link.download = `ratings-${name}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000); // some browsers read it late
  unsaved = false;
  $("saved").textContent =
    `Saved as ${link.download}, where this browser puts downloads. Please send it now.`;
}

function toggle() {
  if (audio.paused) audio.play().catch(() => {}); // the error event says why
  else audio.pause();
}

function tick() {
  const whole = Number.isFinite(audio.duration) ? audio.duration : 0;
  const clock = (seconds) => {
    const [minutes, rest] = [Math.floor(seconds / 60), Math.floor(seconds % 60)];
    return `${minutes}:${String(rest).padStart(2, "0")}`;
  };
  $("seek").value = whole ? audio.currentTime / whole : 0;
  $("time").textContent = `${clock(audio.currentTime)} / ${clock(Math.round(whole))}`;
  $("play").textContent = audio.paused ? (started ? "Play again" : "Play") : "Pause";
  if (!audio.paused) requestAnimationFrame(tick);
}

function press(event) {
  const { key, target } = event;
  if (target === $("save") && event.repeat) event.preventDefault(); // Enter is still held down
  if ($("rate").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
  const onButton = target instanceof HTMLButtonElement;
  if (key === " " && !onButton) {
    event.preventDefault(); // do not scroll or pick the first answer
    if (!event.repeat) toggle();
  } else if (key === "Enter" && !onButton) {
    event.preventDefault();
    if (!event.repeat) next();
  } else if (/^[1-5]$/.test(key) && !event.repeat) {
    const group = target.closest("fieldset") ?? document.querySelector("fieldset.next");
    if (!group) return;
    group.querySelectorAll("input")[Number(key) - 1].checked = true;
    rate(group, Number(key));
    const after = document.querySelector("fieldset.next");
    (after ? after.querySelector("input") : $("next")).focus();
  }
}

function build() {
  for (const group of groups) {
    group.querySelector(".scale").append(
      ...group.dataset.words.split(",").map((word, i) => {
        const label = document.createElement("label");
        const input = document.createElement("input");
        const card = document.createElement("span");
        const number = document.createElement("b");
        Object.assign(input, { type: "radio", name: group.dataset.question, value: i + 1 });
        input.addEventListener("change", () => rate(group, i + 1));
        number.textContent = i + 1;
        card.append(number, word);
        label.append(input, card);
        return label;
      }),
    );
  }
  const kinds = new Set(test.prompts.map(({ image }) => (image ? "image" : "text")));
  document.querySelector("#start .kind").textContent = [...kinds].join(" or the ");
  const count = test.samples.length;
  $("count").textContent = count === 1 ? "1 sound" : `${count} sounds`;
  const greet = () => ($("go").textContent = recall(place(named())) ? "Continue" : "Start");
  $("rater").value = recall(LAST) ?? "";
  $("rater").addEventListener("input", greet);
  greet();

  $("begin").addEventListener("submit", begin);
  $("questions").addEventListener("submit", (event) => event.preventDefault());
  $("play").addEventListener("click", toggle);
  $("seek").addEventListener("input", () => {
    audio.currentTime = $("seek").value * (audio.duration || 0);
  });
  $("back").addEventListener("click", () => show(state.at - 1));
  $("next").addEventListener("click", next);
  $("stop").addEventListener("click", finish);
  $("save").addEventListener("click", save);
  $("again").addEventListener("click", () => {
    show(Math.max(0, state.order.findIndex((id) => open(id).length)));
  });
  document.addEventListener("keydown", press);
  for (const event of ["play", "pause", "ended", "seeked", "loadedmetadata"]) {
    audio.addEventListener(event, tick);
  }
  audio.addEventListener("playing", () => {
    started = true;
    refresh();
  });
  audio.addEventListener("error", () => {
    $("hint").textContent = "This browser cannot play the sound; please open the page in another one.";
  });
  window.addEventListener("beforeunload", (event) => {
    if (unsaved && state && !recall(place(state.rater))) event.preventDefault();
  });
  view("start");
  $("rater").select(); // another name replaces the last one
}

build();
