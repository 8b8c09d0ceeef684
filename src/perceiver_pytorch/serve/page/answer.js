// What the model says, drawn: a prediction and bars for each target, and a table of what each part of the input says.

import { el, percent, worded } from "./dom.js";

const MOST_BARS = 10;
const OWN = ["kind", "prediction", "probabilities", "set", "set_size", "low", "high"];

// `coverage` is how sure sets and intervals are; `whole` is the answer with every part, to compare with where some are switched off; null: this is it.
export function answerView(answer, whole, coverage) {
  const parts = Object.entries(answer.targets).map(([name, told]) => targetView(name, told, whole?.targets[name], coverage));
  const notes = [];
  if (!answer.present.length) notes.push("Nothing is given: this is what the model says of any row.");
  for (const text of [answer.unusual].flat().filter(Boolean)) notes.push(`Unusual: ${text}`);
  notes.push(...answer.notes.map((note) => `Note: ${note}.`));
  return [...parts, ...notes.map((note) => el("p", { className: "note" }, note))];
}

// The set of what may be true, or the interval, in words.
function certainty(told, coverage) {
  const sure = `With ${percent(coverage)} certainty`;
  if ("set" in told) return `${sure} one of: ${told.set ? told.set.split("|").join(", ") : "none"}`;
  if (!("low" in told)) return null;
  if (told.low === null && told.high === null) return `${sure} any number: there were too few rows to say more`;
  if (told.high === null) return `${sure} ${worded(told.low)} or more`;
  if (told.low === null) return `${sure} ${worded(told.high)} or less`;
  return `${sure} between ${worded(told.low)} and ${worded(told.high)}`;
}

function targetView(name, told, whole, coverage) {
  const view = el("div", { className: "target" }, el("h3", {}, name), el("p", { className: "value" }, worded(told.prediction)));
  if (told.probabilities) view.append(bars(told, whole));
  else if (whole && whole.prediction !== told.prediction) view.append(el("p", { className: "quiet" }, `With every part: ${worded(whole.prediction)}`));
  const sure = certainty(told, coverage);
  if (sure) view.append(el("p", { className: "quiet" }, `${sure}.`));
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
        el("caption", {}, `${target}: ${short(all)} with all of these`),
        el("thead", {}, el("tr", {}, ...head)),
        el("tbody", {}, ...rows),
      ),
    );
  });
}

// What in each part speaks for and against an answer, drawn on the part itself.
export function mapsView(maps) {
  return Object.entries(maps).flatMap(([target, found]) => {
    if (!found.length) return [];
    const head = el("h3", {}, `What speaks for ${target}`);
    const words = el("p", { className: "hint" }, "Orange with a solid edge speaks for the answer, blue with a dotted edge against it.");
    return [head, words, el("div", { className: "maps" }, ...found.map(figure))];
  });
}

function figure(map) {
  const shown = map.kind === "audio" ? el("audio", { src: map.value, controls: true, "aria-label": map.text }) : el("img", { src: map.value, alt: map.text });
  return el("figure", {}, shown, el("figcaption", {}, map.modality));
}
