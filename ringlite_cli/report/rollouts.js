// The browser of responses. Text of models reaches the page as text nodes alone, never as HTML.
const make = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const unpack = async (packed) => {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
};
const [VERDICT, RIGHT, REWARD, ADVANTAGE, TOKENS, KEPT, CUT, MORE, OTHER, PARTS, DETAIL, RESPONSE] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
// A row has the run's verdict, and in OTHER what `ringlite rescore` found, with its revision; `show` exchanges the two.
const show = (data, rescored) => {
  for (const row of data.groups.flatMap((group) => group.rows)) {
    if (row[OTHER] === null || (row.rescored || false) === rescored) continue;
    row.rescored = rescored;
    for (const place of [VERDICT, RIGHT, REWARD]) [row[place], row[OTHER][place]] = [row[OTHER][place], row[place]];
  }
};
const keptKind = (row) => (row[KEPT] === null ? "" : row[KEPT] === 0 ? "none" : row[KEPT] < row[TOKENS] ? "in part" : "whole");
const inWords = (value) => value.toLocaleString("en");
const short = (number) => String(Number(number.toPrecision(4)));
const shareRight = (group) => {
  const known = group.rows.filter((row) => row[RIGHT] !== null);
  return known.length ? known.filter((row) => row[RIGHT]).length / known.length : null;
};
const share = (value) => (value === null ? "no verdict" : Math.round(100 * value) + " % right");

const beside = (row) => {
  const [verdict, , reward, revision] = row[OTHER];
  const whose = row.rescored ? "rescored (revision " + revision + "), before " : "rescored (revision " + revision + ") ";
  const same = verdict === row[VERDICT] && reward !== null && row[REWARD] !== null && short(reward) === short(row[REWARD]);
  return whose + (same ? "the same" : verdict + (reward === null ? "" : ", reward " + short(reward)));
};

const card = (row, title, faint) => {
  const made = make("div", "card" + (faint ? " faint" : "")), head = make("p", "facts");
  const right = row[RIGHT] === null ? ["quiet", "? "] : row[RIGHT] ? ["good", "✓ "] : ["bad", "✗ "];
  head.append(make("b", right[0], right[1] + row[VERDICT]));
  const facts = [title];
  if (row[REWARD] !== null) facts.push("reward " + short(row[REWARD]));
  if (row[OTHER]) facts.push(beside(row));
  if (row[PARTS]) facts.push("of " + row[PARTS]);
  if (row[ADVANTAGE] !== null) facts.push("advantage " + (row[ADVANTAGE] > 0 ? "+" : "") + row[ADVANTAGE].toFixed(2));
  if (row[TOKENS] !== null) facts.push(inWords(row[TOKENS]) + " tokens");
  if (keptKind(row)) facts.push("trained: " + keptKind(row));
  if (row[CUT]) facts.push("cut at the length limit");
  for (const fact of facts) if (fact) head.append(" ", make("span", "", fact));
  made.append(head, make("pre", "", row[RESPONSE]));
  if (row[MORE]) made.append(make("p", "say note", inWords(row[MORE]) + " more characters in the run's files"));
  if (row[DETAIL]) made.append(make("h4", "", "What the verifier says"), make("pre", "said", row[DETAIL]));
  return made;
};
const question = (data, group) => {
  const made = make("div", "question"), [, prompt, gold] = data.problems[group.problem];
  made.append(make("h4", "", "Prompt"), make("pre", "", prompt));
  if (gold) made.append(make("h4", "", gold.startsWith("tests") ? "Checked by" : "Gold answer"), make("pre", "gold", gold));
  return made;
};
const folded = (words, fill) => {
  const made = make("details", "group"), head = make("summary");
  head.append(...words);
  made.append(head);
  made.addEventListener("toggle", () => { if (made.open && made.childElementCount === 1) fill(made); });
  return made;
};
const rightOf = (group) => {
  const right = group.rows.filter((row) => row[RIGHT]).length;
  const rows = group.rows.length, tone = right === rows ? "good" : right ? "" : "bad";
  return make("span", tone, right + " of " + rows + " right");
};

const sorted = (values) => [...new Set(values)].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
const same = (values) => values.map((value) => [value, value]);
const evaluatedIn = (data) => [...new Set(data.groups.filter((group) => group.step === null).map((group) => group.policy))];

// The form of filters, with its controls by name. Each control stands in a label that can be hidden.
const filters = (data) => {
  const bar = make("form", "filters"), by = {};
  bar.setAttribute("aria-label", "filters");
  bar.addEventListener("submit", (event) => event.preventDefault());
  const field = (name, label, control) => {
    const made = make("label", "", label);
    control.name = label;
    made.append(control);
    bar.append(made);
    by[name] = control;
  };
  const choice = (name, label, options) => {
    const select = make("select");
    for (const [value, words] of options) select.append(Object.assign(make("option", "", words), { value }));
    field(name, label, select);
  };
  const entry = (name, label, type) => field(name, label, Object.assign(make("input"), { type }));
  const evaluated = evaluatedIn(data), rows = data.groups.flatMap((group) => group.rows);
  choice("show", "show", [["groups", "groups"], ...(evaluated.length > 1 ? [["change", "wins and losses"]] : [])]);
  choice("source", "from", [["", "RL and evaluation"], ["rl", "RL"], ["eval", "evaluation"]]);
  choice("policy", "policy", [["", "all"], ...same([...new Set(data.groups.map((group) => group.policy))])]);
  choice("domain", "domain", [["", "all"], ...same(sorted(data.groups.map((group) => group.domain)))]);
  if (rows.some((row) => row[OTHER])) choice("marks", "verdicts", [["", "of the run"], ["rescored", "rescored"]]);
  choice("verdict", "verdict", [["", "all"], ...same(sorted(rows.flatMap((row) => [row[VERDICT], ...(row[OTHER] || []).slice(0, 1)])))]);
  choice("kept", "trained", [["", "all"], ...same(["whole", "in part", "none"])]);
  entry("first", "step from", "number");
  entry("last", "to", "number");
  entry("search", "text", "search");
  choice("before", "before", same(evaluated));
  choice("after", "after", same(evaluated));
  if (evaluated.length > 1) [by.before.value, by.after.value] = evaluated.slice(-2);
  return { bar, by };
};
const groupFits = (by, problem) => (group) =>
  (problem === null || group.problem === problem) &&
  (!by.source.value || (by.source.value === "rl") === (group.step !== null)) &&
  (!by.policy.value || group.policy === by.policy.value) && (!by.domain.value || group.domain === by.domain.value) &&
  (!by.first.value || (group.step !== null && group.step >= +by.first.value)) &&
  (!by.last.value || (group.step !== null && group.step <= +by.last.value));
const rowFits = (data, by) => (group, row) => {
  const has = (text) => text.toLowerCase().includes(by.search.value.toLowerCase());
  return (!by.verdict.value || row[VERDICT] === by.verdict.value) && (!by.kept.value || keptKind(row) === by.kept.value) &&
    (!by.search.value || has(row[RESPONSE]) || has(data.problems[group.problem][0]) || has(data.problems[group.problem][1]));
};
// Problems whose share of right responses differs between two evaluated policies, the largest change first.
const changesOf = (data, by, problem) => {
  const fits = rowFits(data, by), found = [];
  const of = (name) => new Map(data.groups
    .filter((group) => group.step === null && group.policy === name && (problem === null || group.problem === problem) &&
      (!by.domain.value || group.domain === by.domain.value))
    .map((group) => [group.task + "\n" + group.problem, group]));
  const before = of(by.before.value);
  for (const [key, group] of of(by.after.value)) {
    const old = before.get(key), a = old ? shareRight(old) : null, b = shareRight(group);
    const read = old && [...old.rows, ...group.rows].some((row) => fits(group, row));
    if (read && a !== null && b !== null && a !== b) found.push([old, group, b - a]);
  }
  return found.sort((a, b) => Math.abs(b[2]) - Math.abs(a[2]));
};
const where = (group) =>
  group.policy + (group.step === null ? ", evaluated on " + group.task : ", step " + inWords(group.step));
const groupView = (data, everywhere, group, rows) => folded(
  [make("span", "key " + (data.colours[group.domain] || ""), group.domain), " ", make("b", "", where(group)), " ",
    make("span", "quiet", data.problems[group.problem][0]), " ", rightOf(group)],
  (into) => {
    const cards = make("div", "cards");
    group.rows.forEach((row, k) => cards.append(card(row, "response " + (k + 1), !rows.includes(row))));
    into.append(question(data, group), everywhere(group), cards);
    if (group.more) into.append(make("p", "say note", inWords(group.more) + " more responses in the run's files"));
  });
const changeView = (data, everywhere, old, group, change) => folded(
  [make("b", change > 0 ? "good" : "bad", change > 0 ? "won" : "lost"), " ",
    make("span", "key " + (data.colours[group.domain] || ""), group.task), " ",
    make("span", "quiet", data.problems[group.problem][0]), " ",
    make("span", "", old.policy + " " + share(shareRight(old)) + " → " + group.policy + " " + share(shareRight(group)))],
  (into) => {
    const cards = make("div", "cards pair");
    for (const side of [old, group]) {
      const column = make("div");
      column.append(make("h4", "", side.policy));
      side.rows.forEach((row, k) => column.append(card(row, "response " + (k + 1), false)));
      cards.append(column);
    }
    into.append(question(data, group), everywhere(group), cards);
  });
const counted = (number, word) => inWords(number) + " " + word + (number === 1 ? "" : "s");

// What the filters leave: a sentence, and a function that makes each item's view.
const left = (data, by, problem, everywhere) => {
  if (by.show.value === "change") {
    const found = changesOf(data, by, problem), won = found.filter((each) => each[2] > 0).length;
    const words = inWords(won) + " won and " + inWords(found.length - won) + " lost from " + by.before.value + " to " + by.after.value;
    return [words + ", largest change first", found.map((each) => () => changeView(data, everywhere, ...each))];
  }
  const fits = rowFits(data, by);
  const found = data.groups.filter(groupFits(by, problem))
    .map((group) => [group, group.rows.filter((row) => fits(group, row))]).filter(([, rows]) => rows.length);
  const rows = found.reduce((sum, each) => sum + each[1].length, 0);
  return [counted(rows, "response") + " in " + counted(found.length, "group"),
    found.map((each) => () => groupView(data, everywhere, ...each))];
};
const responses = (data, root) => {
  const { bar, by } = filters(data), state = { problem: null, shown: 20 };
  const told = make("p", "found"), list = make("div", "list");
  const more = make("button", "quiet-button", "show more"), chip = make("button", "quiet-button");
  more.type = chip.type = "button";
  told.setAttribute("aria-live", "polite");
  bar.append(chip);
  const everywhere = (group) => {
    const button = make("button", "quiet-button", "this problem everywhere");
    button.type = "button";
    button.addEventListener("click", () => {
      state.problem = group.problem;
      by.show.value = "groups";
      for (const name of ["source", "policy", "verdict", "kept", "first", "last", "search"]) by[name].value = "";
      render();
    });
    return button;
  };
  const render = () => {
    const compared = by.show.value === "change";
    for (const name of ["before", "after"]) by[name].parentElement.hidden = !compared;
    for (const name of ["source", "policy", "first", "last", "kept"]) by[name].parentElement.hidden = compared;
    chip.hidden = state.problem === null;
    chip.textContent = state.problem === null ? "" : "problem " + data.problems[state.problem][0] + " ✕";
    if (by.marks) show(data, by.marks.value === "rescored");
    const [words, views] = left(data, by, state.problem, everywhere);
    told.textContent = words + (!by.marks ? "" : by.marks.value ? "; verdicts as rescored, where they are" : "; verdicts of the run");
    list.replaceChildren(...views.slice(0, state.shown).map((view) => view()));
    more.hidden = views.length <= state.shown;
  };
  const again = () => { state.shown = 20; render(); };
  bar.addEventListener("input", again);
  chip.addEventListener("click", () => { state.problem = null; again(); });
  more.addEventListener("click", () => { state.shown += 60; render(); });
  root.replaceChildren(bar, told, list, more);
  render();
};
const packed = document.getElementById("browser-data");
if (packed) {
  const root = document.getElementById("browser");
  unpack(packed.content.textContent.trim()).then((data) => responses(data, root), (error) => {
    root.replaceChildren(make("p", "say missing", "This browser cannot unpack the responses (" + error + "); the files of the run have all of them."));
  });
}
