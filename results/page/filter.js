// Hides the rows, columns and parts of a page that are not of the values chosen in the form "filter"; of a fieldset
// without a choice all values are shown. A fieldset's data-title is the title of a column whose cells hold one of its
// values; a box's data-above is what a column's title says of its value. A part has an attribute "data-" and the name of
// the box. The choice stands in the URL's fragment, behind the section that was gone to: #accuracy&feature_dim=5.
{
  const form = document.getElementById("filter"), told = document.getElementById("filtered");
  const facets = [...(form?.querySelectorAll("fieldset") ?? [])].map(fieldset => {
    const boxes = [...fieldset.querySelectorAll("input")];
    return { name: boxes[0].name, title: fieldset.dataset.title, boxes, known: new Set(boxes.map(box => box.value)) };
  });
  const says = (title, words) => `, ${title.replaceAll(" †", "")}, `.includes(`, ${words}, `);

  // What is not of the chosen values: of a facet without a choice nothing.
  const otherValue = (facet, value) => facet.known.has(value) && !facet.chosen.has(value);
  const otherColumn = (facet, title) => {
    const named = facet.boxes.filter(box => says(title, box.dataset.above));
    return named.length > 0 && !named.some(box => box.checked);
  };

  function filterTable(table, active) {
    const titles = [...table.rows[0].cells].map(cell => cell.textContent.trim());
    const hidden = titles.map(title => active.some(facet => otherColumn(facet, title)));
    const places = active.map(facet => titles.indexOf(facet.title)), data = titles.indexOf("data set");
    const counts = { columns: hidden.filter(Boolean).length, rows: 0 };
    [...table.rows].forEach((row, line) => {
      const text = place => row.cells[place]?.textContent.trim();
      row.hidden = line > 0 && active.some((facet, number) =>
        places[number] >= 0 && otherValue(facet, text(places[number])) || data >= 0 && otherColumn(facet, text(data)));
      counts.rows += row.hidden;
      [...row.cells].forEach((cell, place) => { cell.hidden = hidden[place] ?? false; });
    });
    table.parentElement.classList.toggle("none", counts.rows === table.rows.length - 1 && counts.rows > 0);
    return counts;
  }

  function apply() {
    for (const facet of facets) facet.chosen = new Set(facet.boxes.filter(box => box.checked).map(box => box.value));
    const active = facets.filter(facet => facet.chosen.size), counts = { rows: 0, columns: 0, parts: 0 };
    for (const table of document.querySelectorAll("table")) {
      const own = filterTable(table, active);
      counts.rows += own.rows, counts.columns += own.columns;
    }
    for (const part of document.querySelectorAll(facets.map(({ name }) => `[data-${name}]`).join())) {
      part.hidden = active.some(facet => otherValue(facet, part.getAttribute(`data-${facet.name}`)));
      counts.parts += part.hidden;
    }
    const chosen = active.map(facet => `${facet.title} ${[...facet.chosen].join(" or ")}`).join("; ");
    const count = Object.entries(counts).filter(([, number]) => number).map(([what, number]) => `${number} ${what}`);
    told.textContent = active.length ? `Shown: ${chosen}. Hidden: ${count.join(", ") || "nothing"}. ` +
      "Sentences, verdicts and figures are of the whole grid." : "";
    told.hidden = !active.length;
  }

  // The choice as the URL's fragment has it; the fragment of a section alone has no "=", and leaves the choice as it is.
  function read() {
    const fragment = location.hash.slice(1), [section] = fragment.split("&"), chosen = new URLSearchParams(fragment);
    for (const { name, boxes } of facets) for (const box of boxes) box.checked = chosen.getAll(name).includes(box.value);
    apply();
    if (!section.includes("=")) document.getElementById(section)?.scrollIntoView();
  }
  function write(section = "") {
    apply();
    const chosen = facets.flatMap(({ name, chosen }) => [...chosen].map(value => [name, value]));
    history.replaceState(null, "", `#${[section, new URLSearchParams(chosen)].filter(String).join("&")}`);
  }

  if (facets.length) {
    form.hidden = false;
    form.addEventListener("change", () => write());
    form.addEventListener("reset", () => setTimeout(write));
    addEventListener("hashchange", () => location.hash.includes("=") ? read() : write(location.hash.slice(1)));
    if (location.hash.includes("=")) read();
  }
}
