// Keeps a page current: applies what its stream sends, and counts times up and down. All HTML comes from the console,
// which has escaped it.
"use strict";

const LOST_MS = 12000; // the stream sends something every 5 s
const RETRY_MS = 2000;
const FILTER_MS = 200;
const HIDDEN_MS = 10000;

const policy = window.trustedTypes ? trustedTypes.createPolicy("console", { createHTML: (html) => html }) : null;
const byId = (id) => document.getElementById(id);
const link = byId("link");
const pause = byId("pause");

let source = null;
let skew = Number(document.body.dataset.now) - Date.now(); // what the console's clock is ahead of this one
let heard = 0;
let isPaused = false;
let retry = 0;

// --- applying messages -------------------------------------------------------------------------------------------

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(html) : html;
  return template.content.firstElementChild;
}

// Replaces an element. Focus, open details and the field that is being edited stay as they are.
function replace(old, html) {
  const made = parse(html);
  const active = document.activeElement;
  const focused = old.contains(active) ? active : null;
  for (const one of old.querySelectorAll("details[open]")) {
    const same = one.id && made.querySelector(`#${CSS.escape(one.id)}`);
    if (same) same.open = true;
  }
  old.replaceWith(made);
  if (focused) {
    const same = focused.id ? byId(focused.id) : matching(old, made, focused);
    if (same) same.focus({ preventScroll: true });
  }
}

// Returns the element of `made` at the place that `focused` has in `old`, among those of its kind.
function matching(old, made, focused) {
  const at = [...old.querySelectorAll(focused.tagName)].indexOf(focused);
  return made.querySelectorAll(focused.tagName)[at] || null;
}

function applyList(list, change) {
  for (const [id, html] of Object.entries(change.rows || {})) {
    const old = byId(id);
    if (old) replace(old, html);
    else list.append(parse(html));
  }
  if (!change.order) return;
  const wanted = new Set(change.order);
  for (const one of [...list.children]) if (!wanted.has(one.id)) one.remove();
  let next = list.firstElementChild;
  for (const id of change.order) {
    const one = byId(id);
    if (one === next) next = next.nextElementSibling;
    else if (one) list.insertBefore(one, next);
  }
}

function apply(message) {
  skew = message.now - Date.now();
  for (const [id, html] of Object.entries(message.html || {})) {
    const old = byId(id);
    if (old) replace(old, html);
  }
  for (const [id, change] of Object.entries(message.lists || {})) {
    const list = byId(id);
    if (list) applyList(list, change);
  }
  // A page that was opened while nothing could be shown is loaded again when something can.
  if ("retry" in document.body.dataset && message.html && !document.querySelector(".stale")) location.reload();
  tick();
}

// --- the stream --------------------------------------------------------------------------------------------------

function tell(state, text) {
  if (link.textContent === text) return;
  link.textContent = text;
  document.body.dataset.link = state;
}

function connect() {
  clearTimeout(retry);
  if (source) source.close();
  const opened = new EventSource(document.body.dataset.stream + location.search);
  source = opened;
  heard = Date.now();
  opened.onmessage = (event) => {
    if (source !== opened) return;
    heard = Date.now();
    delete document.body.dataset.first;
    tell("live", "Live");
    apply(JSON.parse(event.data));
  };
  opened.onerror = () => {
    if (source !== opened) return;
    tell("lost", "Connection lost: trying again");
    if (opened.readyState === EventSource.CLOSED) retry = setTimeout(connect, RETRY_MS);
  };
}

function disconnect() {
  clearTimeout(retry);
  if (source) source.close();
  source = null;
}

pause.hidden = false;
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", String(isPaused));
  if (isPaused) {
    disconnect();
    tell("paused", `Paused at ${new Date(Date.now() + skew).toISOString().slice(11, 19)}`);
  } else {
    tell("lost", "Connecting");
    connect();
  }
});

// A page that nobody sees lets its stream go: browsers have only six connections to one host.
let hidden = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hidden);
  if (document.hidden) hidden = setTimeout(disconnect, HIDDEN_MS);
  else if (!source && !isPaused) connect();
});

// --- times -------------------------------------------------------------------------------------------------------

function ago(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)}${unit}`;
  }
  return `${seconds}s`;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  if (isPaused || document.body.dataset.link === "lost") return;
  const now = Date.now() + skew;
  for (const one of document.querySelectorAll("time[data-ago]")) setText(one, ago(now - Number(one.dataset.ago)));
  for (const one of document.querySelectorAll("[data-deadline]")) {
    const left = Math.max(0, Number(one.dataset.deadline) - now);
    if (one.tagName === "PROGRESS") one.value = Math.min(left, one.max);
    else if (!left) setText(one, "deadline passed");
    else setText(one, left < 60000 ? `${(left / 1000).toFixed(1)} s left` : `${ago(left)} left`);
  }
}

setInterval(tick, 1000);
setInterval(() => {
  if (document.querySelector("[data-deadline]")) tick();
}, 100);
setInterval(() => {
  if (source && Date.now() - heard > LOST_MS) {
    tell("lost", "No answer: trying again");
    connect();
  }
}, 1000);

// --- the filter of the rooms -------------------------------------------------------------------------------------

const filter = byId("filter");
if (filter) {
  let timer = 0;
  const ask = () => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(filter)) if (value && !(name === "order" && value === "name")) query.set(name, value);
    const text = query.toString();
    if (location.search.replace(/^\?/, "") === text) return;
    history.replaceState(null, "", text ? `/?${text}` : "/");
    if (!isPaused) connect();
    else location.reload();
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, FILTER_MS);
  };
  filter.addEventListener("input", soon);
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    ask();
  });
}

document.body.dataset.first = "";
tell("lost", "Connecting");
connect();
tick();
