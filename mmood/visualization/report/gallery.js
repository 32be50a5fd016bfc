'use strict';
// Pictures with boxes, or with the pixels above the threshold.

// Name, and what it means for boxes and for pixels.
const KINDS = {
  miss: ['Worst misses', 'Boxes on unknown objects, the lowest scores first.',
    'Images by the median score of their unknown pixels, the lowest first.'],
  find: ['Best finds', 'Boxes on unknown objects, the highest scores first.',
    'Images by the median score of their unknown pixels, the highest first.'],
  alarm: ['False alarms', 'Boxes on known images, the highest scores first.',
    'Images by the score that 1 % of their known pixels reach, the highest first.'],
  unseen: ['Not seen at all',
    'Unknown objects that no box overlaps, so that no score can find them; the largest first.'],
};
const OBJECT = [255, 200, 0, 255];
const ABOVE = [0, 212, 90, 255];

const svg = (tag, attributes) => {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

/** Cases of the kind that the filters leave, each with its run. */
function chosenCases() {
  const [run, set, name] = ['run', 'set', 'class'].map((key) => byId(`filter-${key}`).value);
  const [from, to] = ['from', 'to'].map((key) => byId(`filter-${key}`).value);
  return runs.flatMap((one, index) => one.cases
    .filter((item) => item.kind === state.kind)
    .filter((item) => run === '' || run === String(index))
    .filter((item) => item.score === null || item.score === state.score[index])
    .filter((item) => set === '' || item.set === set)
    .filter((item) => name === '' || item.class === name)
    .filter((item) => from === '' || item.value === null || Number(item.value) >= Number(from))
    .filter((item) => to === '' || item.value === null || Number(item.value) <= Number(to))
    .map((item) => ({index, item})));
}

function fillFilters() {
  const cases = runs.flatMap((run) => run.cases).filter((item) => item.kind === state.kind);
  const names = (key) => [...new Set(cases.map((item) => item[key]))]
    .filter((name) => name !== null).sort().map((name) => [name, name]);
  fillSelect(byId('filter-set'), [['', 'all'], ...names('set')]);
  fillSelect(byId('filter-class'), [['', 'all'], ...names('class')]);
}

/** "0.8 above the limit" in words, and whether it is above. */
function verdict(index, value, score = state.score[index]) {
  const gap = Number(value) - threshold(index, score);
  const isAbove = gap > 0;
  return {isAbove, text: isAbove ? `unknown, ${few(gap)} above the threshold`
    : `passes as known, ${few(-gap)} below the threshold`};
}

function boxes(index, item, scene) {
  const picture = data.pictures[scene.picture];
  const drawing = svg('svg', {viewBox: `0 0 ${picture.width} ${picture.height}`,
    preserveAspectRatio: 'none'});
  const add = (corners, kind) => drawing.append(svg('rect', {class: kind,
    x: corners[0], y: corners[1], width: corners[2] - corners[0], height: corners[3] - corners[1]}));
  if (item.set !== 'id') {
    scene.objects.forEach((object, i) => {
      const isMain = item.kind === 'unseen' && i === item.object - scene.first_object;
      add(object, isMain ? 'object main' : 'object');
    });
  }
  const column = 6 + runs[index].allScores.indexOf(state.score[index]);
  const main = item.box === undefined ? -1 : item.box - scene.first_box;
  const kind = (box) => Number(box[column]) > threshold(index) ? 'unknown' : 'known';
  scene.boxes.forEach((box, i) => { if (i !== main) add(box, kind(box)); });
  if (main >= 0) add(scene.boxes[main], `${kind(scene.boxes[main])} main`);
  return drawing;
}

/** Tint what is above the threshold, outline what is annotated. */
function pixels(index, item) {
  const canvas = element('canvas');
  const image = new Image();
  image.onload = () => {
    const [w, h] = [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const seen = context.getImageData(0, 0, w, h);
    const shown = context.createImageData(w, h);
    const isObject = (i) => seen.data[4 * i + 1] === 1;
    for (let i = 0; i < w * h; i += 1) {
      const right = (i + 1) % w ? i + 1 : i;
      const below = i + w < w * h ? i + w : i;
      const isEdge = item.set !== 'id'
        && (isObject(i) !== isObject(right) || isObject(i) !== isObject(below));
      if (isEdge) shown.data.set(OBJECT, 4 * i);
      else if (seen.data[4 * i] > place(index, item.score)) shown.data.set(ABOVE, 4 * i);
    }
    context.putImageData(shown, 0, 0);
  };
  image.src = data.levels[item.levels];
  return canvas;
}

function pictureOf(index, item, height) {
  const scene = runs[index].scenes[item.scene];
  const picture = data.pictures[scene.picture];
  if (!picture) {
    return element('div', {className: 'picture'}, element('p', {className: 'missing'},
      `no picture: ${scene.path ?? 'the test noted no path'}`));
  }
  const frame = element('div', {className: 'frame'},
    element('img', {src: picture.uri, alt: captionOf(index, item).join(', ')}),
    scene.boxes ? boxes(index, item, scene) : pixels(index, item));
  frame.style.aspectRatio = `${picture.width} / ${picture.height}`;
  frame.style.width = `min(100%, calc(${height} * ${picture.width / picture.height}))`;
  return element('div', {className: 'picture'}, frame);
}

function captionOf(index, item) {
  const scene = runs[index].scenes[item.scene];
  const box = item.box === undefined ? null : scene.boxes[item.box - scene.first_box];
  const what = item.kind === 'unseen' ? `${item.class}, without a box`
    : box ? `${item.shows ? `${item.shows} ` : ''}taken for ${item.class} (${box[5].toFixed(2)})`
      : item.class ? `taken for ${item.class}` : 'pixels';
  const set = item.set === 'id' ? 'known set (id)' : item.set;
  const where = runs.length > 1 ? `${set} · ${runs[index].name}` : set;
  return [what, where];
}

function caption(index, item) {
  const [what, where] = captionOf(index, item);
  const parts = [element('strong', {}, what)];
  if (item.value !== null) {
    const said = verdict(index, item.value);
    const ofPixels = isDetection ? '' : item.kind === 'alarm' ? '99 % quantile of ' : 'median of ';
    parts.push(element('span', {}, `${ofPixels}${item.score} ${few(item.value)}`),
      element('span', {className: said.isAbove ? 'verdict-unknown' : 'verdict-known'}, said.text));
  }
  parts.push(element('span', {}, where));
  return element('span', {className: 'caption'}, ...parts);
}

function drawGallery() {
  byId('kinds').querySelectorAll('button').forEach((button) => {
    button.setAttribute('aria-pressed', button.value === state.kind);
  });
  fillFilters();
  const found = chosenCases();
  byId('gallery-hint').textContent = `${KINDS[state.kind][isDetection ? 1 : 2]} `
    + (found.length ? '' : 'None with these filters.');
  byId('gallery').replaceChildren(...found.map(({index, item}) => {
    const card = element('button', {type: 'button', className: 'case',
      onclick: () => openCase(index, item)});
    card.append(pictureOf(index, item, '170px'), caption(index, item));
    return card;
  }));
}

/** The picture large, with all scores of the box. */
function openCase(index, item) {
  const run = runs[index];
  const scene = run.scenes[item.scene];
  const words = caption(index, item);
  words.append(element('span', {}, scene.path ?? ''));
  if (item.box !== undefined) {
    const box = scene.boxes[item.box - scene.first_box];
    words.append(rowsTable(['score', 'value', 'threshold', ''], run.scores.map((score) => {
      const value = box[6 + run.allScores.indexOf(score)];
      return [score, few(value), few(threshold(index, score)),
        value === null ? 'no number' : verdict(index, value, score).text];
    })));
  }
  byId('viewer').replaceChildren(
    element('button', {type: 'button', className: 'close', onclick: () => byId('viewer').close()}, 'Close'),
    pictureOf(index, item, 'min(62vh, 640px)'), words);
  byId('viewer').showModal();
}
