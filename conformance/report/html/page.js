"use strict";
// Hides rows that do not answer to the filters, then clauses and families of which nothing is left.
const form = document.getElementById("filters");
const cases = [...document.querySelectorAll("tr.case")].map((row) => ({
  row,
  more: row.nextElementSibling?.classList.contains("more") ? row.nextElementSibling : null,
  group: row.closest("tbody"),
  verdicts: row.dataset.verdicts.split(" "),
  text: `${row.dataset.id} ${row.closest("tbody").firstElementChild.textContent} ${row.textContent}`.toLowerCase(),
}));
const missed = new Set(["fail", "crashed", "hung", "leaked", "error"]);

function answers(one, wanted) {
  const looked = wanted.testee === "" ? one.verdicts : [one.verdicts[Number(wanted.testee)]];
  const asked = one.verdicts.filter((verdict) => verdict !== "none");
  if (wanted.family && one.group.dataset.family !== wanted.family) return false;
  if (wanted.level && one.row.dataset.level !== wanted.level) return false;
  if (wanted.words.some((word) => !one.text.includes(word))) return false;
  if (wanted.show === "missed") return looked.some((verdict) => missed.has(verdict));
  if (wanted.show === "differ") return new Set(asked).size > 1;
  return wanted.show === "" || looked.includes(wanted.show);
}

function apply() {
  const value = (name) => form.elements[name].value;
  const words = value("text").toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = { words, family: value("family"), level: value("level"), show: value("show"), testee: value("testee") };
  const groups = new Set(), families = new Set();
  let count = 0;
  for (const one of cases) {
    const shown = answers(one, wanted);
    one.row.hidden = !shown;
    if (one.more) one.more.hidden = !shown;
    if (!shown) continue;
    count += 1;
    groups.add(one.group);
    families.add(one.group.dataset.family);
  }
  for (const body of document.querySelectorAll("tbody.clause")) body.hidden = !groups.has(body);
  for (const body of document.querySelectorAll("tbody.family")) body.hidden = !families.has(body.dataset.family);
  form.elements.count.value = `${count} of ${cases.length} cases`;
}

form.hidden = false;
form.addEventListener("input", apply);
form.addEventListener("submit", (event) => event.preventDefault());
apply();
