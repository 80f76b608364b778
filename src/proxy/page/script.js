"use strict";
// Fetches the page again and puts into the one that is shown what has changed; nothing else moves.
(() => {
  const PAUSE = 1500;
  const LONGEST = 15000;
  const PATIENCE = 5000;
  const $ = (selector) => document.querySelector(selector);
  const gone = $("#gone");
  const filter = $("#filter");
  let pause = PAUSE;
  let timer = 0;
  let lastSeen = Date.now();
  let sorted = null;

  // `data-keep`: what the script has made of it stays.
  const morph = (now, next) => {
    if (now.nodeType !== Node.ELEMENT_NODE) {
      if (now.data !== next.data) now.data = next.data;
      return;
    }
    if (now.hasAttribute("data-keep")) return;
    for (const { name } of [...now.attributes]) if (!next.hasAttribute(name)) now.removeAttribute(name);
    for (const { name, value } of next.attributes) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    const named = new Map([...now.children].filter((child) => child.id).map((child) => [child.id, child]));
    let place = now.firstChild;
    for (const wanted of [...next.childNodes]) {
      const known = wanted.id ? named.get(wanted.id) : place;
      const fits = known && known.nodeName === wanted.nodeName && (known.id || "") === (wanted.id || "");
      const child = fits ? known : document.importNode(wanted, true);
      if (fits) morph(known, wanted);
      if (child === place) place = place.nextSibling;
      else now.insertBefore(child, place);
    }
    while (place) {
      const after = place.nextSibling;
      place.remove();
      place = after;
    }
  };

  const value = (row, column) => {
    const cell = row.children[column];
    return cell.dataset.by === undefined ? cell.textContent : Number(cell.dataset.by);
  };

  const arrange = () => {
    const body = $("tbody");
    const rows = [...body.rows];
    if (sorted) {
      const sign = sorted.ascending ? 1 : -1;
      rows.sort((one, other) => {
        const [a, b] = [value(one, sorted.column), value(other, sorted.column)];
        return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
      });
      rows.forEach((row, at) => {
        if (body.rows[at] !== row) body.insertBefore(row, body.rows[at]);
      });
    }
    const wanted = filter.querySelector("input").value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
      if (!row.hidden) shown += 1;
    }
    const words = wanted === "" ? "" : `${shown} of ${rows.length} shown`;
    const told = filter.querySelector("span");
    if (told.textContent !== words) told.textContent = words;
    filter.hidden = rows.length === 0 && wanted === "";
  };

  const sortBy = (column) => {
    const heads = [...$("thead tr").children];
    const ascending = sorted && sorted.column === column ? !sorted.ascending : !heads[column].classList.contains("figure");
    sorted = { column, ascending };
    heads.forEach((head, at) => {
      if (at === column) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    arrange();
  };

  const say = (words) => {
    if (gone.textContent !== words) gone.textContent = words;
    gone.hidden = words === "";
    document.documentElement.classList.toggle("stale", words !== "");
  };

  const update = async () => {
    clearTimeout(timer);
    try {
      const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok) throw new Error(`the relay answers ${answer.status}`);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      morph($("#state"), next.querySelector("#state"));
      morph($("main"), next.querySelector("main"));
      arrange();
      lastSeen = Date.now();
      pause = PAUSE;
      say("");
    } catch {
      say(`The relay does not answer since ${new Date(lastSeen).toLocaleTimeString()}: what is shown is how it stood then.`);
      pause = Math.min(pause * 2, LONGEST);
    }
    if (!document.hidden) timer = setTimeout(update, pause);
  };

  [...$("thead tr").children].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sortBy(column));
    head.replaceChildren(button);
  });
  filter.querySelector("input").addEventListener("input", arrange);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) update();
  });
  arrange();
  timer = setTimeout(update, PAUSE);
})();
