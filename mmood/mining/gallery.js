'use strict';
const {groups, info} = JSON.parse(document.getElementById('data').textContent);
const STEP = 12;
const COLUMNS = [
  ['group', 'Group'], ['size', 'Boxes'], ['images', 'Images'],
  ['ood_score', 'OOD score'], ['confidence', 'Confidence'],
  ['taken_for', 'Taken for'],
];
const shown = new Map(groups.map(({group}) => [group, STEP]));
const names = new Map();
let sorted = {key: 'group', falling: false};

function make(tag, options = {}, children = []) {
  const made = Object.assign(document.createElement(tag), options);
  made.append(...children);
  return made;
}

function number(value) {
  return value === null ? '-' : Number(value).toPrecision(3);
}

function title({group}) {
  return group < 0 ? 'not grouped' : String(group);
}

function compare(a, b) {
  const sides = [a[sorted.key], b[sorted.key]];
  // What is in no group stands at the end of the usual order.
  if (sorted.key === 'group') {
    sides.forEach((one, i) => { if (one < 0) sides[i] = Infinity; });
  }
  const order = typeof sides[0] === 'string'
    ? sides[0].localeCompare(sides[1]) : sides[0] - sides[1];
  return (sorted.falling ? -order : order) || a.group - b.group;
}

function drawHeads() {
  const heads = COLUMNS.map(([key, text]) => {
    const isSorted = key === sorted.key;
    const mark = isSorted ? (sorted.falling ? ' ↓' : ' ↑') : '';
    const button = make('button', {type: 'button', textContent: text + mark});
    button.onclick = () => {
      const falling = isSorted ? !sorted.falling : key !== 'group' && key !== 'taken_for';
      sorted = {key, falling};
      draw();
    };
    const head = make('th', {scope: 'col'}, [button]);
    if (isSorted) head.ariaSort = sorted.falling ? 'descending' : 'ascending';
    return head;
  });
  heads.push(make('th', {textContent: 'Name'}));
  heads.push(make('th', {textContent: 'Typical boxes first'}));
  document.getElementById('heads').replaceChildren(...heads);
}

function open(box) {
  const facts = [
    ['Image', box.file_name], ['Box', box.bbox.join(', ')], ['Id', box.id],
    ['OOD score', number(box.ood_score)],
    ['Confidence', number(box.confidence)], ['Taken for', box.taken_for],
  ];
  const list = facts.flatMap(([key, value]) => [
    make('dt', {textContent: key}), make('dd', {textContent: value}),
  ]);
  const close = make('button', {type: 'button', textContent: 'Close'});
  const viewer = document.getElementById('viewer');
  close.onclick = () => viewer.close();
  viewer.replaceChildren(
    make('img', {src: box.crop, alt: ''}), make('dl', {}, list), close);
  viewer.showModal();
}

function crops(row) {
  const cell = make('td', {className: 'crops'});
  const count = shown.get(row.group);
  for (const box of row.boxes.slice(0, count)) {
    const image = make('img', {
      src: box.crop, loading: 'lazy', alt: `box ${box.id}`,
    });
    const button = make('button', {
      type: 'button', className: 'crop', title: box.file_name,
    }, [image]);
    button.onclick = () => open(box);
    cell.append(button);
  }
  if (count < row.boxes.length) {
    const more = make('button', {type: 'button', textContent: 'More'});
    more.onclick = () => { shown.set(row.group, count * 4); draw(); };
    cell.append(more);
  } else if (row.boxes.length < row.size) {
    const left = row.size - row.boxes.length;
    cell.append(make('p', {
      className: 'soft', textContent: `${left} more in unknown.csv`,
    }));
  }
  return cell;
}

function nameField(row) {
  const field = make('input', {
    type: 'text', value: names.get(row.group) ?? '',
    ariaLabel: `Name of group ${title(row)}`,
  });
  field.oninput = () => {
    names.set(row.group, field.value.trim());
    drawNames();
  };
  return make('td', {}, row.group < 0 ? [] : [field]);
}

function quoted(text) {
  return /^[\w=:.-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function drawNames() {
  const given = [...names].filter(([, name]) => name)
    .sort(([a], [b]) => a - b);
  document.getElementById('naming').hidden = !given.length;
  const words = given.map(([group, name]) => quoted(`${group}=${name}`));
  document.getElementById('command').textContent = `--groups ${words.join(' ')}`;
}

function draw() {
  drawHeads();
  const rows = [...groups].sort(compare).map((row) => make('tr', {}, [
    ...[title(row), row.size, row.images, number(row.ood_score),
      number(row.confidence),
      `${row.taken_for} (${Math.round(100 * row.share)} %)`,
    ].map((text) => make('td', {textContent: text})),
    nameField(row), crops(row),
  ]));
  document.getElementById('groups').replaceChildren(...rows);
}

const limit = info.top
  ? `the ${info.top} highest of every 1,000 images`
  : `above ${number(info.threshold)}`;
const boxes = groups.reduce((sum, {size}) => sum + size, 0);
const count = groups.filter(({group}) => group >= 0).length;
document.getElementById('summary').textContent = boxes
  ? `${boxes} boxes in ${count} groups, of ${info.images} images; `
    + `score ${info.score}, ${limit}`
  : `No unknown box in ${info.images} images.`;
document.getElementById('copy').onclick = () => {
  const text = document.getElementById('command').textContent;
  navigator.clipboard?.writeText(text);
};
draw();
