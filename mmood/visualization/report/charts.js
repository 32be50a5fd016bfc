'use strict';
// Histograms with a line at the threshold, ROC and precision-recall curves.

const PALETTE = ['#1f6fe5', '#e8710a', '#0a9d8f', '#a855f7', '#d6336c',
  '#84a50b', '#0ea5e9', '#b45309', '#64748b', '#f43f5e'];
const CONFIG = {displayModeBar: false, responsive: true};

function layout(xTitle, yTitle, more = {}) {
  const axis = {gridcolor: color('--line'), zerolinecolor: color('--line'),
    linecolor: color('--line'), fixedrange: true};
  const font = {color: color('--text'), size: 12, family: 'system-ui, sans-serif'};
  return {
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', font,
    margin: {l: 52, r: 12, t: 8, b: 44}, hovermode: 'closest',
    xaxis: {...axis, title: {text: forPlotly(xTitle)}},
    yaxis: {...axis, title: {text: forPlotly(yTitle)}, rangemode: 'tozero'},
    ...more,
  };
}

/** Shares of both sides per bin, and the threshold of the run. */
function drawHistogram(index, target) {
  const run = runs[index];
  const numbers = counted(index);
  const edges = numbers.edges;
  const bar = (name, bins, total, tone) => ({
    type: 'bar', name: forPlotly(name), opacity: 0.62,
    x: bins.map((_, i) => (edges[i] + edges[i + 1]) / 2),
    y: bins.map((n) => n / Math.max(total, 1)),
    width: edges[1] - edges[0], marker: {color: color(tone)},
    hovertemplate: `%{x:.4~g}: %{y:.2%} of the ${unit(run)}<extra></extra>`,
  });
  const low = edges[0];
  const high = edges[edges.length - 1];
  const at = Math.min(Math.max(threshold(index), low), high);
  Plotly.react(target, [
    bar(`known ${unit(run)}`, numbers.id_bins, numbers.num_id, '--known'),
    bar(state.set, numbers.ood_bins, numbers.num_ood, '--unknown'),
  ], layout(state.score[index], '', {
    barmode: 'overlay', bargap: 0, showlegend: true,
    margin: {l: 44, r: 8, t: 26, b: 40},
    legend: {orientation: 'h', x: 0, y: 1.16, itemclick: false, itemdoubleclick: false},
    yaxis: {gridcolor: color('--line'), tickformat: '.0%', fixedrange: true},
    shapes: [
      {type: 'rect', xref: 'x', yref: 'paper', x0: at, x1: high, y0: 0, y1: 1,
        fillcolor: color('--unknown'), opacity: 0.08, line: {width: 0}},
      {type: 'line', xref: 'x', yref: 'paper', x0: at, x1: at, y0: 0, y1: 1,
        line: {color: color('--text'), width: 2}},
    ],
  }), CONFIG);
  if (!target.isWired) {
    target.isWired = true;
    target.on('plotly_click', (event) => move(index, nearest(index, event.points[0].x)));
  }
}

/** Points of both curves at each threshold, strictest first. */
function curves(numbers) {
  const {id, ood, num_id: ids, num_ood: oods} = numbers;
  const order = id.map((_, i) => id.length - 1 - i);
  return {
    fpr: [0, ...order.map((i) => id[i] / ids), 1],
    tpr: [0, ...order.map((i) => ood[i] / oods), 1],
    recall: order.filter((i) => ood[i] + id[i]).map((i) => ood[i] / oods),
    precision: order.filter((i) => ood[i] + id[i])
      .map((i) => ood[i] / (ood[i] + id[i])),
  };
}

/** Which scores are drawn: all of one run, or the chosen one of each. */
function drawn() {
  if (runs.length === 1) return runs[0].scores.map((score) => [0, score]);
  return runs.map((run, index) => [index, state.score[index]]);
}

function drawCurves() {
  const roc = [{x: [0, 1], y: [0, 1], mode: 'lines', name: 'chance',
    hoverinfo: 'skip', line: {color: color('--soft'), dash: 'dot', width: 1}}];
  const pr = [];
  drawn().forEach(([index, score], number) => {
    const numbers = counted(index, state.set, score);
    if (!numbers || !numbers.num_id || !numbers.num_ood) return;
    const tone = PALETTE[number % PALETTE.length];
    const isChosen = state.score[index] === score;
    const name = forPlotly(runs.length === 1 ? score : `${runs[index].name}: ${score}`);
    const line = {color: tone, width: isChosen ? 3 : 1.3,
      dash: number < PALETTE.length ? 'solid' : 'dash'};
    const found = curves(numbers);
    const at = place(index, score);
    const [lost, hit] = [numbers.id[at], numbers.ood[at]];
    const add = (traces, x, y, px, py) => {
      traces.push({x, y, mode: 'lines', name, line, legendgroup: number,
        hovertemplate: '%{x:.1%}, %{y:.1%}'});
      if (isChosen) {
        traces.push({x: [px], y: [py], mode: 'markers', showlegend: false,
          legendgroup: number, name, hovertemplate: '%{x:.1%}, %{y:.1%}',
          marker: {color: tone, size: 12, line: {color: color('--card'), width: 2}}});
      }
    };
    add(roc, found.fpr, found.tpr, lost / numbers.num_id, hit / numbers.num_ood);
    if (hit + lost) {
      add(pr, found.recall, found.precision, hit / numbers.num_ood, hit / (hit + lost));
    } else {
      add(pr, found.recall, found.precision, null, null);
    }
  });
  const things = unit(runs[0]);
  const axes = (x, y) => layout(x, y, {
    xaxis: {...layout(x, y).xaxis, range: [0, 1.01], tickformat: '.0%'},
    yaxis: {...layout(x, y).yaxis, range: [0, 1.02], tickformat: '.0%'},
    legend: {orientation: 'h', y: -0.22, yanchor: 'top', font: {size: 11}},
  });
  Plotly.react(byId('roc'), roc,
    axes(`known ${things} lost (ROC)`, `unknown ${things} found`), CONFIG);
  Plotly.react(byId('pr'), pr,
    axes(`unknown ${things} found: recall`, 'precision'), CONFIG);
}
