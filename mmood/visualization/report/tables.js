'use strict';
// The table of sets and scores, and the rows of classes.

const COUNTS = ['AOSE'];
const isResample = (name) => /_(mean|std)$/.test(name);

/** The columns: a name, what stands in a row, and how it is written. */
function columns() {
  const measured = [];
  for (const run of runs) {
    for (const row of run.measures) {
      for (const name of Object.keys(row.values)) {
        if (!measured.includes(name) && !isResample(name)) measured.push(name);
      }
    }
  }
  const words = (name, value) => ({name, value, isWord: true, text: (v) => v});
  const share = (name, value) => ({name, value, text: (v) => percent(v)});
  return [
    ...(runs.length > 1 ? [words('Run', (row) => runs[row.index].name)] : []),
    words('Set', (row) => row.set),
    words('Score', (row) => row.score),
    share('known lost', (row) => shareAbove(row, 'id')),
    share('unknown found', (row) => shareAbove(row, 'ood')),
    ...measured.map((name) => ({
      name,
      value: (row) => row.values[name] ?? null,
      text: (v) => v === null ? '–'
        : COUNTS.includes(name) ? count(v) : (100 * v).toFixed(2),
    })),
  ];
}

/** Of a row's side, above the threshold of the row's score. */
function shareAbove(row, side) {
  const numbers = counted(row.index, row.set, row.score);
  if (!numbers || !numbers[`num_${side}`]) return null;
  return numbers[side][place(row.index, row.score)] / numbers[`num_${side}`];
}

function sortedRows(all) {
  const rows = runs.flatMap((run, index) =>
    run.measures.map((row) => ({...row, index})));
  const column = all.find((one) => one.name === state.sort.column);
  if (!column) return rows;
  const sign = state.sort.falling ? -1 : 1;
  const compare = (a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (column.isWord ? x.localeCompare(y) : x - y);
  };
  return rows.sort(compare);
}

function sortBy(column) {
  const again = state.sort.column === column.name;
  state.sort = {column: column.name,
    falling: again ? !state.sort.falling : !column.isWord};
  update();
}

function drawTable() {
  const all = columns();
  const heads = all.map((column) => {
    const head = element('th', {scope: 'col', className: column.isWord ? 'word' : ''});
    const isSorted = state.sort.column === column.name;
    if (isSorted) head.setAttribute('aria-sort', state.sort.falling ? 'descending' : 'ascending');
    const arrow = !isSorted ? '' : state.sort.falling ? ' ↓' : ' ↑';
    head.append(element('button', {type: 'button', onclick: () => sortBy(column)},
      column.name + arrow));
    return head;
  });
  const rows = sortedRows(all).map((row) => {
    const isChosen = row.set === state.set && row.score === state.score[row.index];
    return element('tr', {className: isChosen ? 'chosen' : '', onclick: () => choose(row)},
      ...all.map((column) => element('td', {className: column.isWord ? 'word' : ''},
        column.text(column.value(row)))));
  });
  const focused = [...byId('scores').querySelectorAll('th button')]
    .indexOf(document.activeElement);
  byId('scores').replaceChildren(element('thead', {}, element('tr', {}, ...heads)),
    element('tbody', {}, ...rows));
  if (focused >= 0) byId('scores').querySelectorAll('th button')[focused].focus();
}

function choose(row) {
  state.set = row.set;
  if (runs[row.index].scores.includes(row.score)) state.score[row.index] = row.score;
  update();
}

function rowsTable(heads, rows) {
  return element('div', {className: 'scroll'}, element('table', {},
    element('thead', {}, element('tr', {}, ...heads.map((head) => element('th', {scope: 'col'}, head)))),
    element('tbody', {}, ...rows.map((cells) =>
      element('tr', {}, ...cells.map((cell) => element('td', {}, cell)))))));
}

const withShare = (part, total) =>
  total ? `${count(part)} (${percent(part / total, 0)})` : '–';

/** A card for each run: classes of the model, categories of the set. */
function drawClasses() {
  const cards = runs.flatMap((run, index) => {
    const numbers = counted(index);
    if (!numbers) return [];
    const at = place(index);
    const things = unit(run);
    const title = runs.length > 1 ? `${run.name}: ` : '';
    const rows = numbers.classes.map((row) => [row.name, count(row.num_id),
      withShare(above(row.num_id, row.id, at), row.num_id), count(row.num_ood),
      withShare(above(row.num_ood, row.ood, at), row.num_ood)]);
    const made = [];
    if (rows.length) {
      made.push(element('div', {className: 'card known-classes'},
        element('h3', {}, `${title}what ${things} are taken for`),
        rowsTable(['class', `known ${things}`, 'lost', `unknown ${things}`, 'found'], rows)));
    }
    if (numbers.categories.length) {
      const own = numbers.categories.map((row) => [row.name, count(row.total),
        withShare(row.boxed, row.total),
        withShare(above(row.boxed, row.steps, at), row.total)]);
      made.push(element('div', {className: 'card unknown-classes'},
        element('h3', {}, `${title}objects of ${state.set}`),
        rowsTable(['category', 'objects', 'with a box', 'found'], own)));
    }
    return made;
  });
  byId('classes').replaceChildren(...(cards.length ? cards
    : [element('p', {className: 'hint'}, 'This test left no counts by class.')]));
}
