// What can be filled in: a control for every column, made from the spec of the model.

import { el, worded } from "./dom.js";
import { canRecord, recorder } from "./recording.js";

const FILES = { image: "picture", audio: "sound", video: "film" };
const ACCEPT = { image: "image/*", audio: "audio/*,video/*", video: "video/*" };
const MOST_OPTIONS = 40;
let number = 0;

// A field: its element; `value()` is a text, a file, or null where it is empty; `fill(json)` takes a value of an example.
export function makeField(spec, changed, tell) {
  const id = `field-${number++}`;
  const problem = el("p", { className: "problem", id: `${id}-problem`, hidden: true });
  const made = spec.form in FILES ? fileField(spec, id, changed, tell) : plainField(spec, id, changed);
  const element = el("div", { className: "field" }, ...made.parts, problem);
  return {
    column: spec.column,
    modalities: spec.modalities,
    element,
    value: made.value,
    fill: made.fill,
    focus: () => made.control.focus(),
    blame(text) {
      problem.textContent = text || "";
      problem.hidden = !text;
      if (text) made.control.setAttribute("aria-invalid", "true");
      else made.control.removeAttribute("aria-invalid");
      made.control.setAttribute("aria-describedby", text ? `${id}-problem ${id}-hint` : `${id}-hint`);
    },
  };
}

function hint(spec) {
  if (spec.form === "number" && spec.low !== null) return `The model knows ${worded(spec.low)} to ${worded(spec.high)}.`;
  if (spec.form === "date") return `As in ${spec.example}.`;
  if (spec.form === "array") return `Numbers in lists, as ${JSON.stringify(spec.example).slice(0, 80)}`;
  if (spec.form === "names") return `Names with commas between them, such as ${spec.choices.slice(0, 5).join(", ")}.`;
  if (spec.form === "choice" && spec.choices.length > MOST_OPTIONS) return `One of ${spec.choices.length} values.`;
  return "";
}

function plainField(spec, id, changed) {
  const control = plainControl(spec, id);
  control.addEventListener("input", changed);
  const parts = [el("label", { htmlFor: id }, spec.column), control];
  if (control.list_) parts.push(control.list_);
  parts.push(el("span", { className: "hint", id: `${id}-hint` }, hint(spec)));
  return {
    control,
    parts,
    value() {
      const text = control.value.trim();
      if (!text) return null;
      return spec.form === "names" ? JSON.stringify(text.split(",").map((name) => name.trim()).filter(Boolean)) : text;
    },
    fill(value) {
      if (value === null || value === undefined) control.value = "";
      else if (spec.form === "names") control.value = Array.isArray(value) ? value.join(", ") : namesOf(String(value));
      else if (typeof value === "object") control.value = JSON.stringify(value);
      else setValue(control, String(value));
    },
  };
}

function namesOf(text) {
  try {
    const parsed = JSON.parse(text);
    return Array.isArray(parsed) ? parsed.join(", ") : text;
  } catch {
    return text;
  }
}

// A value that a list of choices does not have becomes one more.
function setValue(control, text) {
  if (control.tagName === "SELECT" && ![...control.options].some((option) => option.value === text)) {
    control.append(el("option", { value: text }, text));
  }
  control.value = text;
}

function plainControl(spec, id) {
  if (spec.form === "text") return el("textarea", { id, rows: 3 });
  if (spec.form === "array") return el("textarea", { id, rows: 3, spellcheck: false });
  if (spec.form === "choice" && spec.choices.length <= MOST_OPTIONS) {
    const options = spec.choices.map((choice) => el("option", { value: choice }, choice));
    return el("select", { id }, el("option", { value: "" }, "(missing)"), ...options);
  }
  const control = el("input", { id, type: "text", autocomplete: "off" });
  if (spec.form === "number") control.inputMode = "decimal";
  if (spec.choices.length && spec.form === "choice") {
    control.setAttribute("list", `${id}-list`);
    const options = spec.choices.slice(0, 1000).map((choice) => el("option", { value: choice }));
    control.list_ = el("datalist", { id: `${id}-list` }, ...options);
  }
  return control;
}

function fileField(spec, id, changed, tell) {
  const what = FILES[spec.form];
  let file = null;
  const control = el("input", { id, type: "file", accept: ACCEPT[spec.form] });
  const name = el("span", {}, `Drop a ${what} here, or choose one`);
  const drop = el("label", { className: "drop", htmlFor: id }, name, control);
  const preview = el("div", { className: "preview" });
  const remove = el("button", { type: "button", hidden: true, "aria-label": `Remove: ${spec.column}` }, "Remove");

  function set(chosen) {
    file = chosen;
    control.value = "";
    remove.hidden = !file;
    name.textContent = file ? `${file.name} (${Math.max(1, Math.round(file.size / 1024))} KB); drop or choose another` : `Drop a ${what} here, or choose one`;
    show(preview, spec, file);
  }

  function choose(chosen) {
    set(chosen);
    changed();
  }

  control.addEventListener("change", () => control.files.length && choose(control.files[0]));
  remove.addEventListener("click", () => {
    choose(null);
    control.focus();
  });
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
  });
  const record = canRecord(spec.form) ? recorder(spec.form, spec.column, choose, tell) : null;
  const buttons = el("div", { className: "buttons" }, remove, record?.start, record?.stop);
  control.setAttribute("aria-label", `${spec.column}: choose a ${what}`);
  const label = el("span", { className: "label" }, spec.column);
  return {
    control,
    parts: [label, drop, preview, buttons, record?.live, el("span", { className: "hint", id: `${id}-hint` }, "")].filter(Boolean),
    value: () => file,
    fill: (value) => set(value ? fromDataUri(value, what) : null),
  };
}

function fromDataUri(uri, name) {
  const [head, content] = [uri.slice(5, uri.indexOf(",")), uri.slice(uri.indexOf(",") + 1)];
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  return new File([bytes], `example ${name}`, { type: head.split(";")[0] });
}

function show(preview, spec, file) {
  for (const old of preview.children) URL.revokeObjectURL(old.src);
  preview.replaceChildren();
  if (!file) return;
  const src = URL.createObjectURL(file);
  if (spec.form === "image") {
    const image = el("img", { src, alt: `The picture for ${spec.column}` });
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 100));
    image.addEventListener("error", () => preview.replaceChildren(el("span", { className: "hint" }, "The browser cannot show it; the model may read it all the same.")));
    preview.append(image);
  } else {
    preview.append(el(spec.form, { src, controls: true, "aria-label": `The ${FILES[spec.form]} for ${spec.column}` }));
  }
}
