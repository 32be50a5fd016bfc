'use strict';
// What the page knows and what is chosen on it. Names and paths of tests are
// set as text, never as markup.

const data = JSON.parse(document.getElementById('data').textContent);
const runs = data.runs;
const byId = (id) => document.getElementById(id);

const state = {
  set: runs.flatMap((run) => run.sets)[0],
  score: runs.map((run) => run.scores[0]),
  // The place of the threshold among those of the score, for each run.
  place: runs.map((run) => Object.fromEntries(
    run.scores.map((score) => [score, run.counted[score].start]))),
  linked: true,
  kind: 'miss',
  sort: {column: null, falling: true},
};

/** An element with properties and children; strings become text. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Replace what is in a select; the chosen value stays if it is there. */
function fillSelect(select, options, chosen = select.value) {
  select.replaceChildren(...options.map(([value, text]) =>
    element('option', {value}, text)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

const percent = (share, digits = 1) =>
  Number.isFinite(share) ? `${(100 * share).toFixed(digits)} %` : '–';
const count = (number) => number.toLocaleString('en-US');
const few = (number) => number === null ? '–'
  : Number(number) === 0 ? '0' : Number(Number(number).toPrecision(3)).toString();
/** plotly reads tags in its texts. */
const forPlotly = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
const color = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const unit = (run, many = true) =>
  (run.task === 'detection' ? 'box' : 'pixel') + (!many ? ''
    : run.task === 'detection' ? 'es' : 's');

/** Numbers of a run's score on a set, by default the chosen ones. */
function counted(index, set = state.set, score = state.score[index]) {
  const found = runs[index].counted[score];
  const numbers = found && found.sets[set];
  return numbers ? {...numbers, thresholds: found.thresholds, edges: found.edges} : null;
}

const place = (index, score = state.score[index]) => state.place[index][score];
const threshold = (index, score = state.score[index]) =>
  runs[index].counted[score].thresholds[place(index, score)];

/** What is left of a row of steps, at a place: those still above. */
function above(total, steps, at) {
  let left = total;
  for (let i = 0; i <= at; i += 1) left -= steps[i];
  return left;
}

/** Put a run's threshold somewhere; others follow if they are linked. */
function move(index, at) {
  state.place[index][state.score[index]] = at;
  const own = counted(index);
  if (state.linked && own && own.num_id) follow(index, own.id[at] / own.num_id);
  update();
}

/** Move the other runs to where the share of known ones lost is nearest. */
function follow(index, share) {
  runs.forEach((run, other) => {
    const numbers = other === index ? null : counted(other);
    if (!numbers || !numbers.num_id) return;
    const gaps = numbers.id.map((n) => Math.abs(n / numbers.num_id - share));
    state.place[other][state.score[other]] = gaps.indexOf(Math.min(...gaps));
  });
}

/** The place of the threshold next to a number. */
function nearest(index, value) {
  const gaps = runs[index].counted[state.score[index]].thresholds
    .map((t) => Math.abs(t - value));
  return gaps.indexOf(Math.min(...gaps));
}
