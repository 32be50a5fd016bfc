'use strict';
// Puts the page together once, then redraws what depends on the choice.

const isDetection = runs[0].task === 'detection';

/** The card of a run: choice of the score, histogram, slider, counts. */
function makeCard(run, index) {
  const select = element('select', {onchange: (event) => {
    state.score[index] = event.target.value;
    update();
  }});
  fillSelect(select, run.scores.map((score) => [score, score]), state.score[index]);
  const slider = element('input', {type: 'range', min: 0, step: 1,
    oninput: (event) => move(index, Number(event.target.value))});
  slider.setAttribute('aria-label', `threshold of ${run.name}`);
  const number = element('input', {type: 'number', step: 'any',
    onchange: (event) => move(index, nearest(index, Number(event.target.value)))});
  const card = element('div', {className: 'card run'},
    element('div', {className: 'head'}, element('h3', {}, run.name),
      element('label', {}, 'Score ', select)),
    element('div', {className: 'histogram'}),
    element('div', {className: 'slider'}, slider, element('label', {}, 'above ', number),
      element('button', {type: 'button', title: 'where the test puts it', onclick: () =>
        move(index, run.counted[state.score[index]].start)}, 'Reset')),
    element('dl', {className: 'counts'}));
  byId('runs').append(card);
}

function counter(name, number, note, kind) {
  return element('div', {}, element('dt', {}, name),
    element('dd', {className: kind}, number, element('small', {}, note)));
}

function drawCard(run, index) {
  const card = byId('runs').children[index];
  card.querySelector('select').value = state.score[index];
  const numbers = counted(index);
  const list = card.querySelector('.counts');
  card.querySelector('.histogram').hidden = !numbers;
  card.querySelector('.slider').hidden = !numbers;
  if (!numbers) {
    list.replaceChildren(`not tested on ${state.set} with this score`);
    return;
  }
  const at = place(index);
  const slider = card.querySelector('[type=range]');
  slider.max = numbers.thresholds.length - 1;
  slider.value = at;
  card.querySelector('[type=number]').value = Number(threshold(index).toPrecision(6));
  const of = (part, total) => `${count(part)} of ${count(total)}`;
  const things = unit(run);
  const parts = [
    counter(`known ${things} lost`, percent(numbers.id[at] / numbers.num_id),
      of(numbers.id[at], numbers.num_id), 'lost'),
    counter(`unknown ${things} found`, percent(numbers.ood[at] / numbers.num_ood),
      of(numbers.ood[at], numbers.num_ood), 'found'),
  ];
  if (numbers.objects && numbers.num_objects) {
    const without = numbers.num_objects - numbers.boxed;
    parts.push(counter('unknown objects found',
      percent(numbers.objects[at] / numbers.num_objects),
      `${of(numbers.objects[at], numbers.num_objects)}; ${count(without)} have no box`, 'found'));
  }
  if (numbers.nans) parts.push(counter('without a number (nan)', count(numbers.nans), 'left out', ''));
  list.replaceChildren(...parts);
  drawHistogram(index, card.querySelector('.histogram'));
}

function drawFacts() {
  byId('facts').append(...runs.map((run) => {
    const rows = run.facts.flatMap(([name, text]) =>
      [element('dt', {}, name), element('dd', {}, text)]);
    const card = element('div', {className: 'card'}, element('h3', {}, run.name),
      element('dl', {className: 'facts'}, ...rows));
    if (run.config) {
      card.append(element('details', {}, element('summary', {}, 'The whole config'),
        element('pre', {}, run.config)));
    }
    return card;
  }));
}

function update() {
  byId('set').value = state.set;
  runs.forEach(drawCard);
  drawCurves();
  drawTable();
  drawClasses();
  drawGallery();
}

function start() {
  const names = runs.map((run) => run.name);
  const about = runs.map((run) => run.overall.bbox_mAP === undefined ? run.name
    : `${run.name} (mAP of the known classes ${few(100 * run.overall.bbox_mAP)})`);
  document.title = `OOD report: ${names.join(', ')}`;
  byId('subtitle').textContent = about.join(' · ');
  const sets = [...new Set(runs.flatMap((run) => run.sets))];
  fillSelect(byId('set'), sets.map((set) => [set, set]), state.set);
  byId('set').onchange = (event) => { state.set = event.target.value; update(); };
  byId('linkage').hidden = runs.length < 2;
  byId('linked').onchange = (event) => { state.linked = event.target.checked; };
  byId('threshold-hint').textContent = 'What scores above the threshold is called unknown. '
    + 'Move it, or click into the bars: all counts on this page follow.';
  const protocols = [...new Set(runs.map((run) => run.protocol))].join(', ');
  byId('table-hint').textContent = `In %, as the test measured them (protocol ${protocols}); `
    + 'lost and found go by the thresholds above. '
    + 'A click on a head sorts, one on a row shows it.';
  byId('classes-hint').textContent = isDetection
    ? 'Above: which known classes lose boxes, and for what the unknown is taken. '
      + 'Then the categories of the unknown objects themselves.'
    : 'Which predicted classes lose pixels, and for what the unknown is taken.';
  runs.forEach(makeCard);
  for (const [kind, [name]] of Object.entries(KINDS)) {
    if (!runs.some((run) => run.cases.some((item) => item.kind === kind))) continue;
    byId('kinds').append(element('button', {type: 'button', value: kind,
      onclick: () => { state.kind = kind; drawGallery(); }}, name));
  }
  byId('run-filter').hidden = runs.length < 2;
  fillSelect(byId('filter-run'), [['', 'all'], ...names.map((name, i) => [String(i), name])]);
  for (const key of ['run', 'set', 'class', 'from', 'to']) {
    byId(`filter-${key}`).onchange = drawGallery;
  }
  const legend = (tone, text, dash) => {
    const mark = element('i');
    mark.style.borderColor = tone;
    if (dash) mark.style.borderStyle = 'dashed';
    return element('span', {}, mark, text);
  };
  byId('legend').append(...(isDetection ? [legend('#4d94ff', 'passes as known')] : []),
    legend('#00d45a', 'called unknown'), legend('#ffc800', 'annotated as unknown', true));
  byId('dropped').textContent = data.dropped
    ? `${data.dropped} further cases are left out, so that the page stays below 20 MB.` : '';
  byId('viewer').onclick = (event) => {
    if (event.target === byId('viewer')) byId('viewer').close();
  };
  drawFacts();
  update();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', update);
}

start();
