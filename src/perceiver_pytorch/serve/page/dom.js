// Small helpers: elements without markup from text, so that nothing that was sent can become markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function percent(share) {
  return `${(100 * share).toFixed(share > 0.0995 || share === 0 ? 0 : 1)} %`;
}

export function worded(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toPrecision(5).replace(/\.?0+$/, "");
  if (Array.isArray(value)) return value.length ? value.map(worded).join(", ") : "(none)";
  return String(value);
}
