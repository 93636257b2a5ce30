// Finds texts whose contrast with what is behind them is less than 4.5 to 1, as WCAG 2
// computes it. Evaluates to a list of descriptions.
(() => {
  const least = 4.5;

  // parse reads a computed colour: red, green, blue from 0 to 255, and alpha.
  function parse(text) {
    const m = /^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/.exec(text);
    return m && [Number(m[1]), Number(m[2]), Number(m[3]), m[4] === undefined ? 1 : Number(m[4])];
  }
  function over(top, bottom) {
    return [0, 1, 2].map((i) => top[i] * top[3] + bottom[i] * (1 - top[3])).concat(1);
  }
  function luminance(c) {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function contrast(a, b) {
    const [x, y] = [luminance(a), luminance(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  }

  // behind is the colour that an element of HTML stands on.
  function behind(e) {
    const layers = [];
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c && c[3] > 0) layers.push(c);
      if (c && c[3] === 1) break;
    }
    return layers.reverse().reduce((bottom, top) => over(top, bottom), [255, 255, 255, 1]);
  }

  // beneath is the colour that a text of a drawing stands on: its own halo, or the
  // shapes at its place.
  function beneath(e) {
    const style = getComputedStyle(e), halo = parse(style.stroke);
    if (halo && halo[3] === 1) return halo;
    e.scrollIntoView({ block: "center", inline: "center" });
    const box = e.getBoundingClientRect(), layers = [];
    for (const shape of document.elementsFromPoint(box.x + Math.min(4, box.width / 2), box.y + box.height / 2)) {
      const c = shape.tagName === "path" && parse(getComputedStyle(shape).fill);
      if (c && c[3] > 0) layers.push(c);
    }
    return layers.reverse().reduce((bottom, top) => over(top, bottom), behind(e.closest("svg").parentElement));
  }

  const bad = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, e = text.parentElement;
    if (!text.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || e.closest(".hide, script, title")) continue;
    const style = getComputedStyle(e), drawn = e instanceof SVGElement;
    const colour = parse(drawn ? style.fill : style.color), ground = drawn ? beneath(e) : behind(e);
    const ratio = contrast(over(colour, ground), ground);
    if (ratio < least) bad.add(`${e.tagName}.${e.getAttribute("class")} in ${e.parentElement.tagName}.${e.parentElement.getAttribute("class")}: ` +
      `${text.data.trim().slice(0, 30)} (${colour} on ${ground.map(Math.round)}: ${ratio.toFixed(2)})`);
  }
  return [...bad];
})()
