// report.js: draws the report of the data in #data (evaluator/record.h says what is in it). Every text of the data becomes a text node; nothing of it
// is ever read as markup or code. A section that cannot be drawn says so, and the others stand.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const page = document.getElementById('page');
  const runs = data.runs, one = runs.length === 1;
  const namesakes = runs.filter((run) => runs.some((other) => other !== run && other.name === run.name));
  for (const run of namesakes) run.name = run.path;

  // ---- elements -------------------------------------------------------------------------------------------

  const fill = (node, parts) => {
    for (const part of parts) if (part !== null && part !== undefined) node.append(part);
    return node;
  };
  const el = (tag, cls, ...parts) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    return fill(node, parts);
  };
  const svg = (tag, attributes, ...parts) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return fill(node, parts);
  };
  const list = (value) => Array.isArray(value) ? value : [];
  const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);
  const missing = (what, how) => el('p', 'missing', what, how ? ': ' : '', how ? el('code', '', how) : null);
  const table = (head, rows, texts = []) => {
    const kind = (i) => texts.includes(i) ? 'text' : '';
    const body = rows.map((row) => el('tr', row.mark ? 'mark' : '', ...row.cells.map((cell, i) => el('td', kind(i), cell))));
    return el('div', 'scroll', el('table', '', el('thead', '', el('tr', '', ...head.map((h, i) => el('th', kind(i), h)))), el('tbody', '', ...body)));
  };
  const number = (v) => !isNumber(v) ? '' : v !== 0 && (Math.abs(v) < 0.001 || Math.abs(v) >= 1e6) ? v.toExponential(2) : String(Number(v.toPrecision(4)));
  const percent = (v) => isNumber(v) ? (100 * v).toFixed(1) + ' %' : '';
  const quoted = (word) => /^[\w./:@%+=-]+$/.test(word) ? word : "'" + word.replace(/'/g, "'\\''") + "'";
  const duration = (s) => s >= 3600 ? (s / 3600).toFixed(1) + ' h' : s >= 60 ? (s / 60).toFixed(1) + ' min' : s.toFixed(0) + ' s';

  const titles = [];
  const section = (id, title, build) => {
    const node = el('section', '', el('h2', '', title));
    node.id = id;
    try {
      fill(node, build());
    } catch (error) {
      node.append(missing('This cannot be drawn', String(error)));
    }
    titles.push([id, title]);
    page.append(node);
  };

  // ---- what the data say ----------------------------------------------------------------------------------

  const setting = (run, key) => {
    const found = list(run.settings).filter((s) => s[0] === key);
    return found.length ? found[found.length - 1][1] : '';
  };
  const last = (run) => list(run.evaluations)[list(run.evaluations).length - 1];
  const value = (evaluation, row, key) => {
    const values = evaluation && evaluation.rows && evaluation.rows[row];
    return values && isNumber(values[key]) ? values[key] : undefined;
  };
  const show = (measure, v) => measure.share ? percent(v) : number(v);
  const measuresAt = (places) => data.measures.filter((m) => places.includes(m.place));
  const has = (evaluation, measure) => value(evaluation, 'trained', measure.key) !== undefined;
  const colours = { trained: 'var(--trained)', untrained: 'var(--untrained)', given: 'var(--given)', supervised: 'var(--supervised)', pixels: 'var(--pixels)', colour: 'var(--colour)', chance: 'var(--chance)' };
  const dashes = { pixels: '6 3', colour: '2 3', chance: '1 4', untrained: '', given: '', supervised: '8 2', trained: '' };
  const palette = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377', '#ee8866', '#99aa33', '#9988cc', '#777777'];

  // ---- charts ---------------------------------------------------------------------------------------------

  const nice = (span) => {
    const raw = span / 4, power = 10 ** Math.floor(Math.log10(raw)), scaled = raw / power;
    return power * (scaled < 1.5 ? 1 : scaled < 3.5 ? 2 : scaled < 7.5 ? 5 : 10);
  };
  const WIDTH = 480, HEIGHT = 240, LEFT = 56, RIGHT = 10, TOP = 10, BOTTOM = 26;

  const styleOf = (s) => ({ class: s.thin ? 'curve thin' : 'curve', stroke: s.colour, 'stroke-dasharray': s.dash || 'none' });
  // series: { name, x[], y[], colour, dash, thin, dots }; a point that lacks a number is left out.
  const chart = (title, series, { share = false, from, to } = {}) => {
    const lines = series.map((s) => ({ ...s, points: s.x.map((x, i) => [x, s.y[i]]).filter((p) => isNumber(p[0]) && isNumber(p[1])) })).filter((s) => s.points.length);
    const figure = el('figure', '', el('figcaption', '', title));
    if (!lines.length) return fill(figure, [missing('nothing yet')]);
    const xs = lines.flatMap((s) => s.points.map((p) => p[0])), ys = lines.flatMap((s) => s.points.map((p) => p[1]));
    const most = (v) => v.reduce((a, b) => Math.max(a, b)), least = (v) => v.reduce((a, b) => Math.min(a, b));
    const right = Math.max(most(xs), 1);
    let low = from !== undefined ? Math.min(from, least(ys)) : least(ys), high = to !== undefined ? Math.max(to, most(ys)) : most(ys);
    if (share) [low, high] = [Math.max(0, low - 0.05), Math.min(1, high + 0.05)];
    if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
    const X = (x) => LEFT + x / right * (WIDTH - LEFT - RIGHT), Y = (y) => HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
    const drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': title });
    for (let step = nice(high - low), y = Math.ceil(low / step) * step; y <= high + step / 1e6; y += step) {
      drawing.append(svg('line', { class: 'axis', x1: LEFT, x2: WIDTH - RIGHT, y1: Y(y), y2: Y(y) }));
      drawing.append(svg('text', { x: LEFT - 6, y: Y(y) + 4, 'text-anchor': 'end' }, share ? Math.round(100 * y) + ' %' : number(Number(y.toPrecision(6)) + 0)));
    }
    for (let step = nice(right), x = 0; x <= right; x += step) drawing.append(svg('text', { x: X(x), y: HEIGHT - 8, 'text-anchor': x === 0 ? 'start' : X(x) > WIDTH - 4 * RIGHT ? 'end' : 'middle' }, x === 0 ? 'step 0' : number(x)));
    for (const s of lines) {
      drawing.append(svg('polyline', { ...styleOf(s), points: s.points.map((p) => `${X(p[0]).toFixed(1)},${Y(p[1]).toFixed(1)}`).join(' ') }));
      if (s.dots) for (const p of s.points) drawing.append(svg('circle', { cx: X(p[0]), cy: Y(p[1]), r: 3, fill: s.colour }));
    }
    figure.append(drawing);
    const named = lines.filter((s) => s.name);
    if (named.length) figure.append(legend(named));
    return figure;
  };
  // Of lines, each drawn as in the chart; or of dots.
  const legend = (entries, dots) => el('div', 'legend', ...entries.map((e) => {
    const line = { viewBox: '0 0 28 6', 'aria-hidden': 'true' }, mark = dots ? el('i', '') : svg('svg', line, svg('line', { ...styleOf(e), x1: 0, x2: 28, y1: 3, y2: 3 }));
    if (dots) mark.style.borderColor = e.colour;
    return el('span', '', mark, e.name);
  }));
  const smooth = (y) => {
    const reach = Math.max(1, Math.round(y.length / 30));
    return y.map((_, i) => {
      const near = y.slice(Math.max(0, i - reach), i + reach + 1).filter(isNumber);
      return near.length ? near.reduce((a, b) => a + b, 0) / near.length : null;
    });
  };

  // ---- tiles ----------------------------------------------------------------------------------------------

  const base64 = (text) => typeof text === 'string' && /^[A-Za-z0-9+/]+=*$/.test(text) ? 'data:image/jpeg;base64,' + text : null;
  const kept = (one && runs[0].findings) || null, tiles = kept ? list(kept.tiles) : [];
  const sound = kept && tiles.length > 0 && tiles.every((t) => t && typeof t.name === 'string' && isNumber(t.x) && isNumber(t.y)) &&
    ['step', 'held', 'held_of', 'trained', 'trained_of', 'views', 'columns', 'cell', 'frame'].every((key) => isNumber(kept[key]));
  const found = sound ? kept : null;
  const isTile = (t) => Number.isInteger(t) && t >= 0 && t < tiles.length;
  const entries = (key, ...which) => list(found[key]).filter((entry) => entry && which.every((name) => isTile(entry[name])));
  const atlas = found && base64(found.atlas);
  if (atlas) document.head.append(el('style', '', `.thumb { background-image: url("${atlas}"); }`));
  const thumb = (cell, side, cls) => {
    const node = el('div', 'thumb ' + (cls || '')), pitch = found.cell + 2 * found.frame, scale = side / found.cell;
    node.style.width = node.style.height = side + 6 + 'px';
    node.style.backgroundOrigin = 'padding-box';
    node.style.backgroundSize = found.columns * pitch * scale + 'px auto';
    node.style.backgroundPosition = `${-(cell % found.columns * pitch + found.frame) * scale}px ${-(Math.floor(cell / found.columns) * pitch + found.frame) * scale}px`;
    node.style.backgroundClip = 'padding-box';
    if (scale > 1.5) node.style.imageRendering = 'pixelated';
    node.setAttribute('role', 'img');
    node.setAttribute('aria-label', tiles[cell] ? tiles[cell].name : 'a distorted view');
    return node;
  };
  const isHeld = (t) => t < found.held;
  const about = (t) => {
    const tile = tiles[t];
    return el('div', '', el('div', '', tile.name), el('div', 'soft', `at ${tile.left}, ${tile.top}${tile.page ? ', page ' + tile.page : ''}, ${isHeld(t) ? 'held out' : 'trained on'}`),
      tile.label === undefined ? null : el('div', 'soft', 'label ' + tile.label));
  };
  const SMALL = innerWidth < 640 ? 38 : 64; // a row of queries is as wide as a phone
  const card = (t, fact) => el('div', 'card', thumb(t, 96), el('b', '', fact), about(t));
  const evaluate = `./run evaluate ${quoted(runs[0].path)}`;
  const whenFound = (build) => {
    if (!found) return [missing(kept ? 'findings.json is damaged' : 'No evaluation has looked at single tiles yet', evaluate)];
    const note = runs[0].too_large && !atlas ? missing('The pictures are left out: with them this file would be larger than 5 MB') : null;
    return [note, ...build()];
  };
  const seen = () => found.held < found.held_of || found.trained < found.trained_of
    ? `Looked at: ${found.held} of ${found.held_of} held-out tiles and ${found.trained} of ${found.trained_of} of the training part, spread evenly.`
    : `Looked at: all ${found.held} held-out tiles and all ${found.trained} of the training part.`;

  // ---- sections -------------------------------------------------------------------------------------------

  const stateOf = (run) => {
    const s = run.status;
    if (!s) return 'it has not trained yet';
    const where = `step ${s.step} of ${s.steps}`;
    if (s.phase === 'training' && run.live) return `training, ${where}, ${duration(s.eta_s)} to go`;
    const back = run.saved === undefined ? '; no step is saved' : run.saved < s.step ? `; it can go on from step ${run.saved}` : '';
    return (s.phase === 'training' ? 'ended without a word' : s.phase) + `, ${where}${back}`;
  };
  const failure = (run) => {
    const { phase, reason } = run.status || {};
    if (phase === 'failed') return el('p', 'failed', 'It failed: ' + (reason || 'the reason is in log/'));
    return phase === 'stopped' && reason ? el('p', 'failed', 'An alarm stopped it: ' + reason) : null;
  };
  const alarms = (run) => list(run.alarms).map((a) => el('p', 'failed', `Alarm at step ${a.step}, ${a.alarm}: ${a.what}. ${a.do}`));
  const verdict = (run) => el('div', 'verdict ' + run.verdict.word, el('p', '', run.verdict.sentence));

  const heading = () => {
    page.append(el('h1', '', one ? runs[0].name : `${runs.length} runs, compared`), el('div', 'soft', one ? stateOf(runs[0]) + '; ' : '', `written ${data.machine.when}`));
    const nav = el('nav', '');
    page.append(nav);
    return nav;
  };

  const judge = () => runs.flatMap((run) => [one ? null : el('h3', '', run.name), verdict(run), one ? null : el('p', 'soft', stateOf(run)), failure(run),
    ...alarms(run), ...list(run.notes).map((note) => el('p', 'missing', note))]);

  const line = (run, i, name, y, title, extra) => ({ name: one ? title : run.name, x: list(run.steps.step), y, colour: one ? 'var(--trained)' : palette[i % palette.length], ...extra });
  const course = () => {
    if (runs.every((run) => !run.count)) return [missing('No step is done yet')];
    const curve = (key, title, options) => chart(title, runs.flatMap((run, i) => {
      const y = list(run.steps[key]);
      return key === 'loss' ? [{ ...line(run, i, key, y, 'each'), name: one ? 'as logged' : '', thin: true }, line(run, i, key, smooth(y), 'smoothed')] : [line(run, i, key, y, '')];
    }), options);
    const charts = [curve('loss', 'loss'), curve('rate', 'images a second', { from: 0 }), curve('lr', 'learning rate', { from: 0 }), curve('norm', 'length of the gradient', { from: 0 })];
    if (runs.some((run) => list(run.steps.deviation).some(isNumber))) charts.push(curve('deviation', 'deviation of embeddings (1: spread evenly, 0: all one)', { from: 0, to: 1 }));
    const thinned = runs.some((run) => run.count > list(run.steps.step).length);
    return [el('div', 'charts', ...charts), thinned ? el('p', 'soft', 'A point is the mean of several steps; metrics.jsonl has every one.') : null];
  };

  const rowsOf = (evaluation, measures) => data.rows.filter(([row]) => measures.some((m) => value(evaluation, row, m.key) !== undefined))
    .map(([row, name]) => ({ mark: row === 'trained', cells: [name, ...measures.map((m) => show(m, value(evaluation, row, m.key)))] }));
  // The trained row against steps: at step 0 it is what the run began with.
  const trained = (run, m) => {
    const all = list(run.evaluations), began = last(run) && last(run).rows.given ? 'given' : 'untrained';
    return { x: [0, ...all.map((e) => e.step)], y: [value(last(run), began, m.key), ...all.map((e) => value(e, 'trained', m.key))] };
  };
  // What the run measures beside training (evaluate.every-th snapshots, of evaluate.snapshot_every steps each), by its keys.
  const beside = (run) => {
    const every = Number(setting(run, 'evaluate.every')), snapshot = Number(setting(run, 'evaluate.snapshot_every')), steps = Number(setting(run, 'trainer.steps'));
    if (!every) return `evaluate.every=N measures beside training, after every N x ${snapshot} steps, and gives curves with more points.`;
    return every * snapshot < steps ? `evaluate.every = ${every}: beside training one begins every ${every * snapshot} steps, unless the one before still goes on; the run's end ends it.`
      : `evaluate.every = ${every} measures after every ${every * snapshot} steps (evaluate.snapshot_every = ${snapshot}), and the run has ${steps}: lower evaluate.snapshot_every.`;
  };
  const measures = () => {
    if (runs.every((run) => !last(run))) return [missing('Nothing was measured yet', evaluate), one ? el('p', 'soft', beside(runs[0])) : null];
    return one ? measuresOfOne() : measuresOfMany();
  };
  const measuresOfOne = () => {
    const evaluation = last(runs[0]), out = [];
    out.push(el('p', '', `Step ${evaluation.step} (${evaluation.source}): ${evaluation.tiles} held-out tiles, ${evaluation.views} distorted views of each, ${evaluation.size} pixels. ` +
      'docs/measures.md says what each measure is, and what it is not for.'));
    const group = (places, note) => {
      const columns = measuresAt(places).filter((m) => has(evaluation, m));
      if (columns.length) out.push(note ? el('h3', '', note) : '', table(['', ...columns.map((m) => m.title)], rowsOf(evaluation, columns)));
    };
    group(['table', 'bound'], '');
    group(['few'], 'the probe with so many labels of each class');
    group(['spread'], 'without labels, to look at: none of these ranks methods');
    out.push(el('h3', '', 'against steps'), el('div', 'charts', ...measuresAt(['table']).filter((m) => has(evaluation, m)).map((m) => chart(m.title, data.rows.map(([row, name]) => {
      const level = value(evaluation, row, m.key), points = row === 'trained' ? trained(runs[0], m) : { x: [0, evaluation.step], y: [level, level] };
      return { name, ...points, colour: colours[row], dash: dashes[row], dots: row === 'trained' };
    }), { share: m.share }))));
    if (list(runs[0].evaluations).length === 1) out.push(el('p', 'soft', 'There is one evaluation. ' + beside(runs[0])));
    return out;
  };
  const measuresOfMany = () => {
    const columns = measuresAt(['table']).filter((m) => runs.some((run) => has(last(run), m)));
    const rows = runs.flatMap((run) => ['untrained', 'given', 'supervised', 'trained'].filter((row) => last(run) && last(run).rows && last(run).rows[row])
      .map((row) => ({ mark: row === 'trained', cells: [run.name, data.rows.find((r) => r[0] === row)[1], last(run).step, last(run).tiles, ...columns.map((m) => show(m, value(last(run), row, m.key)))] })));
    return [table(['run', 'row', 'step', 'tiles', ...columns.map((m) => m.title)], rows, [0, 1]),
      el('p', 'soft', 'Runs with other held-out tiles, views or sizes are not measured alike; and the seed matters as well (./run sweep).'),
      el('div', 'charts', ...columns.map((m) => chart(m.title, runs.map((run, i) => ({ name: run.name, ...trained(run, m), colour: palette[i % palette.length], dots: true })), { share: m.share })))];
  };

  const bar = (name, share, most) => {
    const track = el('span', 'track', el('b', ''));
    track.firstChild.style.width = Math.min(100, 100 * share / most) + '%';
    return el('div', 'bar', el('span', '', name), track, el('span', '', percent(share)));
  };
  const speed = () => runs.flatMap((run) => {
    const s = run.status, rates = list(run.steps.rate).filter(isNumber).sort((a, b) => a - b), name = one ? null : el('h3', '', run.name);
    if (!s || !rates.length) return [name, missing('No step is done yet')];
    const out = [name, el('p', '', `Half of the steps had ${number(rates[Math.floor(rates.length / 2)])} images a second or more. Slowest of late: ${s.bottleneck || 'train'}.`)];
    const busy = [['trainer, works', 1 - s.waited], ['trainer, waits', s.waited]];
    if (s.read + s.decode + s.augment > 0) busy.push(['augment', s.augment], ['decode', s.decode], ['read', s.read]);
    out.push(el('div', 'bars', ...busy.map(([stage, share]) => bar(stage, share, Math.max(1, s.read, s.decode, s.augment)))));
    out.push(el('p', 'soft', `Shares of the time since augment last began to feed the trainer; reading and decoding are the sum over ${s.loaders === 1 ? 'one loader' : `${s.loaders || 'all'} loaders, and may be more than 100 %`}.`));
    return out;
  });

  // A picture of the run, with what is to be said of it; `instead` where it is not drawn.
  const picture = (text, what, said, instead) => {
    const source = base64(text);
    if (!source) return [runs[0].too_large ? missing('The picture is left out: with it this file would be larger than 5 MB') : instead];
    const image = el('img', 'picture');
    image.src = source;
    image.alt = what;
    return [el('p', 'soft', said), image];
  };
  const images = () => picture(runs[0].index, 'images of the data set', 'Some of the images, evenly spread: the tile in the middle of each, as it was when the run began.', missing('It is not drawn'));
  const saw = () => picture(runs[0].contact, 'the first samples of the run and their views', 'The first samples of the run, one a row: the tile, then its views exactly as the network sees them.', missing('No picture of it is drawn yet', evaluate));

  const queries = () => whenFound(() => [
    el('p', 'soft', `By step ${found.step} (${found.source}). A distorted view of a held-out tile, then the nearest clean ones: its own is framed green.`),
    ...entries('queries', 'tile').map((q) => el('div', 'row', thumb(q.cell, SMALL), el('span', 'arrow', '→'), ...list(q.found).filter(isTile).map((t, i) => {
      const node = thumb(t, SMALL, t === q.tile ? 'right' : 'wrong');
      node.title = `${tiles[t].name}: cosine ${number(list(q.cosine)[i])}`;
      return node;
    }))),
  ]);

  const map = () => whenFound(() => {
    const SIDE = 600, EDGE = 16;
    const labels = [...new Set(tiles.map((t) => t.label).filter((l) => l !== undefined))].sort(), byLabel = labels.length > 0;
    const names = byLabel ? labels : [...new Set(tiles.map((t) => t.name))];
    const colour = (t) => palette[Math.max(0, names.indexOf(byLabel ? t.label : t.name)) % palette.length];
    const bounds = (key) => [Math.min(...tiles.map((t) => t[key])), Math.max(...tiles.map((t) => t[key]))];
    const [left, right] = bounds('x'), [low, high] = bounds('y'), span = Math.max(right - left, high - low) || 1;
    const X = (t) => EDGE + (t.x - left + (span - right + left) / 2) / span * (SIDE - 2 * EDGE), Y = (t) => EDGE + (high - t.y + (span - high + low) / 2) / span * (SIDE - 2 * EDGE);
    const drawing = svg('svg', { viewBox: `0 0 ${SIDE} ${SIDE}`, role: 'img', 'aria-label': 'map of tiles' });
    tiles.forEach((t, i) => drawing.append(svg('circle', { cx: X(t), cy: Y(t), r: 5, fill: isHeld(i) ? colour(t) : 'none', stroke: colour(t), 'stroke-width': 1.5, 'fill-opacity': 0.85 })));
    const ring = svg('circle', { r: 9, fill: 'none', stroke: 'currentColor', 'stroke-width': 2, visibility: 'hidden' });
    drawing.append(ring);
    const detail = el('div', 'detail soft', 'Point at a tile, or tap one.');
    const pick = (event) => {
      const box = drawing.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * SIDE, y = (event.clientY - box.top) / box.height * SIDE;
      const far = (t) => (X(t) - x) ** 2 + (Y(t) - y) ** 2;
      const near = tiles.reduce((best, t, i) => far(t) < far(tiles[best]) ? i : best, 0);
      ring.setAttribute('cx', X(tiles[near]));
      ring.setAttribute('cy', Y(tiles[near]));
      ring.setAttribute('visibility', 'visible');
      detail.className = 'detail';
      detail.replaceChildren(thumb(near, 128), about(near));
    };
    drawing.addEventListener('pointermove', pick);
    drawing.addEventListener('pointerdown', pick);
    const shown = names.length <= palette.length ? names.map((name, i) => ({ name, colour: palette[i] })) : [];
    return [
      el('p', 'soft', `Principal components of the features by step ${found.step}: the two directions in which they vary most, ${percent(list(found.explained)[0])} and ${percent(list(found.explained)[1])} of all. ` +
        `Filled: held out; rings: trained on. Colours are ${byLabel ? 'labels' : 'images'}${names.length > palette.length ? ', and come again' : ''}. ${seen()}`),
      el('div', 'map', drawing, detail), shown.length ? legend(shown, true) : null,
    ];
  });

  const odd = () => whenFound(() => {
    const worst = entries('worst', 'tile', 'taken'), isolated = entries('isolated', 'tile');
    return [
      el('h3', '', 'found worst: the held-out tiles whose distorted views are most often taken for another tile'),
      worst.length ? el('div', 'cards', ...worst.map((w) => el('div', 'card', el('div', 'pair', thumb(w.tile, 64), thumb(w.taken, 64, 'wrong')), el('b', '', `${Math.round(w.right * found.views)} of ${found.views} right`), about(w.tile),
        el('div', 'soft', 'taken for ' + tiles[w.taken].name)))) : el('p', '', 'None: every distorted view is nearest to its own tile.'),
      el('h3', '', 'most isolated: mean of 1 - cosine to the 10 nearest tiles'),
      el('div', 'cards', ...isolated.map((w) => card(w.tile, number(w.distance)))),
      el('p', 'soft', `./run outliers ${quoted(runs[0].path)} looks at every tile of the data set.`),
    ];
  });

  const SAME = data.alike;
  const twins = () => whenFound(() => {
    const pairs = entries('across', 'tile', 'other'), alike = pairs.filter((p) => p.cosine >= SAME).length;
    return [
      el('p', '', !pairs.length ? 'There is no pair of a held-out tile and one of another image that is trained on.' : alike ? `${alike === pairs.length ? 'At least ' + alike : alike} held-out ${alike === 1 ? 'tile is' : 'tiles are'} as near as ${SAME} (cosine) to a tile of another image that is trained on: if they show the same, measures are better than they should be.`
        : `No held-out tile is as near as ${SAME} (cosine) to a tile of another image that is trained on.`),
      el('div', 'cards', ...pairs.map((p) => el('div', 'card', el('div', 'pair', thumb(p.tile, 64, p.cosine >= SAME ? 'wrong' : ''), thumb(p.other, 64, p.cosine >= SAME ? 'wrong' : '')), el('b', '', number(p.cosine)), about(p.tile), about(p.other)))),
      el('p', 'soft', `${seen()} ./run duplicates ${quoted(runs[0].path)} compares every pair. A network that has hardly trained finds much alike.`),
    ];
  });

  const quarantine = () => runs.flatMap((run) => {
    const lines = list(run.quarantine), name = one ? null : el('h3', '', run.name);
    if (!lines.length) return [name, el('p', '', 'None: every file could be used.')];
    return [name, el('p', '', `Files or tiles that could not be used: ${run.quarantined}${run.quarantined > lines.length ? `, the first ${lines.length} of them here` : ''}.`),
      table(['file', 'reason'], lines.map((q) => ({ cells: [q.path, q.reason] })), [0, 1])];
  });

  const settings = () => {
    const keys = [...new Set(runs.flatMap((run) => list(run.settings).map((s) => s[0])))];
    const out = [];
    if (one) {
      const main = ['method.name', 'encoder.name', 'data.path', 'data.tile', 'data.view', 'trainer.batch', 'trainer.steps', 'trainer.precision', 'trainer.threads', 'optimiser.name', 'optimiser.lr', 'seed', 'init'].filter((k) => keys.includes(k));
      out.push(table(['key', 'value'], main.map((k) => ({ cells: [k, setting(runs[0], k)] })), [1]));
      out.push(el('details', '', el('summary', '', `all ${keys.length} keys`), table(['key', 'value'], keys.map((k) => ({ cells: [k, setting(runs[0], k)] })), [1])));
    } else {
      const differ = keys.filter((k) => k !== 'run.dir' && new Set(runs.map((run) => setting(run, k))).size > 1);
      out.push(differ.length ? table(['key', ...runs.map((run) => run.name)], differ.map((k) => ({ cells: [k, ...runs.map((run) => setting(run, k))] })), runs.map((_, i) => i + 1))
        : el('p', '', 'Every key but run.dir is the same.'));
    }
    const facts = runs.map((run) => ({ cells: [one ? 'trained on' : run.name + ' trained on', (run.status && run.status.device) || 'not known'] }));
    facts.push({ cells: ['report written on', `${data.machine.processor}, ${data.machine.cores} cores, Linux ${data.machine.system}`] }, { cells: ['by', `${data.machine.pictures}, ${data.machine.json}, ${data.machine.compiler}`] });
    out.push(el('h3', '', 'machine and versions'), table(['', ''], facts, [1]));
    return out;
  };

  const commands = () => runs.flatMap((run) => {
    const name = quoted(run.path);
    return [el('pre', '', [`./run status ${name}`, `./run resume ${name}`, `./run evaluate ${name}`, `./run export ${name} -o backbone.safetensors`, `./run embed ${name} DATA -o features.npy`].join('\n'))];
  });

  // ---- the page -------------------------------------------------------------------------------------------

  document.title = (one ? runs[0].name : `${runs.length} runs`) + ' - smallbatch';
  const nav = heading();
  section('verdict', 'Verdict', judge);
  section('course', 'Loss and rate', course);
  section('measures', 'Measures', measures);
  section('speed', 'Throughput, and where time went', speed);
  if (one) {
    section('images', 'The data set', images);
    section('saw', 'What the network saw', saw);
    section('queries', 'Queries and neighbours', queries);
    section('map', 'Map of the features', map);
    section('odd', 'Held-out tiles to look at', odd);
    section('twins', 'Near-duplicates across the split', twins);
  }
  section('quarantine', 'What could not be used', quarantine);
  section('settings', one ? 'Configuration, machine, versions' : 'What differs', settings);
  section('commands', 'Commands', commands);
  for (const [id, title] of titles) {
    const link = el('a', '', title);
    link.href = '#' + id;
    nav.append(link, ' ');
  }
  page.append(el('footer', '', el('p', '', 'How the verdict is found (docs/report.md), the first that holds: '),
    el('ol', '', ...data.rules.map((rule) => el('li', '', rule)))));
  addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((d) => { d.open = true; }));
})();
