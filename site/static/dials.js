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

// ---- what is read: lessons 03 and 08

const grid = (size, value) => Array.from({ length: size }, (_, y) => Array.from({ length: size }, (_, x) => value(y, x)));
const dot = (one, other) => one.reduce((sum, number, i) => sum + number * other[i], 0);

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
const percent = (share) => `${whole(100 * share)}%`; // :.0%

// ---- what is drawn: lambdalib/course/figures

const text = (x, y, words, size, anchor = "start", look = "") =>
  `<text x="${x}" y="${y}" font-size="${size}" text-anchor="${anchor}" class="${look}">${words}</text>`;
const bar = (x, y, width, height, look) =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" class="${look}"/>`;
const line = (x1, y1, x2, y2, look) => `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${look}"/>`;
const sheet = (width, height, parts) => `<svg viewBox="0 0 ${width} ${height}">${parts.flat(9).join("")}</svg>`;

// A square map of colours [red, green, blue, alpha] as an image of `size` points. A BMP needs no compression.
const pixels = (x, y, size, rows) => {
  const side = rows.length, bytes = new Uint8Array(122 + 4 * side ** 2), header = new DataView(bytes.buffer);
  const put = (at, number) => header.setUint32(at, number, true);
  bytes.set([0x42, 0x4d]); // "BM"; then where the pixels begin, a BITMAPV4HEADER, and the places of blue to alpha
  [[10, 122], [14, 108], [18, side], [22, -side], [26, 1 + (32 << 16)], [30, 3]].forEach((pair) => put(...pair));
  [0xff0000, 0xff00, 0xff, 0xff000000].forEach((mask, channel) => put(54 + 4 * channel, mask));
  rows.flat().forEach(([red, green, blue, alpha = 255], place) => bytes.set([blue, green, red, alpha].map(Math.round), 122 + 4 * place));
  const data = btoa(String.fromCharCode(...bytes));
  return `<image x="${x}" y="${y}" width="${size}" height="${size}" href="data:image/bmp;base64,${data}"/>`;
};
const PUOR = [ // matplotlib's, from brown to purple
  [127, 59, 8], [179, 88, 6], [224, 130, 20], [253, 184, 99], [254, 224, 182], [247, 247, 247],
  [216, 218, 235], [178, 171, 210], [128, 115, 172], [84, 39, 136], [45, 0, 75],
];
const signed = (value, limit) => { // figures.style.signed
  const at = Math.min(Math.max(5 + (5 * value) / limit, 0), 10), below = Math.min(Math.floor(at), 9);
  return PUOR[below].map((channel, i) => channel + (at - below) * (PUOR[below + 1][i] - channel));
};
const light = (channels) => grid(channels[0].length, (y, x) => channels.map((channel) => 255 * channel[y][x]));

const steering = (image, response, kernel, angle, angles, readings, [row, column]) => { // figures.steering
  const top = 24, size = 165, unit = size / response.length, [left, wide] = [538, 180];
  const frame = (x) => `<rect x="${x + unit * (column - 1)}" y="${top + unit * (row - 1)}" width="${3 * unit}" height="${3 * unit}" class="mark"/>`;
  const arrow = `<path d="M0 0H8M7 -1L8 0L7 1" class="mark" vector-effect="non-scaling-stroke"
    transform="translate(${14 + unit * (column + 0.5)} ${top + unit * (row + 0.5)}) scale(${unit}) rotate(${angle})"/>`;
  const at = (degrees, reading) => [left + (wide / 360) * degrees, top + size * (0.5 - reading / 0.6)];
  const ticks = [0, 90, 180, 270, 360].map((tick) => {
    const [x, y] = at(tick, -0.3);
    return line(x, y, x, y + 3.5, "thin") + text(x, y + 14, tick, 9, "middle");
  });
  const scale = [-0.3, 0, 0.3].map((tick) => {
    const [x, y] = at(0, tick);
    return line(x - 3.5, y, x, y, "thin") + text(x - 6, y + 3, tick.toFixed(1).replace("-", "−"), 9, "end");
  });
  const [x, y] = at(angle, response[row][column]);
  return sheet(730, 220, [
    pixels(14, top, size, light(image)), arrow, frame(14),
    pixels(205, top + 28, 110, kernel.map((row) => row.map((tap) => signed(tap, 0.6)))),
    pixels(335, top, size, response.map((row) => row.map((reading) => signed(reading, 0.3)))), frame(335),
    `<rect x="${left}" y="${top}" width="${wide}" height="${size}" class="box"/>`, line(...at(0, 0), ...at(360, 0), "zero"),
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
    const frame = (place) => `<rect x="${left(place) + unit * column}" y="${top(number) + unit * row}" width="${unit}" height="${unit}" class="frame"/>`;
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
    const ticks = [0, 2, 4].map((tick) => {
      const at = x + (wide / end) * tick;
      return line(at, bottom, at, bottom + 3.5, "thin") + text(at, bottom + 14, `×${(10 ** tick).toLocaleString("en")}`, 9, "middle");
    });
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
      const words = ticks[limit].every(Number.isInteger) ? `${tick}` : tick.toFixed(1);
      return line(x - 3.5, bottom - unit * tick, x, bottom - unit * tick, "thin") + text(x - 6, bottom - unit * tick + 3.5, words, 10, "end");
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

const DIALS = {
  "03_position_lambdas": { numbers: steerDial, figure: steering },
  "05_cost": { numbers: costDial, figure: costBars },
  "06_lambda_resnet": { numbers: netDial, figure: stageBars },
  "08_look_inside": { numbers: lookDial, figure: matrixRows },
};
