// Fills the list of versions from versions.json, which versions.py writes beside the folders of the versions.
document.addEventListener("DOMContentLoaded", async () => {
  const box = document.querySelector(".versions");
  if (!box) return;
  const root = new URL(box.dataset.root || "./", window.location.href);
  let versions;
  try {
    versions = await (await fetch(new URL("../versions.json", root))).json();
  } catch {
    return; // this version stands alone
  }
  const here = root.pathname.replace(/\/+$/, "").split("/").pop();
  const select = box.querySelector("select");
  select.replaceChildren(...versions.map((name) => new Option(name, name, false, name === here)));
  select.addEventListener("change", async () => {
    const page = window.location.href.slice(root.href.length);
    const same = new URL(`../${select.value}/${page}`, root);
    const found = await fetch(same, { method: "HEAD" }).then((answer) => answer.ok, () => false);
    window.location.href = found ? same : new URL(`../${select.value}/`, root);
  });
});
