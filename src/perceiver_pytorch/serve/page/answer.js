// What the model says, drawn: a prediction and bars for each target, and a table of what each part of the input says.

import { el, percent, worded } from "./dom.js";

const MOST_BARS = 10;
const OWN = ["kind", "prediction", "probabilities"];

// `whole` is the answer with every part, to compare with where some are switched off; null: this is it.
export function answerView(answer, whole) {
  const parts = Object.entries(answer.targets).map(([name, told]) => targetView(name, told, whole?.targets[name]));
  const notes = [];
  if (!answer.present.length) notes.push("Nothing is given: this is what the model says of any row.");
  for (const text of [answer.unusual].flat().filter(Boolean)) notes.push(`Unusual: ${text}`);
  notes.push(...answer.notes.map((note) => `Note: ${note}.`));
  return [...parts, ...notes.map((note) => el("p", { className: "note" }, note))];
}

function targetView(name, told, whole) {
  const view = el("div", { className: "target" }, el("h3", {}, name), el("p", { className: "value" }, worded(told.prediction)));
  if (told.probabilities) view.append(bars(told, whole));
  else if (whole && whole.prediction !== told.prediction) view.append(el("p", { className: "quiet" }, `With every part: ${worded(whole.prediction)}`));
  for (const [key, value] of Object.entries(told)) {
    if (!OWN.includes(key) && value !== null) view.append(el("p", { className: "quiet" }, `${key.replaceAll("_", " ")}: ${worded(value)}`));
  }
  return view;
}

function bars(told, whole) {
  const sorted = Object.entries(told.probabilities).sort((a, b) => b[1] - a[1]);
  const rows = sorted.slice(0, MOST_BARS).map(([name, share]) => {
    const fill = el("div", { className: "fill" });
    fill.style.width = `${100 * share}%`;
    const track = el("div", { className: "track", "aria-hidden": "true" }, fill);
    const before = whole?.probabilities?.[name];
    if (before !== undefined) {
      const ghost = el("div", { className: "ghost" });
      ghost.style.left = `calc(${100 * before}% - 1px)`;
      track.append(ghost);
    }
    const chosen = name === String(told.prediction);
    const words = before === undefined ? percent(share) : `${percent(share)}, with every part ${percent(before)}`;
    return el(
      "li",
      { "aria-label": `${name}: ${words}` },
      el("span", { className: chosen ? "name chosen" : "name", title: name }, name),
      track,
      el("span", { className: "percent" }, percent(share)),
    );
  });
  const list = el("ul", { className: "shares" }, ...rows);
  const left = sorted.length - rows.length;
  const more = left > 0 ? el("p", { className: "hint" }, `and ${left} more, less likely`) : null;
  const mark = whole?.probabilities ? el("p", { className: "hint" }, "The upright mark is what it says with every part.") : null;
  return el("div", {}, list, more, mark);
}

function short(told) {
  const share = told.probabilities?.[told.prediction];
  return share === undefined ? worded(told.prediction) : `${worded(told.prediction)} (${percent(share)})`;
}

// A table for each target: what is said without each part, and by it alone.
export function comparisonView(told) {
  return Object.entries(told.targets).map(([target, all]) => {
    const rows = Object.entries(told.modalities).map(([part, says]) =>
      el("tr", {}, el("th", { scope: "row" }, part), el("td", {}, short(says.without[target])), el("td", {}, short(says.alone[target]))),
    );
    const head = ["part", "without it", "by it alone"].map((text) => el("th", { scope: "col" }, text));
    return el(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", "aria-label": `What each part says of ${target}` },
      el(
        "table",
        {},
        el("caption", {}, `${target}: ${short(all)} with every part`),
        el("thead", {}, el("tr", {}, ...head)),
        el("tbody", {}, ...rows),
      ),
    );
  });
}

// Pictures of what the model looked at.
export function mapsView(maps) {
  const figures = maps.map((map) => el("figure", {}, el("img", { src: map.image, alt: map.text }), el("figcaption", {}, map.text)));
  return el("div", { className: "maps" }, ...figures);
}
