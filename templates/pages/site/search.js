// Search over the index beside the pages. It is loaded with the first search, by a script element: that works from disk.
"use strict";
(() => {
  const root = document.currentScript.dataset.root;
  const LIMIT = 30;
  const box = document.querySelector(".search");
  const input = document.getElementById("search");
  const list = document.getElementById("found");
  const count = document.getElementById("found-count");
  let entries = null;
  let shown = [];
  let at = -1;
  box.hidden = false;

  function load() {
    if (entries !== null) return;
    entries = [];
    const script = document.createElement("script");
    script.src = `${root}assets/index.js`;
    script.onload = () => {
      entries = window.METRICDEF_INDEX.map(([kind, name, title, text, page]) => ({
        kind, name, title, text, page, low: name.toLowerCase(), label: title.toLowerCase(), all: `${name} ${title} ${kind} ${text}`.toLowerCase(),
      }));
      search();
    };
    document.head.append(script);
  }

  // Every word must occur. First come names and labels that are the query, then those that begin with it, then those that
  // hold its words, then the rest.
  function find(query) {
    const words = query.split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const joined = words.join("_");
    const rank = (e) => (e.low === joined || e.label === query ? 0
      : e.low.startsWith(joined) || e.label.startsWith(query) ? 1
      : words.every((word) => e.low.includes(word) || e.label.includes(word)) ? 2 : 3);
    return entries.filter((e) => words.every((word) => e.all.includes(word)))
      .map((e) => [rank(e), e]).sort((a, b) => a[0] - b[0]).map(([, e]) => e);
  }

  function search() {
    const query = input.value.trim().toLowerCase();
    const found = find(query);
    shown = found.slice(0, LIMIT);
    at = shown.length ? 0 : -1;
    list.replaceChildren(...shown.map(option));
    list.hidden = !shown.length;
    input.setAttribute("aria-expanded", String(shown.length > 0));
    count.textContent = !query ? "" : found.length === 1 ? "1 found" : `${found.length} found`;
    mark();
  }

  function option(entry, i) {
    const item = document.createElement("li");
    item.id = `found-${i}`;
    item.setAttribute("role", "option");
    const name = document.createElement("bdi");
    name.textContent = entry.title || entry.name;
    const of = document.createElement("span");
    of.className = "of";
    of.textContent = entry.title && entry.title !== entry.name ? `${entry.kind} ${entry.name}` : entry.kind;
    const text = document.createElement("span");
    text.className = "text";
    text.textContent = entry.text;
    item.append(name, of, text);
    item.addEventListener("mousedown", (event) => { event.preventDefault(); open(i); });
    return item;
  }

  function mark() {
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === at)));
    if (at < 0) { input.removeAttribute("aria-activedescendant"); return; }
    input.setAttribute("aria-activedescendant", `found-${at}`);
    list.children[at].scrollIntoView({ block: "nearest" });
  }

  function open(i) { if (shown[i]) window.location.href = root + shown[i].page; }

  function close() { list.hidden = true; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); }

  input.addEventListener("focus", load);
  input.addEventListener("input", () => { load(); search(); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!shown.length) return;
      event.preventDefault();
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
      at = (at + (event.key === "ArrowDown" ? 1 : shown.length - 1)) % shown.length;
      mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      open(at);
    } else if (event.key === "Escape") {
      input.value = "";
      search();
      close();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
    }
  });
})();
