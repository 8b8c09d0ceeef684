// The page: fields from the spec, requests, and what is shown of the answers.

import { answerView, comparisonView, mapsView } from "./answer.js";
import { $, el, worded } from "./dom.js";
import { makeField } from "./fields.js";

const WAIT = 500; // milliseconds after the last change
let fields = [];
let switches = {};
let timer = 0;
let asked = 0;
let example = 0;
let isLive = false;
let coverage = 0;

function tell(text) {
  $("status").textContent = text;
}

function fail(error) {
  $("error").textContent = error.message;
  $("error").hidden = false;
  for (const field of fields) field.blame(field.column === error.column ? error.message : "");
}

async function ask(path, form) {
  const options = form ? { method: "POST", body: form } : {};
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const body = await response.json().catch(() => ({ error: `The server answered with status ${response.status}.` }));
  if (!response.ok) throw Object.assign(new Error(body.error), body);
  return body;
}

// The row as a form; `all` takes the parts too that are switched off.
function filled(all) {
  const form = new FormData();
  let some = false;
  for (const field of fields) {
    const value = field.value();
    if (value !== null) {
      form.append(field.column, value);
      some = true;
    }
  }
  if (!some) form.append(fields[0].column, "");
  for (const [name, box] of Object.entries(switches)) if (!all && !box.checked) form.append("without", name);
  return form;
}

async function predict() {
  clearTimeout(timer);
  const turn = ++asked;
  isLive = true;
  const isPart = Object.values(switches).some((box) => !box.checked);
  tell("Asking the model …");
  try {
    const [answer, whole] = await Promise.all([ask("predict", filled(false)), isPart ? ask("predict", filled(true)) : null]);
    if (turn !== asked) return;
    $("error").hidden = true;
    for (const field of fields) field.blame("");
    $("answer").replaceChildren(...answerView(answer.predictions[0], whole?.predictions[0], coverage));
    $("comparison").replaceChildren();
    $("parts").hidden = answer.predictions[0].present.length < 1;
    tell("");
  } catch (error) {
    if (turn !== asked) return;
    tell("");
    fail(error);
  }
}

async function explain() {
  const button = $("explain");
  button.disabled = true;
  tell("Comparing …");
  try {
    const told = await ask("explain", filled(false));
    $("comparison").replaceChildren(...comparisonView(told), ...mapsView(told.maps));
    tell("");
  } catch (error) {
    tell("");
    fail(error);
  }
  button.disabled = false;
}

function changed() {
  $("truth").textContent = "";
  clearTimeout(timer);
  if (isLive) timer = setTimeout(predict, WAIT);
}

async function tryExample(count) {
  tell("Fetching an example …");
  try {
    const { row, truth } = await ask(`examples/${example % count}`);
    example += 1;
    for (const field of fields) field.fill(row[field.column]);
    const words = Object.entries(truth).map(([name, value]) => `${name} is ${worded(value)}`);
    $("truth").textContent = `Example ${((example - 1) % count) + 1} of ${count}. In truth, ${words.join("; ")}.`;
    await predict();
  } catch (error) {
    tell("");
    fail(error);
  }
}

function clear() {
  asked += 1;
  isLive = false;
  for (const field of fields) {
    field.fill(null);
    field.blame("");
  }
  for (const box of Object.values(switches)) {
    box.checked = true;
    box.dispatchEvent(new Event("change"));
  }
  clearTimeout(timer);
  $("truth").textContent = "";
  $("error").hidden = true;
  $("parts").hidden = true;
  $("answer").replaceChildren(el("p", { className: "quiet" }, "Fill in some of the fields. Each of them may stay empty."));
  tell("The fields are empty.");
}

function makeSwitch(name, fieldset) {
  const box = el("input", { type: "checkbox", checked: true });
  box.addEventListener("change", () => {
    fieldset.classList.toggle("off", fieldset.names.every((each) => !switches[each].checked));
    if (isLive) predict();
  });
  switches[name] = box;
  return el("label", { className: "switch" }, box, `Let the model read ${name}`);
}

// Fields that belong to the same parts of the input stand together.
function build(spec) {
  const groups = new Map();
  for (const each of spec.fields) {
    const key = each.modalities.join("\n");
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(each);
  }
  for (const members of groups.values()) {
    const names = members[0].modalities;
    const fieldset = el("fieldset", {}, el("legend", {}, names.join(" and ")));
    fieldset.names = names;
    fieldset.classList.toggle("one", members.length === 1 && names.length === 1 && names[0] === members[0].column);
    fieldset.append(...names.map((name) => makeSwitch(name, fieldset)));
    for (const each of members) {
      const field = makeField(each, changed, tell);
      fields.push(field);
      fieldset.append(field.element);
    }
    $("fields").append(fieldset);
  }
}

async function start() {
  let spec;
  try {
    spec = await ask("spec");
  } catch (error) {
    $("summary").textContent = "";
    fail(error);
    return;
  }
  document.title = `Try ${spec.name}`;
  $("title").textContent = `Try ${spec.name}`;
  const targets = spec.targets.map((target) => `${target.name} (${target.note})`);
  $("summary").textContent = `Predicts ${targets.join(", ")} from ${spec.fields.map((field) => field.column).join(", ")}.`;
  coverage = spec.coverage;
  build(spec);
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    predict();
  });
  $("clear").addEventListener("click", clear);
  $("explain").addEventListener("click", explain);
  if (spec.examples) {
    $("examples").hidden = false;
    $("example").addEventListener("click", () => tryExample(spec.examples));
  }
  document.body.dataset.ready = "yes";
}

start();
