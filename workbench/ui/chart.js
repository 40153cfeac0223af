// Draws the loss chart. Gradio runs this as a function body with `element`, `props` and `watch` of the component.
// All text goes in through textContent, so nothing in a value can become markup.
const NS = 'http://www.w3.org/2000/svg';
let data = {series: []}, hover = null; // where the pointer is, in pixels from the left edge

function make(name, attributes, text) {
  const node = document.createElementNS(NS, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return node;
}

function word(name, kind, text) {
  const node = document.createElement(name);
  if (kind) node.className = kind;
  if (text !== undefined) node.textContent = text;
  return node;
}

// Round values between low and high, about `count` of them, in steps of 1, 2 or 5 times a power of ten.
function ticks(low, high, count, whole) {
  const raw = (high - low) / Math.max(count, 1) || 1;
  const power = Math.pow(10, Math.floor(Math.log10(raw)));
  let size = [1, 2, 5, 10].map(n => n * power).find(n => n >= raw * 0.999);
  if (whole) size = Math.max(1, Math.round(size));
  const found = [];
  for (let n = Math.ceil(low / size - 1e-9); n * size <= high + size * 1e-6; n++) found.push(n * size);
  return {size, found};
}

function label(value, size) {
  if (value !== 0 && (Math.abs(value) >= 1e6 || size < 1e-4)) return value.toExponential(1);
  return value.toFixed(Math.max(0, Math.min(6, -Math.floor(Math.log10(size) + 1e-9))));
}

function exact(value) {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return value.toFixed(Math.abs(value) < 10 ? 3 : 1);
}

function scale(series, data, width, tall) {
  const xs = series.flatMap(line => line.x), ys = series.flatMap(line => line.y);
  let low = Math.min(...ys), high = Math.max(...ys);
  if (low >= 0 && low < high * 0.6) low = 0;
  if (data.percent) high = Math.min(1, Math.max(high, low + 0.1));
  if (high === low) {
    high += Math.abs(high) * 0.1 || 1;
    low -= Math.abs(low) * 0.1;
  }
  const size = ticks(low, high, 4).size;
  low = Math.floor(low / size + 1e-9) * size;
  high = Math.ceil(high / size - 1e-9) * size;
  const rows = ticks(low, high, Math.round((high - low) / size)).found.map(value => [value, label(value, size)]);
  const box = {left: 10 + 7 * Math.max(...rows.map(row => row[1].length)), right: width - 12, top: 10,
    bottom: (tall ? (width < 560 ? 200 : 250) : 140) - 24};
  const start = Math.min(0, ...xs), end = Math.max(data.end || 0, ...xs, start + 1);
  return {
    ...box, rows, columns: ticks(start, end, Math.max(2, Math.floor(width / 80)), true).found,
    x: value => box.left + (value - start) / (end - start) * (box.right - box.left),
    y: value => box.top + (high - value) / (high - low) * (box.bottom - box.top),
    back: pixels => {
      const inside = Math.min(Math.max(pixels, box.left), box.right);
      return start + (inside - box.left) / (box.right - box.left) * (end - start);
    },
  };
}

function drawAxes(svg, at) {
  for (const [value, text] of at.rows) {
    svg.appendChild(make('line', {class: 'grid-line', x1: at.left, x2: at.right, y1: at.y(value), y2: at.y(value)}));
    svg.appendChild(make('text', {x: at.left - 7, y: at.y(value) + 4, 'text-anchor': 'end'}, text));
  }
  for (const value of at.columns) {
    const last = at.x(value) > at.right - 14;
    const place = {x: last ? at.right : at.x(value), y: at.bottom + 18, 'text-anchor': last ? 'end' : 'middle'};
    svg.appendChild(make('text', place, String(value)));
  }
}

// One curve; returns the index of the point nearest to `step`, or -1 when nobody points at the chart.
function drawLine(svg, at, line, step) {
  const d = line.x.map((x, i) => (i ? 'L' : 'M') + at.x(x).toFixed(1) + ' ' + at.y(line.y[i]).toFixed(1)).join('');
  const mark = (i, r) => make('circle', {class: line.kind, cx: at.x(line.x[i]), cy: at.y(line.y[i]), r});
  svg.appendChild(make('path', {class: 'line ' + line.kind, d}));
  if (line.x.length === 1 || (line.kind === 'eval' && line.x.length <= 60)) {
    line.x.forEach((x, i) => svg.appendChild(mark(i, 3)));
  }
  if (step === null) return -1;
  let nearest = 0;
  line.x.forEach((x, i) => { if (Math.abs(x - step) < Math.abs(line.x[nearest] - step)) nearest = i; });
  svg.appendChild(mark(nearest, 4));
  return nearest;
}

// One chart with its names above it; `tall` for the first.
function drawPanel(box, panel, tall) {
  const series = panel.series.filter(line => line.x.length);
  if (!series.length) return false;
  const shown = value => panel.percent ? (100 * value).toFixed(1) + ' %' : exact(value);
  const width = Math.max(220, box.clientWidth - 28), at = scale(series, {...data, percent: panel.percent}, width, tall);
  if (panel.percent) at.rows = at.rows.map(([value]) => [value, Math.round(100 * value) + ' %']);
  const svg = make('svg', {height: at.bottom + 24, viewBox: `0 0 ${width} ${at.bottom + 24}`, role: 'img',
    'aria-label': panel.summary || ''});
  const names = word('div', 'names'), step = hover === null ? null : at.back(hover);
  drawAxes(svg, at);
  let place = null;
  for (const line of series) {
    const nearest = drawLine(svg, at, line, step), entry = word('span');
    entry.appendChild(word('i', line.kind));
    entry.appendChild(document.createTextNode(line.name + (nearest < 0 ? '' : ' ' + shown(line.y[nearest]))));
    names.appendChild(entry);
    if (nearest >= 0 && place === null) place = line.x[nearest];
  }
  names.appendChild(word('span', 'axis', data.step + (place === null ? '' : ' ' + place)));
  if (place !== null) {
    svg.appendChild(make('line', {class: 'cursor', x1: at.x(place), x2: at.x(place), y1: at.top, y2: at.bottom}));
  }
  box.append(names, svg);
  return true;
}

function draw() {
  const box = element.querySelector('.wb-chart');
  if (!box) return;
  box.dataset.key = data.run || '';
  box.replaceChildren();
  const drawn = [data, ...(data.panels || [])].filter((panel, number) => drawPanel(box, panel, number === 0));
  if (!drawn.length) box.appendChild(word('p', 'empty', data.empty || ''));
}

element.addEventListener('pointermove', event => {
  const svg = element.querySelector('svg');
  hover = svg ? event.clientX - svg.getBoundingClientRect().left : null;
  draw();
});
element.addEventListener('pointerleave', () => {
  hover = null;
  draw();
});
new ResizeObserver(() => requestAnimationFrame(draw)).observe(element);
// A new value is another run; what comes after it for the same run are live pieces (live.js).
function take(value) {
  if (value && value.series) data = value;
  draw();
}
element.addEventListener('live', event => take(event.detail));
watch('value', () => {
  delete element.querySelector('.wb-chart')?.dataset.mark;
  take(props.value);
});
take(props.value);
