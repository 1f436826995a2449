// Sliders without a kernel: every position of the controls has its image, drawn beforehand by the lesson's own
// function. Where dials.js has the function's formulas, it draws the figure instead.
document.querySelectorAll(".slider").forEach((box) => {
  const inputs = [...box.querySelectorAll("input, select")], dial = box.dataset.dial && DIALS[box.dataset.dial];
  const image = box.querySelector(dial ? ".drawn" : "img"), values = dial && JSON.parse(box.dataset.values);
  const given = dial && JSON.parse(box.dataset.given); // what the lesson's function reads besides its controls
  const names = JSON.parse(box.dataset.names); // the shown values, control by control
  const place = (input) => (input.type === "checkbox" ? +input.checked : +input.value);
  const file = (number) => `${box.dataset.folder}/${number}.webp`;
  const show = () => {
    if (dial) image.innerHTML = dial.figure(...dial.numbers(...inputs.map((input, i) => values[i][place(input)]), given));
    else image.src = file(inputs.reduce((number, input, i) => number * names[i].length + place(input), 0));
    const words = inputs.map((input, i) => names[i][place(input)]);
    inputs.forEach((input, i) => {
      const shown = input.parentElement.querySelector("output");
      if (shown) { shown.value = words[i]; input.setAttribute("aria-valuetext", words[i]); }
    });
    const alt = `${box.dataset.alt}: ${inputs.map((input, i) => `${input.dataset.label} ${words[i]}`).join(", ")}`;
    image.setAttribute(dial ? "aria-label" : "alt", alt);
  };
  inputs.forEach((input) => input.addEventListener("input", show));
  if (dial) return show();
  box.addEventListener("pointerenter", () => { // fetch the frames before they are needed
    for (let number = names.reduce((n, values) => n * values.length, 1); number--;) new Image().src = file(number);
  }, { once: true });
});

// A printed table scrolls instead of breaking its lines. What scrolls says so, and can be scrolled by keys too.
document.querySelectorAll(".cell_output pre").forEach((printed) => printed.classList.toggle("columns", /\S {2,}\S/.test(printed.textContent)));
document.querySelectorAll(".bd-article table, .columns, .drawn, .bd-article p:has(> img), .cell_output .text_html").forEach((box) => {
  if (box.scrollWidth <= box.clientWidth) return;
  box.tabIndex = 0;
  box.insertAdjacentHTML("beforebegin", '<small class="wider">wider than the page: scroll it sideways</small>');
});
