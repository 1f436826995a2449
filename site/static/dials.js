// Figures that the page draws itself, since their controls have too many settings for images.
// A dial has the formulas of the lesson's function, and the SVG that its figure draws from their numbers.
// Lengths are points, as in matplotlib. tests/test_dials.py compares numbers and words with Python's.

// ---- what is counted: lambdalib/contractions.py and lambdalib/cost.py, for one image and a square map

const tiling = (side, r) => {
  const halo = Math.min(Math.floor(r / 2), side - 1), tile = halo + 1, tiles = Math.ceil(side / tile) ** 2;
  return { tiles, queries: tiles * tile ** 2, context: (tile + 2 * halo) ** 2 };
};

const positionCosts = (h, side, k, v, u, r) => {
  const n = side ** 2, { queries, context } = tiling(side, r);
  return {
    convolution: n * r ** 2 * k * u * v + h * n * k * v,
    lambda: n * n * k * u * v + h * n * k * v,
    attention: h * n * n * u * (k + v),
    tiles: h * queries * context * u * (k + v),
  };
};

const positionNumbers = (h, side, k, v, u, r) => {
  const n = side ** 2, { tiles, queries, context } = tiling(side, r);
  return {
    convolution: n * k * v,
    lambda: n * k * v,
    attention: h * n * n * u,
    tiles: h * queries * context * u + tiles * context * u * v,
  };
};

const plan = (...shapes) => { // the order with the least price; the first of equals
  const adds = positionCosts(...shapes), numbers = positionNumbers(...shapes);
  const weights = { convolution: 128, lambda: 128, attention: 64, tiles: 64 };
  const price = (order) => adds[order] + weights[order] * numbers[order];
  return Object.keys(weights).reduce((best, order) => (price(order) < price(best) ? order : best));
};

const mixingCost = (letter, d, side, stride, k, h, u, r) => { // parameters and multiply-adds
  if (letter === "C") return [9 * d ** 2, 9 * d ** 2 * Math.ceil(side / stride) ** 2];
  const n = side ** 2, v = Math.floor(d / h), shapes = [h, side, k, v, u, r], projections = h * k + k * u + v * u;
  return [
    d * projections + 2 * (h * k + v * u) + k * u * r ** 2,
    n * d * projections + n * k * u * v + h * n * k * v + positionCosts(...shapes)[plan(...shapes)],
  ];
};

const stageCosts = (depths, layout, side, ...sizes) => { // parameters and multiply-adds of each stage
  let dim = 64;
  return depths.map((depth, stage) => {
    const width = 64 * 2 ** stage, row = [0, 0];
    for (let place = 0; place < depth; place++) {
      const first = place === 0, stride = stage > 0 && first ? 2 : 1, after = Math.ceil(side / stride);
      const [parameters, adds] = mixingCost(layout[stage], width, side, stride, ...sizes);
      const wayAround = first ? 4 * dim * width : 0, norms = 12 * width + (first ? 8 * width : 0);
      row[0] += parameters + dim * width + 4 * width ** 2 + wayAround + norms;
      row[1] += adds + side ** 2 * dim * width + after ** 2 * (4 * width ** 2 + wayAround);
      [dim, side] = [4 * width, after];
    }
    return row;
  });
};

// ---- what is mixed and read: lessons 01 to 04, and 08

const grid = (size, value) => Array.from({ length: size }, (_, y) => Array.from({ length: size }, (_, x) => value(y, x)));
const clip = (value, low = 0, high = 1) => Math.min(Math.max(value, low), high);
const dot = (one, other) => one.reduce((sum, number, i) => sum + number * other[i], 0);
const listed = (channels) => channels[0].flatMap((row, y) => row.map((_, x) => channels.map((channel) => channel[y][x])));
const folded = (list, side) => grid(side, (y, x) => list[side * y + x]);
const mixed = (weights, rows) => rows[0].map((_, i) => weights.reduce((sum, weight, n) => sum + weight * rows[n][i], 0));
const softmax = (scores) => {
  const most = Math.max(...scores), parts = scores.map((score) => Math.exp(score - most));
  const sum = parts.reduce((total, part) => total + part);
  return parts.map((part) => part / sum);
};

// ---- how numbers are written, as Python does: where two roundings are equally near, the last digit is even

const digits = (x, count) => { // of :.3g before its zeros go
  const tie = new RegExp(`^\\d\\.\\d{${count - 2}}[02468]50*e`).test(x.toExponential(60));
  return (tie ? x * (1 - 1e-9) : x).toPrecision(count);
};
const general = (x, count) => { // :.3g
  const [number, exponent] = digits(x, count).split("e+");
  return +number + (exponent ? `e+${exponent.padStart(2, "0")}` : "");
};
const short = (count) => {
  const [unit, size] = [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]].find(([, size]) => count >= 0.9995 * size) ?? [];
  return unit ? `${digits(count / size, 3)} ${unit}` : general(count, 3);
};
const whole = (x) => (x - Math.floor(x) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)); // :.0f
const ratio = (x) => (x < 100 ? general(x, 3) : whole(x).toLocaleString("en"));
const percent = (share) => `${whole(100 * share)} %`;

// ---- what is drawn: lambdalib/course/figures

const text = (x, y, words, size, anchor = "start", look = "") =>
  `<text x="${x}" y="${y}" font-size="${size}" text-anchor="${anchor}" class="${look}">${words}</text>`;
const bar = (x, y, width, height, look = "box") =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" class="${look}"/>`;
const line = (x1, y1, x2, y2, look) => `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${look}"/>`;
const minus = (word) => `${word}`.replace("-", "−");
const below = (x, y, word, size = 9) => line(x, y, x, y + 3.5, "thin") + text(x, y + 14, minus(word), size, "middle");
const beside = (x, y, word, size = 9) => line(x - 3.5, y, x, y, "thin") + text(x - 6, y + 3.5, minus(word), size, "end");
const sheet = (width, height, parts) => `<svg viewBox="0 0 ${width} ${height}">${parts.flat(9).join("")}</svg>`;

// A map of colours [red, green, blue, alpha] as an image, in points. A BMP needs no compression.
const pixels = (x, y, width, rows, height = width) => {
  const bytes = new Uint8Array(122 + 4 * rows.flat().length), header = new DataView(bytes.buffer);
  const put = (at, number) => header.setUint32(at, number, true);
  bytes.set([0x42, 0x4d]); // "BM"; then where the pixels begin, a BITMAPV4HEADER, and the places of blue to alpha
  [[10, 122], [14, 108], [18, rows[0].length], [22, -rows.length], [26, 1 + (32 << 16)], [30, 3]].forEach((pair) => put(...pair));
  [0xff0000, 0xff00, 0xff, 0xff000000].forEach((mask, channel) => put(54 + 4 * channel, mask));
  rows.flat().forEach(([red, green, blue, alpha = 255], place) => bytes.set([blue, green, red, alpha].map(Math.round), 122 + 4 * place));
  const data = btoa(String.fromCharCode(...bytes));
  const stretched = height === width ? "" : ` preserveAspectRatio="none"`;
  return `<image x="${x}" y="${y}" width="${width}" height="${height}" href="data:image/bmp;base64,${data}"${stretched}/>`;
};
const ORANGES = [ // matplotlib's
  [255, 245, 235], [254, 230, 206], [253, 208, 162], [253, 174, 107], [253, 141, 60], [241, 105, 19],
  [217, 72, 1], [166, 54, 3], [127, 39, 4],
];
const PUOR = [ // matplotlib's, from brown to purple
  [127, 59, 8], [179, 88, 6], [224, 130, 20], [253, 184, 99], [254, 224, 182], [247, 247, 247],
  [216, 218, 235], [178, 171, 210], [128, 115, 172], [84, 39, 136], [45, 0, 75],
];
const coloured = (share, colours) => { // share: 0 for the first, 1 for the last
  const last = colours.length - 1, at = last * clip(share), below = Math.min(Math.floor(at), last - 1);
  return colours[below].map((channel, i) => channel + (at - below) * (colours[below + 1][i] - channel));
};
const signed = (value, limit) => coloured(0.5 + value / limit / 2, PUOR); // figures.style.signed
const light = (channels) => grid(channels[0].length, (y, x) => channels.map((channel) => 255 * channel[y][x]));

const steering = (image, response, kernel, angle, angles, readings, [row, column]) => { // figures.steering
  const top = 24, size = 165, unit = size / response.length, [left, wide] = [538, 180];
  const frame = (x) => bar(x + unit * (column - 1), top + unit * (row - 1), 3 * unit, 3 * unit, "mark");
  const arrow = `<path d="M0 0H8M7 -1L8 0L7 1" class="mark" vector-effect="non-scaling-stroke"
    transform="translate(${14 + unit * (column + 0.5)} ${top + unit * (row + 0.5)}) scale(${unit}) rotate(${angle})"/>`;
  const at = (degrees, reading) => [left + (wide / 360) * degrees, top + size * (0.5 - reading / 0.6)];
  const ticks = [0, 90, 180, 270, 360].map((tick) => below(...at(tick, -0.3), tick));
  const scale = [-0.3, 0, 0.3].map((tick) => beside(...at(0, tick), tick.toFixed(1)));
  const [x, y] = at(angle, response[row][column]);
  return sheet(730, 220, [
    pixels(14, top, size, light(image)), arrow, frame(14),
    pixels(205, top + 28, 110, kernel.map((row) => row.map((tap) => signed(tap, 0.6)))),
    pixels(335, top, size, response.map((row) => row.map((reading) => signed(reading, 0.3)))), frame(335),
    bar(left, top, wide, size), line(...at(0, 0), ...at(360, 0), "zero"),
    `<polyline points="${angles.map((degrees, i) => at(degrees, readings[i]))}" class="curve"/>`,
    `<circle cx="${x}" cy="${y}" r="3.5" class="lit"/>`, ticks, scale,
    text(96, 15, "pixel and query's direction", 9, "middle"),
    text(260, 43, `the stencil mixed at ${angle}°`, 9, "middle"), text(417, 15, "its reading everywhere", 9, "middle"),
    text(628, 15, "reading of the marked pixel", 9, "middle"), text(628, 217, "angle of the query (degrees)", 9, "middle"),
  ]);
};

const matrixRows = (photo, [row, column], rows, titles) => { // figures.matrix_rows
  const size = 145, left = (place) => 72 + 154 * place, top = (number) => 20 + 154 * number;
  const image = light(photo), faint = image.map((row) => row.map((colour) => Array(3).fill(191.25 + dot(colour, [1, 1, 1]) / 12)));
  const draw = ([name, maps], number) => {
    const limit = Math.max(...maps.flat(2).map(Math.abs)), unit = size / maps[0].length, middle = top(number) + size / 2;
    const frame = (place) => bar(left(place) + unit * column, top(number) + unit * row, unit, unit, "frame");
    const map = (weights, place) => [
      pixels(left(place + 1), top(number), size, faint), // it shines through where little is taken
      pixels(left(place + 1), top(number), size, weights.map((row) => row.map((weight) => [
        ...signed(weight, limit), 255 * Math.min(0.2 + (0.8 * Math.abs(weight)) / limit, 1),
      ]))),
      weights.map((line, y) => line.map((weight, x) => weight < -0.25 * limit
        ? text(left(place + 1) + unit * (x + 0.5), top(number) + unit * (y + 0.5) + 3, "−", 9.5, "middle", weight < -0.6 * limit ? "white" : "dark") : "")),
      frame(place + 1),
    ];
    const words = [name, `(scale ±${general(limit, 2)})`].map((line, i) => text(66, middle + 12 * i, line, 9, "end"));
    return [pixels(left(0), top(number), size, image), frame(0), maps.map(map), words];
  };
  const heads = ["the pixel", ...titles].map((title, place) => text(left(place) + size / 2, 13, title, 9.5, "middle"));
  return sheet(690, 326, [Object.entries(rows).map(draw), heads]);
};

const oneRow = (image, weights, [row, column], answer) => { // figures.one_row
  const top = 33, size = 105, lefts = [7, 141, 300, 440, 590], channels = image.map((channel) => channel.flat());
  const unit = size / weights.length, list = weights.flat().sort((one, other) => other - one), most = list[0], wide = 112;
  const frame = (x) => bar(x + unit * (column - 1), top + unit * (row - 1), 3 * unit, 3 * unit, "frame");
  const shades = weights.map((line) => line.map((weight) => coloured(weight / most, ORANGES)));
  const over = (rank, exponent) => [lefts[2] + (wide * (rank - 1)) / (list.length - 1), top + (size * (0.3 - Math.max(exponent, -6))) / 6.3];
  const up = (value) => top + (size * (1.1 - value)) / 1.2, across = (channel) => lefts[3] + (wide * (channel + 0.6)) / 3.2;
  const curve = list.map((weight, n) => over(n + 1, Math.log10(weight + 1e-30))).filter((at, n, all) => n === 0 || all[n - 1][1] < top + size);
  const ranges = channels.map((channel, i) => {
    const [low, high] = [Math.min(...channel), Math.max(...channel)], mean = channel.reduce((sum, value) => sum + value) / channel.length;
    return [
      bar(across(i - 0.25), up(high), (wide * 0.5) / 3.2, up(low) - up(high), "quiet"), line(across(i - 0.25), up(mean), across(i + 0.25), up(mean), "ink"),
      `<circle cx="${across(i)}" cy="${up(answer[i])}" r="4" style="fill: ${["#d55e00", "#009e73", "#0072b2"][i]}"/>`, below(across(i), top + size, "RGB"[i]),
    ];
  });
  const swatches = [channels.map((channel) => channel[weights.length * row + column]), answer.map((value) => clip(value))];
  const titles = ["image and asking pixel", `weights, 0 … ${general(most, 2)}`, "the same, sorted\n(dotted: all equal)", "dot: answer, line: mean,\nbar: range of the values"];
  const heads = titles.map((title, panel) => title.split("\n").map((words, number, lines) =>
    text(lefts[panel] + (panel < 2 ? size : wide) / 2, top - 7 - 12 * (lines.length - 1 - number), words, 9, "middle")));
  return sheet(690, 175, [
    pixels(lefts[0], top, size, light(image)), frame(lefts[0]), pixels(lefts[1], top, size, shades), frame(lefts[1]),
    bar(lefts[2], top, wide, size), line(...over(1, -Math.log10(list.length)), ...over(list.length, -Math.log10(list.length)), "dotted"),
    `<polyline points="${curve}" class="mark"/>`, [1, Math.floor(list.length / 2), list.length].map((rank) => below(over(rank, 0)[0], top + size, rank)),
    ["10⁻⁶", "10⁻⁴", "10⁻²", "1"].map((words, n) => beside(...over(1, 2 * n - 6), words)),
    text(lefts[2] + wide / 2, top + size + 29, "pixels, the heaviest first", 9, "middle"), bar(lefts[3], top, wide, size),
    [0, 0.5, 1].map((value) => beside(lefts[3], up(value), value.toFixed(1))), ranges,
    pixels(lefts[4], top, 40, swatches.map((colour) => [colour.map((part) => 255 * part)]), size),
    ["pixel", "answer"].map((words, n) => text(lefts[4] + 46, top + size * (0.25 + 0.5 * n) + 3, words, 9)), heads,
  ]);
};

const paletteCard = (image, palette, softKeys, repainted) => { // figures.palette_card
  const top = 20, size = 150, half = 72, lefts = palette.map((_, place) => 166 + 80 * place), side = image[0].length;
  const hidden = grid(side, (y, x) => softKeys.every((weights) => weights[y][x] === 0));
  const shown = light(image).map((line, y) => line.map((colour, x) => (hidden[y][x] ? [204, 204, 204] : colour)));
  const parts = palette.map((colour, place) => {
    const weights = softKeys[place].flat().filter((weight) => weight > 0), most = Math.max(...weights), middle = lefts[place] + half / 2;
    const count = Math.exp(-weights.reduce((sum, weight) => sum + weight * Math.log(weight), 0));
    return [
      [pixels(lefts[place], top, half, [[colour.map((part) => 255 * clip(part))]], 50)],
      text(middle, top - 6, colour.map((part) => whole(255 * part)).join(", "), 9, "middle"),
      pixels(lefts[place], top + 78, half, softKeys[place].map((line) => line.map((weight) => coloured(weight / most, [[255, 255, 255], [232, 115, 12]])))),
      bar(lefts[place], top + 78, half, half), text(middle, top + size + 13, `≈ ${count > 9.5 ? whole(count) : count.toFixed(1)} pixels`, 9, "middle"),
    ];
  });
  return sheet(662, 190, [
    pixels(7, top, size, shown), pixels(500, top, size, light(repainted)), parts.map(([swatch]) => swatch), parts.map(([, ...others]) => others),
    text(82, top - 6, "the image", 9, "middle"), text(575, top - 6, "repainted with the palette", 9, "middle"),
  ]);
};

const onePixel = (image, [row, column], query, lambda, output, limits) => { // figures.one_pixel
  const top = 20, size = 130, unit = size / image[0].length, high = size / query.length, wide = 118, [k, lam, out] = [185, 350, 545];
  const right = (value) => k + (wide * (value + limits[0])) / 2 / limits[0], up = (value) => top + (size * (limits[2] - value)) / 2 / limits[2];
  const step = wide / output.length, shade = (value) => signed(value, limits[1]);
  const mark = (look) => bar(7 + unit * (column - 1), top + unit * (row - 1), 3 * unit, 3 * unit, look);
  const bars = query.map((value, i) => bar(Math.min(right(0), right(value)), top + high * (i + 0.1), Math.abs(right(value) - right(0)), 0.8 * high, "lit"));
  const answer = output.map((value, i) => {
    const [first, last] = [up(Math.max(value, 0)), up(Math.min(value, 0))].map((y) => clip(y, top, top + size));
    return bar(out + step * (i + 0.1), first, 0.8 * step, last - first, "dark-bar");
  });
  const from = lam + wide + 8, along = (value) => top + (size * (limits[1] - value)) / 2 / limits[1];
  const scale = Array.from({ length: 45 }, (_, n) => { // each piece reaches under the next one: no gaps
    const value = limits[1] * (1 - n / 22.5);
    return `<rect x="${from}" y="${along(value)}" width="9" height="${Math.min(size / 22, top + size - along(value))}" style="fill: rgb(${shade(value - limits[1] / 45)})"/>`;
  });
  return sheet(690, 187, [
    pixels(7, top, size, light(image)), mark("rim"), mark("mark"), bars, bar(k, top, wide, size),
    [-5, 0, 5].map((tick) => below(right(tick), top + size, tick)),
    [k, lam].map((x) => [query.map((_, i) => beside(x, top + high * (i + 0.5), i)), text(x - 22, top + size / 2 + 3, "k", 10, "middle")]),
    pixels(lam, top, wide, lambda.map((line) => line.map(shade)), size), bar(lam, top, wide, size),
    scale, bar(from, top, 9, size), [-4, -2, 0, 2, 4].map((tick) =>
      line(from + 9, along(tick), from + 12.5, along(tick), "thin") + text(from + 15, along(tick) + 3.5, minus(tick), 9)),
    answer, line(out, up(0), out + wide, up(0), "zero"), bar(out, top, wide, size), [-20, -10, 0, 10, 20].map((tick) => beside(out, up(tick), tick)),
    [lam, out].map((x) => [output.map((_, i) => below(x + step * (i + 0.5), top + size, i)), text(x + wide / 2, top + size + 28, "v", 10, "middle")]),
    text(72, top - 6, `pixel (${row}, ${column})`, 9, "middle"), text(k + wide / 2, top - 6, "this head's query", 9, "middle"),
    text(lam + wide / 2, top - 6, "lambda of all heads", 9, "middle"), text(out + wide / 2, top - 6, "query · lambda = output", 9, "middle"),
  ]);
};

const costBars = (panels, title) => { // figures.cost_bars
  const top = 43, bottom = 158, wide = 183, end = 4;
  const draw = ([heading, row], panel) => {
    const x = 14 + 223.5 * panel, least = Math.min(...Object.values(row));
    const bars = Object.entries(row).map(([name, count], place) => {
      const y = top + 27.1 * (place + 0.75), length = Math.log10(count / least);
      const words = `${name}: ×${ratio(count / least)} · ${short(count)}${length > end ? " →" : ""}`;
      const reach = (wide / end) * Math.max(Math.min(length, end), 0.04);
      return bar(x, y - 5.7, reach, 11.4, count === least ? "lit" : "quiet") + text(x + 2, y - 8, words, 9);
    });
    const ticks = [0, 2, 4].map((tick) => below(x + (wide / end) * tick, bottom, `×${(10 ** tick).toLocaleString("en")}`));
    const axes = line(x, top, x, bottom, "thin") + line(x, bottom, x + wide, bottom, "thin");
    return [bars, axes, ticks, text(x + wide / 2, top - 7, heading, 10, "middle")];
  };
  return sheet(670, 180, [Object.entries(panels).map(draw), text(335, 15, title, 10, "middle")]);
};

const stageBars = (panels, names, title, limits) => { // figures.stage_bars
  const top = 71, bottom = 195, wide = 316, looks = ["grey", "lit"];
  const ticks = { 18: [0, 5, 10, 15], 12: [0, 5, 10], 4: [0, 1, 2, 3, 4], 0.4: [0, 0.1, 0.2, 0.3, 0.4] };
  const draw = ([heading, bars], panel) => {
    const x = 36 + 360.5 * panel, limit = limits[panel], unit = (bottom - top) / (1.14 * limit);
    const centre = (place) => x + (wide * (place + 0.614)) / 4.268;
    const mark = (at, value) => ["gap", "ink"].map((look) => line(at - 18, bottom - unit * (value - 0.02 * limit), at + 18, bottom - unit * (value + 0.02 * limit), look));
    const group = bars.map((values, j) => values.map((value, stage) => {
      const at = centre(stage + 0.44 * j - 0.22), high = unit * Math.min(value, limit);
      return [
        bar(at - 14.8, bottom - high, 29.6, high, looks[j]),
        text(at, bottom - high - 3, general(value, value < 1 ? 2 : 3), 9, "middle"),
        value > limit ? [0.87, 0.915].map((share) => mark(at, share * limit)) : [],
      ];
    }));
    const scale = ticks[limit].map((tick) => {
      const words = ticks[limit].every(Number.isInteger) ? tick : tick.toFixed(1);
      return beside(x, bottom - unit * tick, words, 10);
    });
    const stages = ["c2", "c3", "c4", "c5"].map((word, stage) => text(centre(stage), bottom + 14, word, 10, "middle"));
    const axes = line(x, top, x, bottom, "thin") + line(x, bottom, x + wide, bottom, "thin");
    return [group, axes, scale, stages, text(x + wide / 2, top - 6, heading, 9.5, "middle")];
  };
  const legend = names.map((name, j) => bar(280 + 120 * j, 221, 18, 7, looks[j]) + text(302 + 120 * j, 228, name, 9.5));
  const lines = title.split("\n").map((words, number) => text(360, 13 + 13 * number, words, 10, "middle"));
  return sheet(720, 238, [Object.entries(panels).map(draw), legend, lines]);
};

// ---- the dials: the lessons' own functions, with their controls in order

const TABLE_12 = { // lambdalib/experiments/paper_tables.py
  CCCC: "25.6 M in all, 7240 images/s, 76.9 %", LCCC: "25.5 M in all, 1880 images/s, 77.3 %",
  LLCC: "25.0 M in all, 1280 images/s, 77.2 %", LLLC: "21.7 M in all, 1160 images/s, 77.8 %",
  LLLL: "15.0 M in all, 1160 images/s, 78.4 %", CLLL: "15.1 M in all, 2200 images/s, 78.3 %",
  CCLL: "15.4 M in all, 4980 images/s, 78.3 %", CCCL: "18.8 M in all, 7160 images/s, 77.3 %",
};

const costDial = (side, d, h, k, u, r) => {
  const n = side ** 2, v = Math.floor(d / h), shapes = [h, side, k, v, u, r];
  const panels = {
    "content half: multiply-adds": { palette: n * k * u * v + h * n * k * v, scores: h * n * n * u * (k + v) },
    "position half: multiply-adds": positionCosts(...shapes),
    "position half: numbers made": positionNumbers(...shapes),
  };
  return [panels, `one image of ${side} × ${side}, d=${d}, h=${h}, k=${k}, u=${u}, v=${v}, r=${r}`];
};

const netDial = (c2, c3, c4, c5, k, h, u, r, image) => {
  const large = image.startsWith("ImageNet"), depths = large ? [3, 4, 6, 3] : [2, 2, 2, 2], side = large ? 56 : 32;
  const layout = c2 + c3 + c4 + c5, sizes = [k, h, u, r];
  const plain = stageCosts(depths, "CCCC", side, ...sizes), ours = stageCosts(depths, layout, side, ...sizes);
  const sum = (column) => ours.reduce((total, row) => total + row[column], 0);
  const seen = (size) => { // the mean share of an axis within r // 2 pixels
    let pairs = 0;
    for (let n = 0; n < size; n++) for (let m = 0; m < size; m++) pairs += Math.abs(n - m) <= Math.floor(r / 2);
    return pairs / size ** 2;
  };
  let title = `${layout}: ${(sum(0) / 1e6).toFixed(2)} M parameters, ${(sum(1) / 1e9).toFixed(2)} G multiply-adds in the stages`;
  const shares = [0, 1, 2, 3].filter((stage) => layout[stage] === "L").map((stage) => `c${stage + 2} ${percent(seen(Math.ceil(side / 2 ** stage)))}`);
  if (shares.length) title += `\na window sees of each axis: ${shares.join(", ")}`;
  if (large && TABLE_12[layout] && `${sizes}` === "16,4,1,23") title += `\npaper, Table 12: ${TABLE_12[layout]}`;
  const both = (column, size) => [plain, ours].map((rows) => rows.map((row) => row[column] / size));
  const panels = { "parameters (M)": both(0, 1e6), "multiply-adds (G)": both(1, 1e9) };
  return [panels, ["all convolutions", "yours"], title, large ? [18, 4] : [12, 0.4]];
};

const steerDial = (degrees, row, column, plane) => {
  const bright = (y, x) => (plane[0][y][x] + plane[1][y][x] + plane[2][y][x]) / 3, inner = plane[0].length - 2;
  const readings = [
    grid(inner, (y, x) => (bright(y + 1, x + 2) - bright(y + 1, x)) / 2), // right minus left, without the border
    grid(inner, (y, x) => (bright(y + 2, x + 1) - bright(y, x + 1)) / 2),
  ];
  const mix = (angle) => [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)], [cos, sin] = mix(degrees);
  const at = (y, x) => readings.map((map) => map[y][x]), angles = Array.from({ length: 121 }, (_, i) => 3 * i);
  return [
    plane.map((channel) => channel.slice(1, -1).map((line) => line.slice(1, -1))),
    grid(inner, (y, x) => dot(mix(degrees), at(y, x))),
    [[0, -sin / 2, 0], [-cos / 2, 0, cos / 2], [0, sin / 2, 0]],
    degrees, angles, angles.map((angle) => dot(mix(angle), at(row - 1, column - 1))), [row - 1, column - 1],
  ];
};

const lookDial = (image, side, head, y, x, { photos, layers }) => {
  const row = Math.floor((y * side) / 7), column = Math.floor((x * side) / 7), maps = {};
  for (const word of ["trained", "untrained"]) {
    const { queries, soft_keys, taps } = layers[`${word} ${side}`], query = queries[image][head][row * side + column];
    const content = grid(side, (y, x) => dot(query, soft_keys[image][y * side + x]));
    const position = grid(side, (y, x) => dot(query, taps[y - row + side - 1][x - column + side - 1]));
    maps[word] = [content, position, grid(side, (y, x) => content[y][x] + position[y][x])];
  }
  return [photos[image], [row, column], maps, ["content", "position", "sum"]];
};

const attentionDial = (row, column, temperature, near, image) => {
  const side = image[0].length, colours = listed(image), asked = colours[side * row + column];
  const away = (n) => (Math.floor(n / side) - row) ** 2 + ((n % side) - column) ** 2; // in pixels, squared
  const scores = colours.map((colour, n) => (dot(colour, asked) - dot(colour, colour) / 2 - near * 0.001 * away(n)) / temperature);
  const weights = softmax(scores);
  return [image, folded(weights, side), [row, column], mixed(weights, colours)];
};

const paletteDial = (sharpness, count, shuffled, first, hidden, { image, shuffle }) => {
  const side = image[0].length, all = listed(image), order = shuffled ? shuffle : all.map((_, n) => n), colours = order.map((n) => all[n]);
  const visible = order.map((n) => n < side * first || n >= side * (first + hidden)), anchors = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]].slice(0, count);
  const keys = colours.map((colour) => anchors.map((anchor) => -sharpness * colour.reduce((sum, part, i) => sum + (part - anchor[i]) ** 2, 0)));
  const softKeys = anchors.map((_, k) => softmax(keys.map((key, m) => (visible[m] ? key[k] : -Infinity))));
  const palette = softKeys.map((weights) => mixed(weights, colours)), painted = keys.map((key) => mixed(softmax(key), palette));
  const channels = (list) => [0, 1, 2].map((channel) => folded(list.map((colour) => colour[channel]), side));
  return [channels(colours), palette, softKeys.map((weights) => folded(weights, side)), channels(painted)];
};

const pixelDial = (row, column, head, part, { image, queries, palette, values, taps }) => {
  const side = image[0].length, reach = (taps.length - 1) / 2, query = queries[head][side * row + column];
  const readings = palette.map((line) => line.map(() => 0));
  taps.forEach((line, y) => line.forEach((tap, x) => { // tap: (k,); what lies beyond the border is not there
    const value = values[row + y - reach]?.[column + x - reach];
    if (value) tap.forEach((weight, k) => value.forEach((channel, v) => { readings[k][v] += weight * channel; }));
  }));
  const sum = palette.map((line, k) => line.map((number, v) => number + readings[k][v]));
  const lambda = { palette, readings, sum }[part];
  return [image, [row, column], query, lambda, mixed(query, lambda), [6, 4.5, 20]];
};

const DIALS = { // by the name of the lesson's function
  answer_of_a_pixel: { numbers: (row, column, temperature, image) => attentionDial(row, column, temperature, false, image), figure: oneRow },
  draw_weights: { numbers: (row, column, near, image) => attentionDial(row, column, 0.02, near, image), figure: oneRow },
  palette_lab: { numbers: paletteDial, figure: paletteCard },
  steer: { numbers: steerDial, figure: steering },
  at_pixel: { numbers: pixelDial, figure: onePixel },
  dials: { numbers: costDial, figure: costBars },
  build: { numbers: netDial, figure: stageBars },
  look: { numbers: lookDial, figure: matrixRows },
};
