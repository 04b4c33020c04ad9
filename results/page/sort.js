// A click on a column's title, or Enter there, sorts the table by it: by the first number of a cell where all have one,
// else by its text, as days are; identical predictions are a difference of 0; missing values stay last.
for (const title of document.querySelectorAll("th[scope=col]")) {
  const sort = () => {
    const table = title.closest("table"), column = title.cellIndex;
    const order = title.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const rows = [...table.rows].slice(1), text = row => row.cells[column]?.textContent.trim() ?? "";
    const number = row => text(row) === "identical predictions" ? 0 : parseFloat(text(row).replace("< ", ""));
    // Of a pair, as "n/a / 62.10", the first counts.
    const missing = row => /^(-|n\/a|failed|pruned|absent|not computed)?( \/ .*)?$/.test(text(row));
    const day = row => /^\d{4}-\d\d-\d\d/.test(text(row));
    const numeric = rows.every(row => missing(row) || !isNaN(number(row)) && !day(row));
    rows.sort((a, b) => missing(a) - missing(b) ||
      order * (numeric ? number(a) - number(b) : text(a).localeCompare(text(b))));
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    title.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
    rows.forEach(row => row.parentNode.append(row));
  };
  title.tabIndex = 0;
  title.addEventListener("click", sort);
  title.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
}
