// Sliders without a kernel: every position of the controls has its image, drawn beforehand by the lesson's own function.
document.querySelectorAll(".slider").forEach((box) => {
  const inputs = [...box.querySelectorAll("input, select")], image = box.querySelector("img");
  const names = JSON.parse(box.dataset.names); // the shown values, control by control
  const place = (input) => (input.type === "checkbox" ? +input.checked : +input.value);
  const file = (number) => `${box.dataset.folder}/${number}.webp`;
  const show = () => {
    image.src = file(inputs.reduce((number, input, i) => number * names[i].length + place(input), 0));
    const words = inputs.map((input, i) => names[i][place(input)]);
    inputs.forEach((input, i) => {
      const shown = input.parentElement.querySelector("output");
      if (shown) { shown.value = words[i]; input.setAttribute("aria-valuetext", words[i]); }
    });
    image.alt = `${box.dataset.alt}: ${inputs.map((input, i) => `${input.dataset.label} ${words[i]}`).join(", ")}`;
  };
  inputs.forEach((input) => input.addEventListener("input", show));
  box.addEventListener("pointerenter", () => { // fetch the frames before they are needed
    for (let number = names.reduce((n, values) => n * values.length, 1); number--;) new Image().src = file(number);
  }, { once: true });
});

// A table that scrolls can be scrolled by keys too.
document.querySelectorAll(".bd-article table").forEach((table) => {
  if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
});
