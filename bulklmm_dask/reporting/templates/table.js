"use strict";
(() => {
  const table = document.getElementById("peaks");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const names = new Intl.Collator(undefined, { numeric: true });

  // Rows without a number come last, whichever way the others are sorted.
  const compare = (a, b, numeric, sign) => {
    if (!numeric) return sign * names.compare(a, b);
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (Number(a) - Number(b));
  };

  const sort = (at) => {
    const head = heads[at];
    const opposite = { ascending: "descending", descending: "ascending" };
    const order = opposite[head.getAttribute("aria-sort")] || head.dataset.first;
    const sign = order === "ascending" ? 1 : -1;
    const value = (row) => row.cells[at].dataset.value;
    heads.forEach((other) => other.setAttribute("aria-sort", other === head ? order : "none"));
    rows.sort((a, b) => compare(value(a), value(b), head.dataset.kind === "number", sign));
    body.append(...rows);
  };

  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(at));
    head.append(button);
  });

  const tools = document.querySelector(".tools");
  const search = tools.querySelector("input");
  const count = tools.querySelector("output");
  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    rows.forEach((row) => {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  search.addEventListener("input", filter);
  tools.hidden = false;
  filter();
})();
